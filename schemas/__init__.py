"""What a record is: one TFMD schema a record kind, and the error for data that breaks it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

FOLDER = Path(__file__).parent


class DataError(ValueError):
    """The data is at fault: what is wrong, what was received, where (``file:line``), how to fix it. Exit code 3."""


def load(name: str | Path) -> "Schema":
    """The TFMD schema of a record kind, such as ``classification``, or of a ``.pbtxt`` file of one's own.

    Raises:
      DataError: no such schema, or a file that does not parse.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    path = Path(name) if str(name).endswith(".pbtxt") else FOLDER / f"{name}.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except FileNotFoundError:
        kinds = ", ".join(sorted(file.stem for file in FOLDER.glob("*.pbtxt")))
        raise DataError(f"there is no schema {path}: give a .pbtxt file, or one of {kinds}.") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a TFMD schema in text form: {error}.") from None


def resolve(
    kind: str, *, labels: Sequence[str] = (), slices: Sequence[str] = (), pair: bool = False, path: str | None = None
) -> "Schema":
    """The schema that an experiment's records must satisfy.

    Args:
      kind: the record kind, a name in this folder.
      labels: the only values of ``label``.
      slices: columns that every record carries beside those of its kind.
      pair: whether records hold a ``text_pair``.
      path: a schema of the user's own, taken as it is.

    Raises:
      DataError: the user's own schema lacks a feature that every record has.
    """
    schema = load(kind)
    if not pair:
        _remove(schema, "text_pair")
    if path:
        own = load(path)
        if missing := sorted({feature.name for feature in schema.feature} - {feature.name for feature in own.feature}):
            raise DataError(f"{path}: add the feature {missing[0]!r}, which every {kind} record has.")
        return own
    for domain in schema.string_domain:
        domain.value.extend(labels)
    for name in dict.fromkeys(slices):
        if name not in {feature.name for feature in schema.feature}:
            feature = schema.feature.add()
            feature.CopyFrom(next(each for each in schema.feature if each.name == "origin"))
            feature.name = name
    return schema


def dump(schema: "Schema") -> str:
    """The schema as ``.pbtxt`` text."""
    from google.protobuf import text_format

    return text_format.MessageToString(schema, as_utf8=True)


def _remove(schema: "Schema", name: str) -> None:
    kept = [feature for feature in schema.feature if feature.name != name]
    del schema.feature[:]
    schema.feature.extend(kept)
