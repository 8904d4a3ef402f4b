"""A Hugging Face BERT folder's files, and what its JSON says: ``config.json``, ``tokenizer_config.json``."""

import hashlib
import json
import pathlib
from typing import TYPE_CHECKING, Any

from models.checkpoints import checkpoint_tokenizer
from models.checkpoints.checkpoint_tokenizer import OURS, json_object
from models.checkpoints.task_head import Head
from schemas import DataError

if TYPE_CHECKING:  # tfx-bert check reads folders without TensorFlow
    from models.bert.encoder import BertEncoder

Json = dict[str, Any]
Path = str | pathlib.Path
SAFETENSORS = "model.safetensors"
# In the order in which they are looked for.
WEIGHTS = (SAFETENSORS, "pytorch_model.bin")
FILES = ("config.json", *checkpoint_tokenizer.FILES, *WEIGHTS)
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


def files(folder: Path) -> list[pathlib.Path]:
    """The files that are read, those that are there; of two files of weights the first of ``WEIGHTS``."""
    places = [pathlib.Path(folder) / name for name in FILES if name not in WEIGHTS]
    return [path for path in (*places, weights_file(folder)) if path.is_file()]


def weights_file(folder: Path) -> pathlib.Path:
    """The file of the weights; where none is there, the one that should be."""
    paths = [pathlib.Path(folder) / name for name in WEIGHTS]
    return next((path for path in paths if path.is_file()), paths[0])


def digest(folder: Path) -> str:
    """SHA-256 over the files' contents, hexadecimal."""
    total = hashlib.sha256()
    for path in files(folder):
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def encoder_arguments(path: pathlib.Path, *, causal: bool = False) -> Json:
    """The arguments of ``BertEncoder`` that a ``config.json`` describes.

    Args:
      path: of the file.
      causal: whether it must describe a decoder: BERT whose tokens attend only to those before them.

    Raises:
      DataError: it describes another model, or lacks a figure.
    """
    config = json_object(path)
    # What the first releases, which lack these keys, meant.
    for key, default in (
        ("model_type", "bert"),
        ("position_embedding_type", "absolute"),
        ("hidden_act", "gelu"),
        ("is_decoder", causal),
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


def config(encoder: "BertEncoder", mlm: bool, nsp: bool, head: Head | None) -> Json:
    """``config.json`` of an encoder with the heads that are written beside it."""
    base = "BertForPreTraining" if nsp else "BertForMaskedLM" if mlm else "BertModel"
    shape = {name: getattr(encoder, argument) for argument, name in _ARGUMENTS.items()}
    if pruned := pruned_heads(encoder):
        shape[OURS] = {"pruned_heads": pruned}
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
    if head.kind.over == "mean":
        shape[OURS] = {**shape.get(OURS, {}), "pooling": "mean"}
    return {
        "architectures": [head.kind.architecture],
        **({"problem_type": head.kind.problem_type} if head.kind.problem_type else {}),
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "classifier_dropout": head.dropout,
        **constants,
        **shape,
    }


def pruned_heads(encoder: "BertEncoder") -> dict[str, list[int]]:
    """The heads that an encoder has not, by the block's number: what ``config.json`` notes of them."""
    missing = {
        str(index): sorted({*range(encoder.num_heads)} - {*kept}) for index, kept in enumerate(encoder.kept_heads)
    }
    return {index: heads for index, heads in missing.items() if heads}


def kept_heads(path: pathlib.Path) -> list[list[int]] | None:
    """``kept_heads`` of the encoder that a ``config.json`` of ours describes; None: all.

    The file of the weights has all heads, with zeros for those that were pruned, so no one has to read this.
    """
    config = json_object(path)
    if not (pruned := config.get(OURS, {}).get("pruned_heads")):
        return None
    heads = range(config["num_attention_heads"])
    cut = [pruned.get(str(index), []) for index in range(config["num_hidden_layers"])]
    return [[head for head in heads if head not in missing] for missing in cut]


def tokenizer_config(encoder: "BertEncoder", rules: Json, head: Head | None, mlm: bool) -> Json:
    """``tokenizer_config.json``; ``rules`` are text.json's contents."""
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


def write_json(path: pathlib.Path, value: Json) -> None:
    """Indented, with a line end behind it, as transformers writes its files."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
