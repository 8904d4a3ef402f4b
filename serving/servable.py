"""One version of a model: a SavedModel in a TensorFlow session of its own, as the C++ loader has it."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving import errors
from serving.errors import invalid

Array = Any  # np.ndarray; strings are an object array of bytes

DEFAULT_SIGNATURE = "serving_default"
WARMUP = "assets.extra/tf_serving_warmup_requests"
# Listed among the signatures; they initialize and train (tensorflow/cc/saved_model/constants.h).
_NO_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
_MAX_WARMUP_RECORDS = 1000  # tensorflow/serving, servables/tensorflow/saved_model_warmup_util.h
# TensorFlow's conversion of strings from and to NumPy walks them by an iterator of NumPy's that holds 32 dimensions,
# and does not look whether it got one: more of them end the process.
MAX_STRING_RANK = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Signature:
    """What a model can be asked.

    Attributes:
      name: in the SavedModel.
      inputs: dtype by input name, as TensorFlow calls it: ``float``, ``string`` ….
      outputs: names, in the order of ``call``'s answers.
      batched: whether rows of several requests can be computed together: every input and output is a row an element,
        and no output's shape depends on the other rows.
      text: the SignatureDef in protocol buffers' text format.
      call: arrays in the order of ``inputs`` to arrays in the order of ``outputs``. Any thread; in the server, which
        asks another process, a coroutine.
    """

    name: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    batched: bool
    text: str
    call: Callable[..., Any]


class Servable:
    """A loaded version.

    Args:
      folder: of the SavedModel.

    Attributes:
      folder: the same.
      signatures: by name.
      metadata: their definitions as JSON: a SignatureDefMap with white space and default values.

    Raises:
      Exception: TensorFlow's, for a folder that holds no SavedModel or half of one.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401 (its ops may be in the graph)

        self.folder = folder
        # A negative number of inter-op threads: each call runs in the thread that makes it, whole.
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1, use_per_session_threads=True
        )
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        with graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.metadata = _as_json(meta.signature_def)
        self.signatures = {
            name: self._signature(name, each) for name, each in meta.signature_def.items() if name not in _NO_SIGNATURES
        }
        graph.finalize()

    def _signature(self, name: str, definition: Any) -> Signature:
        try:
            call = _guarded(self._callable(definition), definition.inputs)
        except Exception as error:
            # as TensorFlow Serving: other signatures still work, and a call of this one returns the reason
            call = _refusing(error)
        return Signature(
            name=name,
            inputs={alias: _dtype(info) for alias, info in definition.inputs.items()},
            outputs=tuple(definition.outputs),
            batched=_is_batched(definition),
            text=str(definition),
            call=call,
        )

    def _callable(self, definition: Any) -> Callable[..., Sequence[Any]]:
        from tensorflow.core.protobuf import config_pb2

        options = config_pb2.CallableOptions(
            feed=[_name(info) for info in definition.inputs.values()],
            fetch=[_checked_output(self._session.graph, info) for info in definition.outputs.values()],
        )
        # With feeds, the public Session.make_callable goes the long way of Session.run: 0.2 ms more a call.
        made: Callable[..., Sequence[Any]] = self._session._make_callable_from_options(options)
        return made

    def warm_up(self) -> int:
        """Answers the requests that the model carries, so that the first real one is not the slow one.

        Returns:
          How many there were.
        """
        count = 0
        for signature, inputs in _warmup_requests(self.folder / WARMUP):
            found = self.signatures[signature or DEFAULT_SIGNATURE]
            found.call(*(inputs[name] for name in found.inputs))
            count += 1
        return count

    def close(self) -> None:
        """Frees the session. No call may be running."""
        self._session.close()


def _refusing(error: Exception) -> Callable[..., Sequence[Array]]:
    """The call of an invalid signature: raises the reason."""
    fault = errors.of(error, "INVALID_ARGUMENT")

    def refuse(*_: Array) -> Sequence[Array]:
        raise fault

    return refuse


def _name(info: Any) -> str:
    """Of the tensor; sparse and composite ones consist of several."""
    if not info.name:
        raise invalid("the signature has an input or output that is no dense tensor; JSON cannot carry it")
    return str(info.name)


