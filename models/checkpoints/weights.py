"""The weights of a Hugging Face BERT folder: which tensor is which variable. Dense ones stand there as (out, in)."""

import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from models.checkpoints import torch_file
from models.checkpoints.task_head import HeadKind
from schemas import DataError

if TYPE_CHECKING:  # tfx-bert check reads folders without TensorFlow
    from models.bert.block import Block
    from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead

# What torch's wrappers put in front of the names: DataParallel, compile, and Lightning's modules.
_WRAPPED = re.compile(r"^(?:module\.|_orig_mod\.|model\.)+")
Json = dict[str, Any]
# A variable and its tensors in the file: one, or several that stand side by side along the last axis.
Weight = tuple[Any, tuple[str, ...]]


def parts(
    encoder: "BertEncoder",
    mlm: "MaskedLanguageHead | None" = None,
    nsp: "NextSentenceHead | None" = None,
    head: tuple[HeadKind, Any] | None = None,
) -> dict[str, list[Weight]]:
    """The weights of ``encoder``, of its ``pooler``, and of those heads that are given, under the arguments' names.

    Args:
      encoder: its weights exist.
      mlm: head over masked tokens.
      nsp: head over pairs.
      head: of a task: what it is called in the file, and its Keras layer.
    """
    found = {"encoder": _encoder(encoder), "pooler": _pooler(encoder)}
    if mlm is not None:
        found["mlm"] = _mlm(mlm)
    if nsp is not None:
        found["nsp"] = _nsp(nsp)
    if head is not None:
        kind, logits = head
        found["head"] = list(_dense(logits, kind.layer))
    return found


def _dense(layer: Any, *names: str) -> Iterator[Weight]:
    yield layer.kernel, tuple(f"{name}.weight" for name in names)
    yield layer.bias, tuple(f"{name}.bias" for name in names)


def _norm(layer: Any, name: str) -> Iterator[Weight]:
    yield layer.gamma, (f"{name}.LayerNorm.weight",)
    yield layer.beta, (f"{name}.LayerNorm.bias",)


def _block(block: "Block", name: str) -> Iterator[Weight]:
    yield from _dense(block.qkv, *(f"{name}.attention.self.{part}" for part in ("query", "key", "value")))
    yield from _dense(block.projection, f"{name}.attention.output.dense")
    yield from _norm(block.attention_norm, f"{name}.attention.output")
    yield from _dense(block.intermediate, f"{name}.intermediate.dense")
    yield from _dense(block.output_dense, f"{name}.output.dense")
    yield from _norm(block.output_norm, f"{name}.output")


def _encoder(encoder: "BertEncoder") -> list[Weight]:
    weights: list[Weight] = [
        (encoder.token_embedding, ("bert.embeddings.word_embeddings.weight",)),
        (encoder.position_embedding, ("bert.embeddings.position_embeddings.weight",)),
        (encoder.segment_embedding, ("bert.embeddings.token_type_embeddings.weight",)),
        *_norm(encoder.embedding_norm, "bert.embeddings"),
    ]
    for i, block in enumerate(encoder.blocks):
        weights += _block(block, f"bert.encoder.layer.{i}")
    return weights


def _pooler(encoder: "BertEncoder") -> list[Weight]:
    return list(_dense(encoder.pooler, "bert.pooler.dense"))


def _mlm(head: "MaskedLanguageHead") -> list[Weight]:
    name = "cls.predictions"
    return [
        *_dense(head.transform, f"{name}.transform.dense"),
        *_norm(head.norm, f"{name}.transform"),
        (head.bias, (f"{name}.bias",)),
    ]


def _nsp(head: "NextSentenceHead") -> list[Weight]:
    return list(_dense(head.logits, "cls.seq_relationship"))


def read(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    """Every tensor of the file, as transformers calls it today.

    Raises:
      DataError: the file is missing, truncated, or holds more than tensors.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; save the model with transformers' save_pretrained, which writes it.")
    try:
        stored = torch_file.read(path) if path.suffix == ".bin" else safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise damaged(path, error) from None
    return {canonical(name): value for name, value in stored.items()}


def damaged(path: pathlib.Path, error: Exception) -> DataError:
    """What is raised of a file that no library reads to its end."""
    return DataError(f"{path}: truncated or damaged ({error}); fetch the checkpoint again.")


def canonical(name: str) -> str:
    """What transformers calls a tensor today, by a name of any of its releases, or of a torch wrapper around it."""
    name = _WRAPPED.sub("", name)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "qa_outputs.")) else f"bert.{name}"


def _is_dense_kernel(variable: Any) -> bool:
    return bool(variable.name == "kernel")


def value_of(variable: Any, names: tuple[str, ...], stored: Mapping[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
    """What ``variable`` holds, of the tensors ``names`` in ``stored``; ``path`` is named in errors."""
    found = []
    shape = (*variable.shape[:-1], variable.shape[-1] // len(names))
    for name in names:
        expected = shape[::-1] if _is_dense_kernel(variable) else shape
        check(name, expected, path, stored)
        part = stored[name].T if _is_dense_kernel(variable) else stored[name]
        found.append(part)
    return np.concatenate(found, axis=-1)


def check(name: str, expected: tuple[int, ...], path: pathlib.Path, stored: Mapping[str, np.ndarray]) -> None:
    """That a tensor is there, has the shape that it must have, and holds numbers."""
    if name not in stored:
        others = sorted(stored)
        such = f", such as {others[0]}" if others else ""
        raise DataError(
            f"{path}: tensor {name} is missing; the file holds {len(others)} others{such}. "
            "Save the model with transformers' save_pretrained, or fetch the checkpoint again."
        )
    if stored[name].shape != expected:
        raise DataError(
            f"{path}: tensor {name} has shape {stored[name].shape}, config.json makes it {expected}: the files "
            "come from different models."
        )
    if not np.isfinite(stored[name]).all():
        raise DataError(
            f"{path}: tensor {name} holds NaN or infinity: the training that saved it had diverged; take an earlier "
            "checkpoint of it."
        )


def shapes(arguments: Json) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an encoder's tensors as they are stored, without TensorFlow."""
    width, inner = arguments["hidden_dim"], arguments["intermediate_dim"]
    norm: dict[str, tuple[int, ...]] = {"weight": (width,), "bias": (width,)}

    def dense(outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (outputs, inputs), "bias": (outputs,)}

    layers: dict[str, dict[str, tuple[int, ...]]] = {
        "embeddings.word_embeddings": {"weight": (arguments["vocabulary_size"], width)},
        "embeddings.position_embeddings": {"weight": (arguments["max_positions"], width)},
        "embeddings.token_type_embeddings": {"weight": (arguments["num_segments"], width)},
        "embeddings.LayerNorm": norm,
        "pooler.dense": dense(width, width),
    }
    for index in range(arguments["num_layers"]):
        layers |= {
            f"encoder.layer.{index}.{name}": parts
            for name, parts in (
                *((f"attention.self.{part}", dense(width, width)) for part in ("query", "key", "value")),
                ("attention.output.dense", dense(width, width)),
                ("attention.output.LayerNorm", norm),
                ("intermediate.dense", dense(inner, width)),
                ("output.dense", dense(width, inner)),
                ("output.LayerNorm", norm),
            )
        }
    return {f"bert.{name}.{part}": shape for name, parts in layers.items() for part, shape in parts.items()}


def tensors_of(variable: Any, names: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """The inverse of ``value_of``: each tensor under its name."""
    for name, part in zip(names, np.split(np.asarray(variable), len(names), axis=-1), strict=True):
        yield name, np.ascontiguousarray(part.T if _is_dense_kernel(variable) else part)
