"""Checkpoints in and out: a folder that ``transformers.MBartForConditionalGeneration`` loads, with our vocabulary.

``config.json``, ``model.safetensors``, ``vocab.txt``, ``text.json``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from models.checkpoints import checkpoint_tokenizer, layout, weights
from models.text.tokenization import Tokenizer
from models.vocabularies import RULES
from schemas import DataError

if TYPE_CHECKING:
    from models.bert.block import LayerNorm, Linear
    from models.translation.transformer import Transformer

_ARCHITECTURE = "MBartForConditionalGeneration"
# Its position tables begin with two rows that no position has (MBartLearnedPositionalEmbedding.offset).
_OFFSET = 2
# config.json's names of Transformer's arguments; the decoder's heads and inner width are the encoder's.
_ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "encoder_layers",
    "num_decoder_layers": "decoder_layers",
    "hidden_dim": "d_model",
    "num_heads": "encoder_attention_heads",
    "intermediate_dim": "encoder_ffn_dim",
    "max_positions": "max_position_embeddings",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
}


def arguments(folder: Path) -> dict[str, Any]:
    """The arguments of ``Transformer`` that the folder's ``config.json`` describes.

    Raises:
      DataError: it describes another model.
    """
    path = folder / "config.json"
    config = checkpoint_tokenizer.json_object(path)
    if config.get("architectures") != [_ARCHITECTURE] or (missing := set(_ARGUMENTS.values()) - config.keys()):
        said = (
            ", ".join(sorted(missing)) if config.get("architectures") == [_ARCHITECTURE] else config.get("model_type")
        )
        raise DataError(f"{path}: not the configuration of a translation model of tfx-bert ({said}).")
    return {argument: config[name] for argument, name in _ARGUMENTS.items()}


def load(folder: Path, network: "Transformer") -> None:
    """Assigns the folder's weights to a network of its ``arguments``.

    Raises:
      DataError: naming the tensor and the file, if one is missing or has another shape, or the file is truncated.
    """
    path = folder / layout.SAFETENSORS
    try:
        stored = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise weights.damaged(path, error) from None
    positions = {name for name in stored if name.endswith("embed_positions.weight")}
    stored = {name: value[_OFFSET:] if name in positions else value for name, value in stored.items()}
    for variable, names in tensors(network):
        variable.assign(weights.value_of(variable, names, stored, path))


def save(folder: Path, network: "Transformer", tokenizer: Tokenizer) -> None:
    """Writes the folder, which does not exist yet."""
    folder.mkdir(parents=True)
    shape = {name: getattr(network, argument) for argument, name in _ARGUMENTS.items()}
    config = {
        "architectures": [_ARCHITECTURE],
        "model_type": "mbart",
        **shape,
        "decoder_attention_heads": network.num_heads,
        "decoder_ffn_dim": network.intermediate_dim,
        "activation_function": "gelu",
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_id,
        "bos_token_id": tokenizer.cls_id,
        "eos_token_id": tokenizer.sep_id,
        "decoder_start_token_id": tokenizer.cls_id,
        "forced_eos_token_id": None,
    }
    layout.write_json(folder / "config.json", config)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in tokenizer.vocabulary), "utf-8")
    rules = {"kind": "wordpiece", **tokenizer.rules.dump()}
    (folder / RULES).write_text(json.dumps(rules, ensure_ascii=False, indent=1), "utf-8")
    written = dict(each for variable, names in tensors(network) for each in weights.tensors_of(variable, names))
    for name in [name for name in written if name.endswith("embed_positions.weight")]:
        written[name] = np.pad(written[name], [(_OFFSET, 0), (0, 0)])
    safetensors.numpy.save_file(written, folder / layout.SAFETENSORS, metadata={"format": "pt"})
    (folder / layout.SAFETENSORS).chmod(0o644)  # safetensors makes it the writer's alone


def tensors(network: "Transformer") -> Iterator[weights.Weight]:
    """Each variable with its tensors in the file."""
    yield network.token_embedding, ("model.shared.weight",)
    sides = {
        "encoder": (network.source_positions, network.source_norm, network.source_end, network.encoder_blocks),
        "decoder": (network.target_positions, network.target_norm, network.target_end, network.decoder_blocks),
    }
    for side, (positions, first, last, blocks) in sides.items():
        yield positions, (f"model.{side}.embed_positions.weight",)
        yield from _norm(first, f"model.{side}.layernorm_embedding")
        yield from _norm(last, f"model.{side}.layer_norm")
        for index, block in enumerate(blocks):
            yield from _block(block, f"model.{side}.layers.{index}", crosses=side == "decoder")


def _block(block: Any, name: str, *, crosses: bool) -> Iterator[weights.Weight]:
    yield from _norm(block.attention_norm, f"{name}.self_attn_layer_norm")
    yield from _dense(block.qkv, *(f"{name}.self_attn.{part}_proj" for part in "qkv"))
    yield from _dense(block.projection, f"{name}.self_attn.out_proj")
    if crosses:
        yield from _norm(block.cross_norm, f"{name}.encoder_attn_layer_norm")
        yield from _dense(block.query, f"{name}.encoder_attn.q_proj")
        yield from _dense(block.key_value, *(f"{name}.encoder_attn.{part}_proj" for part in "kv"))
        yield from _dense(block.cross_projection, f"{name}.encoder_attn.out_proj")
    yield from _norm(block.output_norm, f"{name}.final_layer_norm")
    yield from _dense(block.intermediate, f"{name}.fc1")
    yield from _dense(block.output_dense, f"{name}.fc2")


def _dense(layer: "Linear", *names: str) -> Iterator[weights.Weight]:
    yield layer.kernel, tuple(f"{name}.weight" for name in names)
    yield layer.bias, tuple(f"{name}.bias" for name in names)


def _norm(layer: "LayerNorm", name: str) -> Iterator[weights.Weight]:
    yield layer.gamma, (f"{name}.weight",)
    yield layer.beta, (f"{name}.bias",)
