"""Digests a SavedModel by what decides its answers, so that two exports of one model compare equal.

Two exports of one model differ in their bytes. TensorFlow numbers functions, layers and custom gradients by what the
process has traced before, Keras saves the variables in the order of a set of Python ids, so that each has another key,
and ``fingerprint.pb`` digests all that. So a graph is digested from its inputs to its outputs: a node is its operation,
its attributes and what goes in, a function is its body, a variable is its value, and names decide nothing.
"""

import collections
import graphlib
import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.export import card, golden, warmup
from models.training import curve

# What a model was made with, how its training went, and requests that follow from its signatures.
_ABOUT = (card.FILE, warmup.FILE, "experiment.yaml", "fine_tuning.json", curve.FILE)
# Attributes that say where and how a function is executed: those of a machine with a GPU are other ones.
_EXECUTION = ("config", "config_proto", "executor_type")
_CHUNK = 1 << 20  # bytes a read


def digest(folder: str) -> str:
    """SHA-256 (hex) of the model in a SavedModel's folder, on any file system of TensorFlow's.

    Of its weights by value, its signatures and the graphs behind them, its assets, and what it hands over to a training
    in ``assets.extra``.

    Raises:
      tf.errors.OpError: a file is missing, damaged or out of reach.
      google.protobuf.message.DecodeError: ``saved_model.pb`` is damaged.
      ValueError: a graph has a loop that is no function, as TensorFlow 1 wrote them.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    with tf.io.gfile.GFile(posixpath.join(folder, "saved_model.pb"), "rb") as file:
        graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    variables = collections.defaultdict[str, list[str]](list)
    for name, value in _variables(folder):
        variables[name].append(value)
    parts = sorted([sorted(graph.meta_info_def.tags), _Graph(graph, folder, variables).digest()] for graph in graphs)
    values = sorted(variables.values())
    return _of(parts, values, sorted(_extra(posixpath.join(folder, "assets.extra"))))


def of_whole(folder: str) -> str | None:
    """``digest``; None where the folder holds no model that is whole."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return digest(folder)
    except (DecodeError, tf.errors.NotFoundError, tf.errors.DataLossError):
        return None


class _Graph:
    """A graph of a SavedModel: a node's digest covers all that goes into it."""

    def __init__(self, graph: Any, folder: str, variables: Mapping[str, list[str]]) -> None:
        self.signatures: Any = graph.signature_def
        self.nodes: Any = graph.graph_def.node
        self.functions = {each.signature.name: each for each in graph.graph_def.library.function}
        self.digests: dict[str, str] = {}  # of functions
        self.known = {  # of nodes, where what they stand for lies elsewhere
            node.name: _of(variables[name])
            for node in self.nodes
            if node.op == "VarHandleOp" and (name := node.attr["shared_name"].s.decode()) in variables
        }
        for asset in graph.asset_file_def:
            self.known[_node(asset.tensor_info.name)] = _content(posixpath.join(folder, "assets", asset.filename))

    def digest(self) -> str:
        """Of every signature."""
        fed = collections.defaultdict[str, list[tuple[str, str]]](list)
        for name, signature in self.signatures.items():
            for key, tensor in signature.inputs.items():
                fed[_node(tensor.name)].append((name, key))
        known = {**self.known, **{node: _of("input", sorted(places)) for node, places in fed.items()}}
        found = self._found(self.nodes, known)
        return _of(
            sorted(
                [name, signature.method_name, _described(signature.inputs)]
                + [(key, _tensor(tensor.name, found)) for key, tensor in sorted(signature.outputs.items())]
                for name, signature in self.signatures.items()
            )
        )

    def _found(self, nodes: Iterable[Any], known: Mapping[str, str]) -> dict[str, str]:
        """Digests of nodes by their names.

        Args:
          nodes: all of a graph or of a function's body.
          known: digests of some, and of a function's arguments.
        """
        by_name, found = {node.name: node for node in nodes}, dict(known)
        order = graphlib.TopologicalSorter({name: map(_node, node.input) for name, node in by_name.items()})
        for name in order.static_order():
            if name not in found:
                node = by_name[name]
                data = [_tensor(each, found) for each in node.input if not each.startswith("^")]
                after = sorted(found[_node(each)] for each in node.input if each.startswith("^"))
                found[name] = _of(node.op, data, after, sorted(self._attributes(node.attr)))
        return found

    def _attributes(self, attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Those that decide what a node computes; those in ``_`` are hints."""
        for name, value in attributes.items():
            if name.startswith("_") or name in _EXECUTION:
                continue
            called = [value.func] if value.HasField("func") else value.list.func
            yield (
                name,
                _of([(self._function(each.name), sorted(self._attributes(each.attr))) for each in called])
                if called
                else _of(value.SerializeToString(deterministic=True)),
            )

    def _function(self, name: str) -> str:
        if name not in self.digests:
            function = self.functions[name]
            taken = {each.name: _of("argument", i, each.type) for i, each in enumerate(function.signature.input_arg)}
            found = self._found(function.node_def, taken)
            given = [_tensor(function.ret[each.name], found) for each in function.signature.output_arg]
            self.digests[name] = _of(given, sorted(found[node] for node in function.control_ret.values()))
        return self.digests[name]


def _node(tensor: str) -> str:
    """The node of a tensor ``node``, ``node:0`` or ``node:output:0``, or of a control dependency ``^node``."""
    return tensor.removeprefix("^").partition(":")[0]


def _tensor(name: str, found: Mapping[str, str]) -> list[str]:
    node, _, output = name.partition(":")
    return [found[node], output or "0"]


def _described(inputs: Mapping[str, Any]) -> list[Any]:
    """Names, dtypes and shapes."""
    return sorted(
        (name, tensor.dtype, tensor.tensor_shape.SerializeToString(deterministic=True).hex())
        for name, tensor in inputs.items()
    )


def _variables(folder: str) -> Iterator[tuple[str, str]]:
    """The digest of every variable's value, by the name that the graph calls it."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    prefix = posixpath.join(folder, "variables", "variables")
    if not tf.io.gfile.exists(f"{prefix}.index"):
        return
    values = tf.train.load_checkpoint(prefix)
    objects = values.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    for node in trackable_object_graph_pb2.TrackableObjectGraph.FromString(objects).nodes:
        for each in node.attributes:
            if values.has_tensor(each.checkpoint_key):
                value = np.asarray(values.get_tensor(each.checkpoint_key))
                content = value.tobytes() if value.dtype.kind not in "OS" else repr(value.tolist()).encode()
                yield each.full_name, _of("variable", str(value.dtype), value.shape, content)


def _extra(folder: str) -> Iterator[tuple[str, str]]:
    """Names and contents; of the golden answers only whose they are, for they follow from the weights."""
    import tensorflow as tf

    for here, _, names in tf.io.gfile.walk(folder):
        for name in names:
            path = posixpath.join(here, name)
            relative = posixpath.relpath(path, folder)
            if relative == golden.FILE:
                with tf.io.gfile.GFile(path) as file:
                    kept = json.load(file)
                yield relative, _of(kept["inputs"], kept["task"])
            elif relative not in _ABOUT:
                yield relative, _content(path)


def _content(path: str) -> str:
    import tensorflow as tf

    found = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _of(*parts: Any) -> str:
    """SHA-256 (hex) of bytes, or of anything that JSON can say."""
    found = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()
