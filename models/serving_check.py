"""``python -m models.serving_check FOLDER``: loads a SavedModel as a server would, in a clean process.

Prints one JSON document, ``{"faults": [...], "signatures": [...], "ops": n}``; a fault is a sentence.
"""

import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# tensorflow-text ops that TF Serving links: ops_lib of tensorflow-text, in tensorflow/serving's model_servers/BUILD
# (SUPPORTED_TENSORFLOW_OPS). Read, not tried against a server.
TEXT_OPS = frozenset({"FastWordpieceTokenizeWithOffsets", "NormalizeUTF8"})
SIGNATURES = ("serving_default", "serving_examples", "embed", "transform_features")
# Batched and single rows take other kernels; float32 through 12 layers.
TOLERANCE = 1e-4


def check(folder: pathlib.Path) -> dict[str, Any]:
    """Every fault of the export in ``folder``; ``assets.extra/golden.json`` says what it must answer."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    golden = json.loads((folder / "assets.extra" / "golden.json").read_text("utf-8"))
    ops = set(_ops(folder))
    faults = foreign_ops(ops)
    model = tf.saved_model.load(str(folder))
    missing = [name for name in SIGNATURES if name not in model.signatures]
    faults += [f"signature {name} is missing" for name in missing]
    if "serving_default" not in missing:
        serve = model.signatures["serving_default"]
        batched = {k: v.numpy() for k, v in serve(**{k: tf.constant(v) for k, v in golden["inputs"].items()}).items()}
        faults += _compare("the reloaded model against the trained one", golden["outputs"], batched)
        faults += _compare("single texts against the batch", batched, _one_by_one(serve, golden["inputs"]))
        faults += _compare("a TF1 session against TF2", batched, _session(folder, golden["inputs"]))
    return {"faults": faults, "signatures": sorted(model.signatures), "ops": len(ops)}


def foreign_ops(ops: set[str]) -> list[str]:
    """A sentence for each op that is neither TensorFlow's own nor among ``TEXT_OPS``."""
    import tensorflow as tf

    allowed = TEXT_OPS | set(dir(tf.raw_ops))
    return [f"op {op} is not linked by TF Serving" for op in sorted(ops - allowed)]


def _ops(folder: pathlib.Path) -> Iterator[str]:
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for graph in (meta.graph_def for meta in proto.meta_graphs):
        yield from (node.op for node in graph.node)
        yield from (node.op for function in graph.library.function for node in function.node_def)


def _one_by_one(serve: Any, inputs: Mapping[str, list[str]]) -> dict[str, Any]:
    import tensorflow as tf

    rows = [
        serve(**{k: tf.constant([v[i]]) for k, v in inputs.items()}) for i in range(len(next(iter(inputs.values()))))
    ]
    return {name: np.concatenate([row[name].numpy() for row in rows]) for name in rows[0]}


def _session(folder: pathlib.Path, inputs: Mapping[str, list[str]]) -> dict[str, Any]:
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = meta.signature_def["serving_default"]
        feed = {signature.inputs[name].name: values for name, values in inputs.items()}
        result: dict[str, Any] = session.run({name: out.name for name, out in signature.outputs.items()}, feed)
        return result


def _compare(what: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[str]:
    for name, value in expected.items():
        wanted, seen = np.asarray(value), np.asarray(got.get(name, np.nan))
        if not np.issubdtype(wanted.dtype, np.floating):
            continue
        if wanted.shape != seen.shape or not np.isfinite(seen).all():
            yield f"{what}: {name} is {seen.shape} or not finite, expected finite {wanted.shape}"
            continue
        rows = np.abs(wanted - seen).reshape(len(wanted), -1).max(axis=1)
        if rows.max() > TOLERANCE:
            yield f"{what}: {name} differs by {rows.max():.1e} on golden text {rows.argmax()} (allowed {TOLERANCE:.0e})"


if __name__ == "__main__":
    json.dump(check(pathlib.Path(sys.argv[1])), sys.stdout)
