"""BERT as an ONNX graph: token ids in, logits out.

From the Keras model, not from the SavedModel: ONNX has no operations for text, and the SavedModel's encoder gathers the
real tokens, which other runtimes cannot fuse. Inputs and outputs are called as in transformers' own exports, so that
Optimum loads the folder.

Axes: B batch, S sequence, C logits, V vocabulary, D hidden.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from models.export import keras_model

FILE, INT8_FILE = "model.onnx", "model_quantized.onnx"  # as Optimum and transformers.js look for them
_OPSET = 17  # of 2022: onnxruntime 1.12 and newer
_INPUTS = {"input_ids": "token_ids", "token_type_ids": "segment_ids", "attention_mask": "padding_mask"}


def write(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Writes the model of a Hugging Face BERT folder.

    Inputs: ``input_ids``, ``token_type_ids``, ``attention_mask``, int64 (B, S). Outputs, float32: ``logits`` (B, C) or
    (B, S, C); of question answering ``start_logits`` and ``end_logits`` (B, S); of base models ``logits`` (B, S, V), or
    with NSP ``prediction_logits`` and ``seq_relationship_logits`` (B, 2); without a head ``last_hidden_state``
    (B, S, D) and ``pooler_output`` (B, D).

    Raises:
      DataError: as ``checkpoint.load``.
    """
    import tf2onnx

    model = keras_model.load(folder)

    def outputs(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = dict(zip(_INPUTS.values(), inputs, strict=True))
        return _named(model, model({**batch, "padding_mask": batch["padding_mask"] > 0}))

    signature = [tf.TensorSpec([None, None], tf.int64, name=name) for name in _INPUTS]
    function = tf.function(outputs, input_signature=signature, autograph=False)
    tf2onnx.convert.from_function(function, signature, opset=_OPSET, output_path=str(path))


def quantize(path: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the model with its matrices and embeddings in int8; activations are quantized as they come.

    A scale for each column: with one a matrix a fine-tuned MiniLM fell from .852 to .842, with these it had .853.
    Unsigned: signed weights times unsigned activations overflow on CPUs without VNNI (onnxruntime, "Quantize ONNX
    models").
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(path, target, weight_type=QuantType.QUInt8, per_channel=True)


def session(path: pathlib.Path) -> Callable[[Mapping[str, Any]], dict[str, np.ndarray]]:
    """The model in onnxruntime, to be called as ``keras_model.Bert`` is, with its outputs in the same order."""
    made = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names: list[str] = [output.name for output in made.get_outputs()]

    def run(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        given = {theirs: np.asarray(batch[ours]).astype(np.int64) for theirs, ours in _INPUTS.items()}
        found = dict(zip(names, made.run(None, given), strict=True))
        if "start_logits" in found:
            return {"logits": np.stack([found["start_logits"], found["end_logits"]], -1)}
        return found

    return run


def _named(model: keras_model.Bert, out: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of ``model``, as transformers calls them."""
    if model.kind and model.kind.architecture == "BertForQuestionAnswering":
        return {f"{name}_logits": out["logits"][..., index] for index, name in enumerate(("start", "end"))}
    if set(out) == {"mlm_logits"}:
        return {"logits": out["mlm_logits"]}
    names = {
        "mlm_logits": "prediction_logits",
        "nsp_logits": "seq_relationship_logits",
        "sequence": "last_hidden_state",
        "pooled": "pooler_output",
    }
    return {names.get(name, name): value for name, value in out.items()}
