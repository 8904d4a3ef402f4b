"""Checks graphs against TensorFlow Serving: unknown operations are refused, unknown attributes ignored.

``serving_ops.xz`` holds the definitions, an ``OpList``; ``scripts/serving_ops`` writes it.
"""

import functools
import lzma
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

RELEASE = "2.20.0"
_FILE = pathlib.Path(__file__).with_name("serving_ops.xz")
# Where an AttrValue keeps a value of each type (core/framework/attr_value.proto).
_FIELDS = {"string": "s", "int": "i", "float": "f", "bool": "b"}


@functools.cache
def definitions() -> Mapping[str, Any]:
    """An ``OpDef``, without its descriptions, by the name of each operation that TensorFlow Serving links."""
    from tensorflow.core.framework import op_def_pb2

    return {op.name: op for op in op_def_pb2.OpList.FromString(lzma.decompress(_FILE.read_bytes())).op}


def faults(node: Any) -> Iterator[str]:
    """A sentence for each: core/framework/node_def_util.cc, ValidateNodeDef.

    TensorFlow only logs an attribute that it does not know: what the attribute asks for would not happen.

    Args:
      node: a ``NodeDef`` of a graph or of a function.
    """
    op = definitions().get(node.op)
    if op is None:
        yield f"op {node.op} is not linked by TensorFlow Serving {RELEASE}"
        return
    known = {attribute.name: attribute for attribute in op.attr}
    for name, value in node.attr.items():
        if name.startswith("_") or value.placeholder:
            continue
        if name not in known:
            yield f"op {node.op} has no attribute {name} in TensorFlow Serving {RELEASE}, which would ignore it"
        elif not _fits(value, known[name]):
            yield f"op {node.op} does not take this {name} in TensorFlow Serving {RELEASE}"
    for name, attribute in known.items():
        if name not in node.attr and not attribute.HasField("default_value"):
            yield f"op {node.op} needs an attribute {name} in TensorFlow Serving {RELEASE}"


def _fits(value: Any, attribute: Any) -> bool:
    """Whether an attribute is of its type, and among the values that are allowed."""
    kind, is_list = attribute.type.removeprefix("list(").removesuffix(")"), attribute.type.startswith("list(")
    field = _FIELDS.get(kind, kind)
    if value.WhichOneof("value") != ("list" if is_list else field):
        return False
    given = getattr(value.list, field) if is_list else [getattr(value, field)]
    allowed = getattr(attribute.allowed_values.list, field) if attribute.HasField("allowed_values") else given
    least = (len(given) if is_list else given[0]) >= attribute.minimum if attribute.has_minimum else True
    return least and all(each in allowed for each in given)