def _guarded(call: Callable[..., Sequence[Any]], inputs: Mapping[str, Any]) -> Callable[..., Sequence[Array]]:
    """The same with arrays alone as answers; what may end the process is refused.

    That is a shape which the signature excludes: operations rely on what was inferred from it, and not all of them look
    again. And strings of more dimensions than TensorFlow takes.

    Args:
      call: of TensorFlow.
      inputs: TensorInfo by name, in the order of the arguments.
    """
    shapes = [
        None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
        for info in inputs.values()
    ]

    def guarded(*values: Array) -> Sequence[Array]:
        for name, value, shape in zip(inputs, values, shapes, strict=True):
            if shape is not None and not _fits(value.shape, shape):
                raise invalid(f"input {name} has the shape {list(value.shape)}; the signature's is {shape}")
            check_rank(name, value)
        return [_array(answer) for answer in call(*values)]

    return guarded


def check_rank(name: str, value: Array) -> None:
    """Refuses strings of more dimensions than TensorFlow takes; pickle takes no more either."""
    if value.dtype.kind == "O" and value.ndim > MAX_STRING_RANK:
        raise invalid(f"input {name} has {value.ndim} dimensions; strings may have {MAX_STRING_RANK}")


def _fits(shape: Sequence[int], expected: Sequence[int]) -> bool:
    """-1 is any size."""
    return len(shape) == len(expected) and all(size in (-1, got) for got, size in zip(shape, expected, strict=True))


def _array(answer: Any) -> Array:
    """A scalar comes as NumPy's scalar, or as bytes."""
    if isinstance(answer, np.ndarray):
        return answer
    return np.array(answer, object if isinstance(answer, bytes) else None)


def _checked_output(graph: Any, info: Any) -> str:
    """The tensor's name; of strings whose rank only a request decides, the name of one whose rank is checked first."""
    import tensorflow as tf

    if _dtype(info) != "string":
        return _name(info)
    with graph.as_default():
        tensor = graph.get_tensor_by_name(_name(info))
        if tensor.shape.rank is not None and tensor.shape.rank <= MAX_STRING_RANK:
            return _name(info)
        limit = f"strings of an output may have {MAX_STRING_RANK} dimensions"
        check = tf.compat.v1.assert_less_equal(tf.rank(tensor), MAX_STRING_RANK, message=limit)
        with tf.control_dependencies([check]):
            return str(tf.identity(tensor).name)


def _as_json(definitions: Any) -> bytes:
    from google.protobuf import json_format
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    document = json_format.MessageToDict(
        signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _dtype(info: Any) -> str:
    from tensorflow.core.framework import types_pb2

    return str(types_pb2.DataType.Name(info.dtype)).removeprefix("DT_").lower()


def _is_batched(definition: Any) -> bool:
    tensors = [*definition.inputs.values(), *definition.outputs.values()]
    shapes = [tensor.tensor_shape for tensor in tensors]
    return (
        bool(definition.inputs)
        and all(not shape.unknown_rank and shape.dim and shape.dim[0].size == -1 for shape in shapes)
        and all(dim.size >= 0 for output in definition.outputs.values() for dim in list(output.tensor_shape.dim)[1:])
    )


def _warmup_requests(path: Path) -> Iterator[tuple[str, dict[str, Array]]]:
    """Signature name, and tensors by input name."""
    if not path.is_file():
        return
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(os.fspath(path)).take(_MAX_WARMUP_RECORDS).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind == "predict_log":
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        elif kind in ("classify_log", "regress_log"):
            request = getattr(log, kind).request
            inputs = {"inputs": np.array(_serialized(request.input), object)}
        else:
            continue
        yield request.model_spec.signature_name, inputs


def _serialized(given: Any) -> list[bytes]:
    if given.WhichOneof("kind") == "example_list_with_context":
        listed = given.example_list_with_context
        context = listed.context.SerializeToString()
        return [context + example.SerializeToString() for example in listed.examples]
    return [example.SerializeToString() for example in given.example_list.examples]
