"""How long rows are: counted where they are made, so that a report can draw it without reading the data again."""

import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

FILE = "lengths.json"  # beside Transform's graph, and in a model's assets.extra
# What a row is made of, in every family; the other features of a row are as long as one of these.
_NAMES = ("token_ids", "item_ids", "source_ids", "target_ids")


class Counted:
    """Counts rows by their length while they pass by.

    Attributes:
      found: by feature, how many rows have each length.
    """

    def __init__(self) -> None:
        self.found: dict[str, Counter[int]] = {}

    def passed(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The batches as they are.

        Args:
          batches: features of rows; those that have ids are ragged, of any depth.
        """
        for batch in batches:
            for name in _NAMES:
                if hasattr(batch.get(name), "nested_row_splits"):
                    self.found.setdefault(name, Counter()).update(_lengths(batch[name]).tolist())
            yield batch

    def write(self, folder: str | pathlib.Path) -> None:
        """Writes ``lengths.json`` into a folder of this machine or of a bucket."""
        import tensorflow as tf

        with tf.io.gfile.GFile(f"{folder}/{FILE}", "w") as file:
            file.write(json.dumps({name: dict(sorted(counts.items())) for name, counts in self.found.items()}))


def read(folder: str | pathlib.Path) -> dict[str, dict[int, int]]:
    """What ``Counted.write`` wrote; nothing of a folder that an older version made."""
    path = pathlib.Path(folder) / FILE
    if not path.is_file():
        return {}
    found = json.loads(path.read_text("utf-8"))
    return {name: {int(length): rows for length, rows in counts.items()} for name, counts in found.items()}


def _lengths(value: Any) -> np.ndarray:
    """Of each row, all its values: int (B,)."""
    outer, *inner = (np.asarray(splits) for splits in value.nested_row_splits)
    for splits in inner:
        outer = splits[outer]
    return np.diff(outer)
