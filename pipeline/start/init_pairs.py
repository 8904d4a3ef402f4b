"""What a file of texts with their translations shows, and the experiment on it."""

from pathlib import Path
from typing import Any

from components.records import readers
from components.records.kind import load
from configs.encoding import Encoding
from configs.yaml.document import inline
from pipeline.start import beginning, init_events, sniff
from pipeline.start.init_events import Events

KIND = "parallel"


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
    head, summary = init_events.read(kind, data, str(opened.format), opened.encoding)
    return Events(data, head, summary, [*assumed, *guess.assumed])


def yaml(seen: Events, name: str) -> list[str]:
    """The experiment, line by line."""
    size = Path(seen.data["path"]).stat().st_size
    return [
        f"# Written by tfx-bert init from {seen.data['path']}. Review it, then: tfx-bert run {name}.yaml",
        f"name: {name}",
        "task:",
        "  type: translation",
        f"  data: {inline(seen.data)}",
        f"vocabulary: {{learn: {beginning.pieces(size)}}}   # one for both languages",
        "encoder: translation_small   # translation_mini takes a quarter of the time",
        "# Blessed if it keeps placeholders, and is better than the source as it is and than a look-up of the nearest",
        "# known text; evaluate.bless takes thresholds.",
    ]
