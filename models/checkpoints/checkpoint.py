"""Checkpoints in and out: a Hugging Face BERT folder is the one format.

``config.json`` (shape, head: ``layout``, ``task_head``), the tokenizer's files (``checkpoint_tokenizer``),
``model.safetensors`` or ``pytorch_model.bin`` (``weights``). What is written are safetensors.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.numpy

from models import progress
from models.checkpoints import checkpoint_tokenizer, layout, task_head, weights
from models.checkpoints.checkpoint_tokenizer import json_object
from models.checkpoints.layout import Json, Path
from models.checkpoints.task_head import Head, HeadKind
from schemas import DataError

if TYPE_CHECKING:  # tfx-bert check reads folders without TensorFlow
    from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a folder says besides its weights.

    Attributes:
      encoder: arguments of ``BertEncoder``.
      vocabulary: the pieces, in the order of their ids.
      rules: how text becomes words, as ``TextRules.dump`` gives it.
      architecture: transformers' class.
      head: of a fine-tuned model; None for base models, and for heads that are not in ``task_head.HEADS``.
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
    encoder = layout.encoder_arguments(folder / "config.json")
    tokenizer = checkpoint_tokenizer.read(folder)
    if len(tokenizer.vocabulary) > encoder["vocabulary_size"]:
        raise DataError(
            f"{folder}: the vocabulary has {len(tokenizer.vocabulary):,} pieces but config.json says vocab_size "
            f"{encoder['vocabulary_size']:,}: the files come from different models."
        )
    architecture, head, labels = task_head.of_config(json_object(folder / "config.json"))
    return Checkpoint(encoder, tokenizer.vocabulary, tokenizer.rules, architecture, head, labels, layout.digest(folder))


def tensors(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the folder's weights, by the names that transformers has for them today.

    Raises:
      DataError: the file is missing, truncated, or holds more than tensors.
    """
    path = layout.weights_file(folder)
    if path.suffix == ".bin" or not path.exists():
        return {name: value.shape for name, value in weights.read(path).items()}
    try:
        with safetensors.safe_open(path, framework="numpy") as stored:
            return {weights.canonical(name): tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise weights.damaged(path, error) from None


def checked(folder: Path) -> int:
    """How many tensors the folder has, the encoder's all among them, finite, and of the shapes of ``config.json``.

    Raises:
      DataError: naming the tensor that is missing, has another shape or is not finite.
    """
    path = layout.weights_file(folder)
    stored = weights.read(path)
    arguments = layout.encoder_arguments(pathlib.Path(folder) / "config.json")
    pooler = {f"bert.pooler.dense.{part}" for part in ("weight", "bias")}
    for name, shape in weights.shapes(arguments).items():
        if name not in pooler or not pooler.isdisjoint(stored):
            weights.check(name, shape, path, stored)
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
    path = layout.weights_file(folder)
    stored = weights.read(path)
    parts = weights.parts(encoder, mlm, nsp, head)
    found = [
        part
        for part, variables in parts.items()
        if part == "encoder" or any(name in stored for _, names in variables for name in names)
    ]
    for part in found:
        for variable, names in parts[part]:
            variable.assign(weights.value_of(variable, names, stored, path))
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

    Heads that ``encoder`` has not are written as zeros, which compute the same.

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
    from models.bert import pruned
    from models.text import tokenization, tokenizer_json

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = weights.parts(pruned.whole(encoder), mlm, nsp, (head.kind, head.logits) if head else None)
    variables = itertools.chain.from_iterable(parts.values())
    tensors = dict(itertools.chain.from_iterable(itertools.starmap(weights.tensors_of, variables)))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as staging:
        stage = pathlib.Path(staging)
        layout.write_json(stage / "config.json", layout.config(encoder, mlm is not None, nsp is not None, head))
        (stage / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
        with contextlib.suppress(tokenizer_json.Inexpressible):
            tokenizer_json.build(vocabulary, tokenization.TextRules.load(rules)).save(str(stage / "tokenizer.json"))
        layout.write_json(
            stage / "tokenizer_config.json", layout.tokenizer_config(encoder, rules, head, mlm is not None)
        )
        safetensors.numpy.save_file(tensors, stage / layout.SAFETENSORS, metadata={"format": "pt"})
        (stage / layout.SAFETENSORS).chmod(0o644)  # safetensors makes it the writer's alone
        for name in layout.FILES:
            if (stage / name).exists():
                (stage / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)  # left by an older checkpoint
