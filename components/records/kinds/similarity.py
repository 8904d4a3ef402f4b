"""Two texts, and how alike they are."""

from components.records.kinds.regression import NumberKind
from configs.sources import PairNumberData


class Kind(NumberKind[PairNumberData]):
    """One number for each pair of texts."""

    data = PairNumberData
