"""``python -P -m models.export.serving_check FOLDER``: loads a SavedModel as a server would, in a clean process.

Prints one JSON document, ``{"faults": [...], "signatures": [...], "ops": n}``; a fault is a sentence.
"""

import json
import pathlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from models import families
from models.export import golden, serving_ops
from models.families import Family

# Batched and single rows take other kernels; float32 through 12 layers.
TOLERANCE = 1e-4


def check(folder: pathlib.Path) -> dict[str, Any]:
    """Every fault of the export in ``folder``; ``assets.extra/golden.json`` says what it must answer."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    kept = golden.read(folder / "assets.extra")
    family, the_task = families.load(kept["family"]), golden.answers(folder / "assets.extra")
    written = the_task.written if the_task else ()
    nodes = list(_nodes(folder))
    faults = list(dict.fromkeys(fault for node in nodes for fault in serving_ops.faults(node)))
    model = tf.saved_model.load(str(folder))
    wanted = dict.fromkeys((*family.signatures, *kept.get("signatures", ())))
    faults += [f"signature {name} is missing" for name in wanted if name not in model.signatures]
    there, asked = sorted(model.signatures), {}
    if varying := [fault for name in there for fault in _varying(name, model.signatures[name])]:
        return {"faults": [*faults, *varying], "signatures": sorted(model.signatures), "ops": 0}
    for name in there:
        takes = model.signatures[name].structured_input_signature[1]
        asked[name] = _arguments(takes, kept["inputs"], family)
    in_session = _session(folder, asked)
    for name in there:
        call = model.signatures[name]
        batched = _call(call, asked[name])
        if name.startswith("serving"):
            faults += _compare(f"{name}, the reloaded model against the trained one", kept["outputs"], batched, written)
        faults += _compare(f"{name}, single rows against the batch", batched, _one_by_one(call, asked[name]), written)
        faults += _compare(f"{name}, a TF1 session against TF2", batched, in_session[name], written)
    return {"faults": faults, "signatures": sorted(model.signatures), "ops": len({node.op for node in nodes})}


def _nodes(folder: pathlib.Path) -> Iterator[Any]:
    """Every ``NodeDef``, of the graph and of its functions."""
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for graph in (meta.graph_def for meta in proto.meta_graphs):
        yield from graph.node
        yield from (node for function in graph.library.function for node in function.node_def)


def _varying(name: str, signature: Any) -> Iterator[str]:
    """Outputs that TensorFlow Serving's batching cannot split and join: it looks at the number of rows only."""
    for output, spec in signature.structured_outputs.items():
        if not spec.shape.rank or not spec.shape[1:].is_fully_defined():
            yield f"{name}: {output} is {spec.shape}, but a row must have the same shape in every batch"


def _arguments(takes: Iterable[str], inputs: Mapping[str, list[str]], family: Family) -> dict[str, list[Any]]:
    """The golden values as a signature takes them: by input, or as serialized Examples."""
    if "examples" not in takes:
        known = {each.name: list(each.golden) for each in family.inputs}
        return {name: {**known, **inputs}[name] for name in takes}  # an endpoint may have inputs of its own
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    return {"examples": [family.example(row).SerializeToString() for row in rows]}


def _call(signature: Any, arguments: Mapping[str, list[Any]]) -> dict[str, Any]:
    import tensorflow as tf

    outputs = signature(**{name: tf.constant(values) for name, values in arguments.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def _one_by_one(signature: Any, arguments: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The outputs for one row after the other."""
    count = len(next(iter(arguments.values())))
    rows = [_call(signature, {name: values[i : i + 1] for name, values in arguments.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _session(folder: pathlib.Path, asked: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, dict[str, Any]]:
    """What every signature answers in a TensorFlow 1 session, the way of the C++ loader."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        found = {}
        for name, arguments in asked.items():
            signature = meta.signature_def[name]
            feed = {signature.inputs[argument].name: values for argument, values in arguments.items()}
            found[name] = session.run({each: out.name for each, out in signature.outputs.items()}, feed)
        return found


def _compare(
    what: str, expected: Mapping[str, Any], got: Mapping[str, Any], written: Collection[str] = ()
) -> Iterator[str]:
    """Floats within the tolerance, integers exactly, text where it is ``written``: a label may turn at equal scores."""
    for name, value in expected.items():
        wanted, seen = np.asarray(value), np.asarray(got.get(name, np.nan))
        if name in written:
            yield from _compare_text(f"{what}: {name}", wanted, seen)
            continue
        # Empty lists, as of texts without a span, have no type in golden.json.
        if wanted.dtype.kind not in "fi" or wanted.size == seen.size == 0:
            continue
        if wanted.shape != seen.shape or seen.dtype.kind not in "fi" or not np.isfinite(seen).all():
            yield (
                f"{what}: {name} is {seen.shape} of {seen.dtype} or not finite, "
                f"expected finite {wanted.shape} of {wanted.dtype}"
            )
            continue
        allowed = TOLERANCE if wanted.dtype.kind == "f" else 0
        rows = np.abs(wanted - seen).reshape(len(wanted), -1).max(axis=1)
        if rows.max() > allowed:
            yield f"{what}: {name} differs by {rows.max():.1e} on golden value {rows.argmax()} (allowed {allowed:.0e})"


def _compare_text(what: str, wanted: np.ndarray, seen: np.ndarray) -> Iterator[str]:
    """Byte for byte. The texts themselves are not told: they are whoever's the model learned from."""
    if wanted.shape != seen.shape or seen.dtype.kind not in "OSU":
        yield f"{what} is {seen.shape} of {seen.dtype}, expected text {wanted.shape}"
    elif rows := [
        place for place, pair in enumerate(zip(_bytes(wanted), _bytes(seen), strict=True)) if len(set(pair)) > 1
    ]:
        yield f"{what} differs on golden value {', '.join(map(str, rows))}"


def _bytes(values: np.ndarray) -> list[bytes]:
    """Of a graph's bytes, or of a file's text."""
    return [each.encode() if isinstance(each, str) else each for each in values.ravel().tolist()]


if __name__ == "__main__":
    json.dump(check(pathlib.Path(sys.argv[1])), sys.stdout)
