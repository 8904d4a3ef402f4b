"""One TFMD schema for each kind of record, and the error for data that breaks it."""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

FOLDER = Path(__file__).parent


class DataError(ValueError):
    """The data is at fault: what is wrong, what was received, where (``file:line``), how to fix it. Exit code 3."""


def load(name: str | Path) -> "Schema":
    """The TFMD schema of a record kind.

    Args:
      name: such as ``classification``; the path of a module, ``family.kind``, whose schema lies beside it as
        ``kind.pbtxt``; or a ``.pbtxt`` file of the user's own.

    Raises:
      DataError: no such schema, or a file that does not parse.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    path = _file(str(name))
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except FileNotFoundError:
        kinds = ", ".join(sorted(file.stem for file in FOLDER.glob("*.pbtxt")))
        raise DataError(f"there is no schema {path}: give a .pbtxt file, or one of {kinds}.") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a TFMD schema in text form: {error}.") from None


def _file(name: str) -> Path:
    if name.endswith(".pbtxt"):
        return Path(name)
    module = importlib.util.find_spec(name) if "." in name else None
    return Path(module.origin).with_suffix(".pbtxt") if module and module.origin else FOLDER / f"{name}.pbtxt"


def resolve(
    kind: str,
    *,
    labels: Sequence[str] = (),
    slices: Mapping[str, Sequence[str]] = MappingProxyType({}),
    pair: bool = False,
    path: str | None = None,
) -> "Schema":
    """The schema that an experiment's records must satisfy.

    Args:
      kind: the record kind: a name in this folder, or the path of a module.
      labels: the only values of ``label``; where there are none, it takes any.
      slices: columns that every record carries beside those of its kind, each with its only values, or with none: then
        it takes any.
      pair: whether records hold a ``text_pair``.
      path: a schema of the user's own, taken as it is.

    Raises:
      DataError: the user's own schema lacks a feature that every record has, or lets it be missing.
    """
    schema = load(kind)
    if not pair:
        _remove(schema, "text_pair")
    if path:
        own = load(path)
        _covers(own, path, schema, slices)
        return own
    for domain in schema.string_domain:
        domain.value.extend(labels)
    if not labels:  # any are right
        del schema.string_domain[:]
        for feature in schema.feature:
            feature.ClearField("domain")
    for name, values in slices.items():
        if name not in {feature.name for feature in schema.feature}:
            feature = schema.feature.add()
            feature.CopyFrom(next(each for each in schema.feature if each.name == "origin"))
            feature.name = name
            if values:
                feature.domain = name
                schema.string_domain.add(name=name, value=values)
    return schema


def _covers(own: "Schema", path: str, needed: "Schema", slices: Iterable[str]) -> None:
    """Refuses a schema without what the nodes behind the gate read: they parse a record by it."""
    features = {feature.name: feature for feature in own.feature}
    for name in [feature.name for feature in needed.feature] + list(slices):
        if name not in features:
            raise DataError(f"{path}: add the feature {name!r}, which every record here has.")
    for feature in (each for each in needed.feature if each.presence.min_fraction == 1):
        given = features[feature.name]
        if given.presence.min_fraction < 1 or not given.HasField("shape") or given.shape.dim:
            raise DataError(
                f"{path}: the feature {feature.name!r} stands once in every record, so it needs "
                "presence { min_fraction: 1.0 min_count: 1 } and shape {}."
            )


def dump(schema: "Schema") -> str:
    """The schema as ``.pbtxt`` text."""
    from google.protobuf import text_format

    return text_format.MessageToString(schema, as_utf8=True)


def _remove(schema: "Schema", name: str) -> None:
    kept = [feature for feature in schema.feature if feature.name != name]
    del schema.feature[:]
    schema.feature.extend(kept)
