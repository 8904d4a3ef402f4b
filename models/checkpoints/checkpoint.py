"""Checkpoints in and out: a Hugging Face BERT folder is the one format.

``config.json`` (shape, head), the tokenizer's files (``checkpoint_tokenizer``), ``model.safetensors`` or
``pytorch_model.bin`` (weights; dense ones stand there as (out, in)). What is written are safetensors.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors
import safetensors.numpy

from models import progress
from models.checkpoints import checkpoint_tokenizer, torch_file
from models.checkpoints.checkpoint_tokenizer import OURS, json_object
from schemas import DataError

if TYPE_CHECKING:  # tfx-bert check reads folders without TensorFlow
    from models.bert.encoder import BertEncoder, Block, MaskedLanguageHead, NextSentenceHead

Json = dict[str, Any]
Path = str | pathlib.Path
_WEIGHTS = "model.safetensors"
# In the order in which they are looked for.
WEIGHTS = (_WEIGHTS, "pytorch_model.bin")
FILES = ("config.json", *checkpoint_tokenizer.FILES, *WEIGHTS)
# What torch's wrappers put in front of the names: DataParallel, compile, and Lightning's modules.
_WRAPPED = re.compile(r"^(?:module\.|_orig_mod\.|model\.)+")
# config.json's names of BertEncoder's arguments.
_ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "hidden_dim": "hidden_size",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "layer_norm_epsilon": "layer_norm_eps",
}


@dataclasses.dataclass(frozen=True)
class HeadKind:
    """A task's head as transformers has it: one linear layer.

    Attributes:
      architecture: transformers' class.
      layer: what its tensors are called.
      over: the encoder's output that it reads: ``pooled`` (B, D) or ``sequence`` (B, S, D).
      problem_type: which loss, where the class has several.
    """

    architecture: str
    layer: str
    over: Literal["pooled", "sequence"]
    problem_type: str | None = None


# By the name that a task gives as its ``head``.
HEADS = {
    "classification": HeadKind("BertForSequenceClassification", "classifier", "pooled", "single_label_classification"),
    "multi_label": HeadKind("BertForSequenceClassification", "classifier", "pooled", "multi_label_classification"),
    "regression": HeadKind("BertForSequenceClassification", "classifier", "pooled", "regression"),
    "token_classification": HeadKind("BertForTokenClassification", "classifier", "sequence"),
    "question_answering": HeadKind("BertForQuestionAnswering", "qa_outputs", "sequence"),
}


@dataclasses.dataclass(frozen=True)
class Head:
    """A fine-tuned head, to be written.

    Attributes:
      kind: its row of ``HEADS``.
      logits: the Keras layer: ``kernel`` (D, C) and ``bias`` (C,).
      labels: C names, in the order of the logits; none where the logits have no names.
      dropout: in front of the layer.
      max_length: tokens a row in training.
    """

    kind: HeadKind
    logits: Any
    labels: Sequence[str]
    dropout: float
    max_length: int


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a folder says besides its weights.

    Attributes:
      encoder: arguments of ``BertEncoder``.
      vocabulary: the pieces, in the order of their ids.
      rules: how text becomes words, as ``TextRules.dump`` gives it.
      architecture: transformers' class.
      head: of a fine-tuned model; None for base models, and for heads that are not in ``HEADS``.
      labels: names of the head's logits.
      digest: SHA-256 over the files' contents, hexadecimal.
    """

    encoder: Json
    vocabulary: list[str]
    rules: Json
    architecture: str
    head: HeadKind | None
    labels: list[str]
    digest: str


def read(folder: Path) -> Checkpoint:
    """Reads everything but the weights.

    Raises:
      DataError: if a file is missing or unreadable, or the model is not the BERT of Devlin et al. 2019.
    """
    folder = pathlib.Path(folder)
    encoder = encoder_arguments(folder / "config.json")
    tokenizer = checkpoint_tokenizer.read(folder)
    if len(tokenizer.vocabulary) > encoder["vocabulary_size"]:
        raise DataError(
            f"{folder}: the vocabulary has {len(tokenizer.vocabulary):,} pieces but config.json says vocab_size "
            f"{encoder['vocabulary_size']:,}: the files come from different models."
        )
    architecture, head, labels = _head(json_object(folder / "config.json"))
    return Checkpoint(encoder, tokenizer.vocabulary, tokenizer.rules, architecture, head, labels, _digest(folder))


