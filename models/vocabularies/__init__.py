"""How the strings of records become ids: a module for each kind of vocabulary, found by its name.

``models/vocabularies/<name>.py`` defines the functions of ``Module``; a dotted path names a module elsewhere.
"""

import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

RULES = "text.json"  # in a vocabulary's folder; its "kind" names the module that reads the folder


class Vocabulary(Protocol):
    """Strings to ids, in the graph.

    Attributes:
      size: number of ids, V: 0 … V-1.
      pad_id, unk_id, mask_id: ids that stand for no string, for an unknown one, for a hidden one.
    """

    size: int
    pad_id: int
    unk_id: int
    mask_id: int


class Module(Protocol):
    """What a module of this folder defines."""

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises ValueError for settings that cannot work, before a run.

        Args:
          settings: as for ``learn``, and ``base``: whether there is a checkpoint whose vocabulary is taken.
        """

    def learn(
        self,
        texts: Iterable[Any],
        settings: Mapping[str, Any],
        folder: Path,
        *,
        imported: bytes | None = None,
        base: Path | None = None,
        side: Iterable[Mapping[str, Any]] | None = None,
    ) -> str:
        """Writes a vocabulary's files into ``folder``, among them ``text.json`` with its ``kind``.

        Args:
          texts: string tensors (N,), of the train splits.
          settings: the sections ``vocabulary`` and ``text`` of the YAML.
          folder: exists.
          imported: the content of ``settings["path"]``; None where the vocabulary is learned, or is that of ``base``.
          base: a checkpoint whose vocabulary is taken.
          side: records of the source that stands beside that of ``texts``, such as a catalogue with titles: batches of
            string tensors (N,) by feature. Only for a kind of records that has one.

        Returns:
          How well it covers ``texts``, in one line.

        Raises:
          DataError: there is nothing to learn from, or what is imported is at fault.
        """

    def read(self, folder: Path) -> Vocabulary:
        """The vocabulary whose files ``learn`` wrote into ``folder``."""


def module(name: str) -> str:
    """The dotted path of the vocabulary ``name``."""
    return name if "." in name else f"{__name__}.{name}"


def load(name: str) -> Module:
    """The module of the vocabulary ``name``."""
    return cast("Module", importlib.import_module(module(name)))


def read(folder: str | Path) -> Any:
    """The vocabulary in ``folder``, whatever its kind; without a kind it is WordPiece, as every one was once."""
    rules = json.loads((Path(folder) / RULES).read_text("utf-8"))
    return load(rules.get("kind", "wordpiece")).read(Path(folder))
