"""What a file of texts with their translations shows, and the experiment on it."""

from pathlib import Path
from typing import Any

from components.records import readers
from components.records.kind import load
from configs.encoding import Encoding
from configs.yaml.document import inline
from pipeline.start import init_events, sniff
from pipeline.start.init_events import Events

KIND = "parallel"
# As for texts: a thousand pieces for every 100 kB, since rarer ones would be seen too seldom to be learned.
_BYTES, _LEAST, _MOST = 100_000, 1_000, 16_000


def look(path: str, encoding: Encoding | None) -> Events | None:
    """Reads the head of a file; None where it does not look like texts with their translations.

    Raises:
      DataError: the file cannot be read, or nothing can be learned from it.
    """
    kind = load(KIND)
    opened, needed, assumed = sniff.opened(path, encoding)
    if len(readers.names(path, opened)) < 2:
        return None
    _, columns = sniff.sampled(path, opened)
    guess = kind.guess(columns, {})
    if guess is None:
        return None
    data: dict[str, Any] = init_events.section(path, opened, needed) | dict(guess.columns)
    head, summary = init_events.read(kind, data, opened)
    return Events(data, head, summary, [*assumed, *guess.assumed])


def yaml(seen: Events, name: str) -> list[str]:
    """The experiment, line by line."""
    size = Path(seen.data["path"]).stat().st_size
    pieces = min(_MOST, max(_LEAST, round(size / _BYTES) * 1_000))
    return [
        f"# Written by tfx-bert init from {seen.data['path']}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        "task:",
        "  type: translation",
        f"  data: {inline(seen.data)}",
        f"vocabulary: {{learn: {pieces}}}   # one for both languages",
        "encoder: translation_small   # translation_mini takes a quarter of the time",
        "# Blessed if it keeps placeholders, and is better than the source as it is and than a look-up of the nearest",
        "# known text; evaluate.bless takes thresholds.",
    ]
