"""What a model was made of, so far as its trainer knows: ``provenance.json`` beside it, for pages that see it alone."""

import pathlib
from typing import TYPE_CHECKING

import pydantic

from models.training import lengths

if TYPE_CHECKING:  # pages read it without TensorFlow
    from tfx.components.trainer import fn_args_utils

FILE = "provenance.json"  # inside assets.extra


class Provenance(pydantic.BaseModel):
    """The records, and the model that training began from.

    Attributes:
      records: by split.
      digest: SHA-256 of the transformed records, hexadecimal.
      base: name of the base model; empty for random weights.
      base_digest: SHA-256 of its checkpoint, hexadecimal.
      rows: how many rows have each length, by what they are made of.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    records: dict[str, int]
    digest: str
    base: str = ""
    base_digest: str = ""
    rows: dict[str, dict[int, int]] = {}


def write(folder: pathlib.Path, fn_args: "fn_args_utils.FnArgs") -> None:
    """Writes it into the export's ``assets.extra``; reads the records once more."""
    from components import digest
    from components.train import training
    from models import distillation
    from models.export import card

    splits = {
        "train": training.matching(fn_args.train_files),
        "eval": training.matching(fn_args.eval_files),
    }
    # Texts that only a teacher answered are no records.
    splits = {
        name: [path for path in files if not path.endswith(f"/{distillation.UNLABELLED}")]
        for name, files in splits.items()
    }
    base = training.base_checkpoint(fn_args.base_model)
    found = Provenance(
        records={name: _count(files) for name, files in splits.items()},
        digest=digest.of_files([each for files in splits.values() for each in files]),
        base=(card.head(None, base).get("base_model") or "base model") if base else "",
        base_digest=digest.of_files(sorted(str(path) for path in base.iterdir())) if base else "",
        rows=lengths.read(fn_args.transform_output),
    )
    (folder / FILE).write_text(found.model_dump_json(indent=1), "utf-8")


def read(folder: pathlib.Path) -> Provenance | None:
    """What ``write`` wrote; None of a model of an older version."""
    path = folder / FILE
    return Provenance.model_validate_json(path.read_text("utf-8")) if path.is_file() else None


def _count(files: list[str]) -> int:
    import tensorflow as tf

    return int(tf.data.TFRecordDataset(files, "GZIP").reduce(0, lambda count, _: count + 1))