def files(folder: Path) -> list[pathlib.Path]:
    """The files that are read, those that are there; of two files of weights the first of ``WEIGHTS``."""
    places = [pathlib.Path(folder) / name for name in FILES if name not in WEIGHTS]
    return [path for path in (*places, weights_file(folder)) if path.is_file()]


def weights_file(folder: Path) -> pathlib.Path:
    """The file of the weights; where none is there, the one that should be."""
    paths = [pathlib.Path(folder) / name for name in WEIGHTS]
    return next((path for path in paths if path.is_file()), paths[0])


def tensors(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the folder's weights, by the names that transformers has for them today.

    Raises:
      DataError: the file is missing, truncated, or holds more than tensors.
    """
    path = weights_file(folder)
    if path.suffix == ".bin" or not path.exists():
        return {name: value.shape for name, value in read_tensors(path).items()}
    try:
        with safetensors.safe_open(path, framework="numpy") as stored:
            return {_canonical(name): tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from None


def checked(folder: Path) -> int:
    """How many tensors the folder has, the encoder's all among them, finite, and of the shapes of ``config.json``.

    Raises:
      DataError: naming the tensor that is missing, has another shape or is not finite.
    """
    path = weights_file(folder)
    stored = read_tensors(path)
    arguments = encoder_arguments(pathlib.Path(folder) / "config.json")
    pooler = {f"bert.pooler.dense.{part}" for part in ("weight", "bias")}
    for name, shape in _shapes(arguments).items():
        if name not in pooler or not pooler.isdisjoint(stored):
            _check(name, shape, path, stored)
    return len(stored)


def predicts_masked(folder: Path) -> bool:
    """Whether the folder's weights have an MLM head."""
    return any(name.startswith("cls.predictions.") for name in tensors(folder))


def load(
    folder: Path,
    encoder: "BertEncoder",
    mlm: "MaskedLanguageHead | None" = None,
    nsp: "NextSentenceHead | None" = None,
    head: tuple[HeadKind, Any] | None = None,
) -> set[str]:
    """Assigns the folder's weights.

    Args:
      folder: a Hugging Face BERT folder.
      encoder: built from ``read(folder).encoder``.
      mlm: filled if the folder has the head, else left as it is.
      nsp: the same.
      head: ``read(folder).head``, and the Keras layer that takes its weights.

    Returns:
      Which of ``pooler``, ``mlm``, ``nsp`` and ``head`` were found. A pooler that is missing stays as it was
      initialised, and a notice says so.

    Raises:
      DataError: naming the tensor and the file, if one is missing or has another shape, or the file is truncated.
    """
    path = weights_file(folder)
    stored = read_tensors(path)
    parts = {"encoder": _encoder_weights(encoder), "pooler": _pooler_weights(encoder)}
    if mlm is not None:
        parts["mlm"] = _mlm_weights(mlm)
    if nsp is not None:
        parts["nsp"] = _nsp_weights(nsp)
    if head is not None:
        kind, logits = head
        parts["head"] = list(_dense(logits, kind.layer))
    found = [
        part
        for part, weights in parts.items()
        if part == "encoder" or any(name in stored for _, names in weights for name in names)
    ]
    for part in found:
        for variable, names in parts[part]:
            variable.assign(_value(variable, names, stored, path))
    if "pooler" not in found:
        progress.emit(progress.Notice(f"{path} has no pooler: it starts from random weights"))
    return set(found) - {"encoder"}


def save(
    folder: Path,
    encoder: "BertEncoder",
    vocabulary: list[str],
    rules: Json,
    mlm: "MaskedLanguageHead | None" = None,
    nsp: "NextSentenceHead | None" = None,
    head: Head | None = None,
) -> None:
    """Writes a folder that ``load`` and transformers read. Files appear whole, the weights last.

    ``tokenizer.json`` is left out where ``rules`` say what it cannot (``models.text.tokenizer_json``).

    Args:
      folder: created where it does not exist.
      encoder: the weights and the shape.
      vocabulary: the pieces, in the order of their ids.
      rules: text.json's contents: ``{"mode": …, "replace": […]}``.
      mlm: written if given.
      nsp: the same.
      head: the same.
    """
    from models.text import tokenization, tokenizer_json

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = [*_encoder_weights(encoder), *_pooler_weights(encoder)]
    weights += _mlm_weights(mlm) if mlm is not None else []
    weights += _nsp_weights(nsp) if nsp is not None else []
    weights += _dense(head.logits, head.kind.layer) if head is not None else []
    tensors = {name: value for variable, names in weights for name, value in _parts(variable, names)}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as staging:
        stage = pathlib.Path(staging)
        _write_json(stage / "config.json", _config(encoder, mlm is not None, nsp is not None, head))
        (stage / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
        with contextlib.suppress(tokenizer_json.Inexpressible):
            tokenizer_json.build(vocabulary, tokenization.TextRules.load(rules)).save(str(stage / "tokenizer.json"))
        _write_json(stage / "tokenizer_config.json", _tokenizer_config(encoder, rules, head, mlm is not None))
        safetensors.numpy.save_file(tensors, stage / _WEIGHTS, metadata={"format": "pt"})
        (stage / _WEIGHTS).chmod(0o644)  # safetensors makes it the writer's alone
        for name in FILES:
            if (stage / name).exists():
                (stage / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)  # of an older checkpoint


# --- config.json and tokenizer_config.json -------------------------------------------------------------------------


def encoder_arguments(path: pathlib.Path) -> Json:
    """The arguments of ``BertEncoder`` that a ``config.json`` describes.

    Raises:
      DataError: it describes another model, or lacks a figure.
    """
    config = json_object(path)
    # What the first releases, which lack these keys, meant.
    for key, default in (
        ("model_type", "bert"),
        ("position_embedding_type", "absolute"),
        ("hidden_act", "gelu"),
        ("is_decoder", False),
    ):
        if config.get(key, default) != default:
            raise DataError(
                f"{path}: $.{key} must be {json.dumps(default)}, received {json.dumps(config[key])}: "
                "only BERT encoders can be imported."
            )
    defaults = {
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    missing = [name for name in _ARGUMENTS.values() if name not in config and name not in defaults]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing: not the configuration of a BERT encoder.")
    for name in _ARGUMENTS.values():
        if not isinstance(value := config.get(name, defaults.get(name)), int | float) or value < 0:
            raise DataError(f"{path}: $.{name} must be a number, received {json.dumps(value)}.")
    return {argument: config.get(name, defaults.get(name)) for argument, name in _ARGUMENTS.items()}


def _digest(folder: pathlib.Path) -> str:
    total = hashlib.sha256()
    for path in files(folder):
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _head(config: Json) -> tuple[str, HeadKind | None, list[str]]:
    architecture = (config.get("architectures") or ["BertModel"])[0]
    said = architecture, config.get("problem_type")
    head = next((kind for kind in HEADS.values() if (kind.architecture, kind.problem_type) == said), None)
    labels = config.get("id2label", {}) if head else {}
    return architecture, head, [labels[key] for key in sorted(labels, key=int)]


def _config(encoder: "BertEncoder", mlm: bool, nsp: bool, head: Head | None) -> Json:
    base = "BertForPreTraining" if nsp else "BertForMaskedLM" if mlm else "BertModel"
    shape = {name: getattr(encoder, argument) for argument, name in _ARGUMENTS.items()}
    constants = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "initializer_range": 0.02,
        "pad_token_id": 0,
    }
    if head is None:
        return {"architectures": [base], **constants, **shape}
    labels = head.labels or [f"LABEL_{index}" for index in range(head.logits.bias.shape[0])]
    return {
        "architectures": [head.kind.architecture],
        **({"problem_type": head.kind.problem_type} if head.kind.problem_type else {}),
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "classifier_dropout": head.dropout,
        **constants,
        **shape,
    }


def _tokenizer_config(encoder: "BertEncoder", rules: Json, head: Head | None, mlm: bool) -> Json:
    return {
        # Takes tokenizer.json as it is; BertTokenizer builds one of its own from the keys below.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": piece for name, piece in checkpoint_tokenizer.SPECIAL.items()},
        # Text that says [SEP] means no separator. Who asks for masked words does write [MASK].
        "split_special_tokens": not mlm,
        "do_lower_case": rules["mode"] != "cased",
        "strip_accents": rules["mode"] == "bert_uncased",
        "tokenize_chinese_chars": True,
        "model_max_length": head.max_length if head else encoder.max_positions,
        OURS: rules,
    }


def _write_json(path: pathlib.Path, value: Json) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- weights -------------------------------------------------------------------------------------------------------

# A variable and its tensors in the file: one, or several that stand side by side along the last axis.
Weight = tuple[Any, tuple[str, ...]]


def _dense(layer: Any, *names: str) -> Iterator[Weight]:
    yield layer.kernel, tuple(f"{name}.weight" for name in names)
    yield layer.bias, tuple(f"{name}.bias" for name in names)


def _norm(layer: Any, name: str) -> Iterator[Weight]:
    yield layer.gamma, (f"{name}.LayerNorm.weight",)
    yield layer.beta, (f"{name}.LayerNorm.bias",)


def _block_weights(block: "Block", name: str) -> Iterator[Weight]:
    yield from _dense(block.qkv, *(f"{name}.attention.self.{part}" for part in ("query", "key", "value")))
    yield from _dense(block.projection, f"{name}.attention.output.dense")
    yield from _norm(block.attention_norm, f"{name}.attention.output")
    yield from _dense(block.intermediate, f"{name}.intermediate.dense")
    yield from _dense(block.output_dense, f"{name}.output.dense")
    yield from _norm(block.output_norm, f"{name}.output")


def _encoder_weights(encoder: "BertEncoder") -> list[Weight]:
    weights: list[Weight] = [
        (encoder.token_embedding, ("bert.embeddings.word_embeddings.weight",)),
        (encoder.position_embedding, ("bert.embeddings.position_embeddings.weight",)),
        (encoder.segment_embedding, ("bert.embeddings.token_type_embeddings.weight",)),
        *_norm(encoder.embedding_norm, "bert.embeddings"),
    ]
    for i, block in enumerate(encoder.blocks):
        weights += _block_weights(block, f"bert.encoder.layer.{i}")
    return weights


def _pooler_weights(encoder: "BertEncoder") -> list[Weight]:
    return list(_dense(encoder.pooler, "bert.pooler.dense"))


def _mlm_weights(head: "MaskedLanguageHead") -> list[Weight]:
    name = "cls.predictions"
    return [
        *_dense(head.transform, f"{name}.transform.dense"),
        *_norm(head.norm, f"{name}.transform"),
        (head.bias, (f"{name}.bias",)),
    ]


def _nsp_weights(head: "NextSentenceHead") -> list[Weight]:
    return list(_dense(head.logits, "cls.seq_relationship"))


def read_tensors(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    """Every tensor of the file, as transformers calls it today.

    Raises:
      DataError: the file is missing, truncated, or holds more than tensors.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; save the model with transformers' save_pretrained, which writes it.")
    try:
        stored = torch_file.read(path) if path.suffix == ".bin" else safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from None
    return {_canonical(name): value for name, value in stored.items()}


def _damaged(path: pathlib.Path, error: Exception) -> DataError:
    return DataError(f"{path}: truncated or damaged ({error}); fetch the checkpoint again.")


def _canonical(name: str) -> str:
    name = _WRAPPED.sub("", name)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "qa_outputs.")) else f"bert.{name}"


def _is_dense_kernel(variable: Any) -> bool:
    return bool(variable.name == "kernel")


def _value(variable: Any, names: tuple[str, ...], stored: Mapping[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
    parts = []
    shape = (*variable.shape[:-1], variable.shape[-1] // len(names))
    for name in names:
        expected = shape[::-1] if _is_dense_kernel(variable) else shape
        _check(name, expected, path, stored)
        part = stored[name].T if _is_dense_kernel(variable) else stored[name]
        parts.append(part)
    return np.concatenate(parts, axis=-1)


def _check(name: str, expected: tuple[int, ...], path: pathlib.Path, stored: Mapping[str, np.ndarray]) -> None:
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


def _shapes(arguments: Json) -> dict[str, tuple[int, ...]]:
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


def _parts(variable: Any, names: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    for name, part in zip(names, np.split(np.asarray(variable), len(names), axis=-1), strict=True):
        yield name, np.ascontiguousarray(part.T if _is_dense_kernel(variable) else part)
