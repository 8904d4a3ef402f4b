"""What a Hugging Face folder says of its tokenizer: it is taken as it is said, or refused by the name of the setting.

A checkpoint knows text only as its own tokenizer cut it. What ``models.text.tokenization`` cannot repeat would train
without an error, on other ids than the weights were made for. Which setting means what: transformers'
``tokenization_bert*.py`` and ``tokenization_utils_fast.py``, and the ``tokenizers`` library.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from schemas import DataError

Json = dict[str, Any]
# In tokenizer_config.json: the rules of a folder that this project wrote, as ``TextRules.dump`` gives them.
OURS = "tfx_bert"
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")

# Classes that cut text as BertTokenizer does, with "Fast" behind them or not.
_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer")
# Classes that take tokenizer.json as it is, and nothing of casing from tokenizer_config.json.
_FROM_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Settings of tokenizer_config.json that change the words, and the one value that is ours.
_SETTINGS = {
    "do_basic_tokenize": True,
    "do_word_tokenize": True,
    "do_subword_tokenize": True,
    "word_tokenizer_type": "basic",
    "subword_tokenizer_type": "wordpiece",
    "wordpieces_prefix": "##",
    "clean_text": True,
    **{f"{name}_token": piece for name, piece in SPECIAL.items()},
}
# The longest word, in characters: the reference's, and that of the tokenizer.json which this project writes.
_LONGEST = (100, 400)
_MODES = {(True, True): "bert_uncased", (True, False): "uncased_nfc", (False, False): "cased"}


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """A folder's tokenizer.

    Attributes:
      vocabulary: the pieces, in the order of their ids, added ones included.
      rules: as ``TextRules.dump`` gives them; added pieces are among the reserved ones.
    """

    vocabulary: list[str]
    rules: Json


def read(folder: pathlib.Path) -> TokenizerFiles:
    """Reads the files of the tokenizer.

    Raises:
      DataError: a file is missing or unreadable, or says something that ``models.text.tokenization`` does not do.
    """
    try:
        return _read(folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{folder}: the tokenizer's files are not laid out as transformers writes them ({error!r}); fetch the "
            "checkpoint again."
        ) from error


def _read(folder: pathlib.Path) -> TokenizerFiles:
    config = json_object(folder / "tokenizer_config.json", required=False)
    fast = json_object(folder / "tokenizer.json", required=False)
    ours = config.get(OURS)
    if ours is None:
        _check_class(folder, config, bool(fast))
        _check_settings(folder, config)
        _check_fast(folder / "tokenizer.json", fast)
    ids, added = _ids(folder, config, fast)
    vocabulary = _in_order(folder, ids)
    rules = ours or {"mode": _mode(folder, config, fast), "replace": [], "reserve": []}
    return TokenizerFiles(vocabulary, {**rules, "reserve": list(dict.fromkeys([*rules.get("reserve", ()), *added]))})


def json_object(path: pathlib.Path, required: bool = True) -> Json:
    """The file's JSON object; without it an empty one, unless it is ``required``.

    Raises:
      DataError: the file is missing, or no JSON object.
    """
    if not required and not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        needed = "config.json, vocab.txt or tokenizer.json, tokenizer_config.json and model.safetensors"
        raise DataError(f"{path}: no such file; a checkpoint is a Hugging Face BERT folder with {needed}.") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); fetch the checkpoint again.") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, received {type(value).__name__}; fetch the checkpoint again.")
    return value


def _refused(path: pathlib.Path, key: str, value: object, wanted: str) -> DataError:
    received = json.dumps(value, ensure_ascii=False)
    shown = received if len(received) <= 80 else f"{received[:80]}…"
    return DataError(
        f"{path}: $.{key} must be {wanted}, received {shown}: this checkpoint was trained with another tokenizer than "
        "BERT's, and its ids would not be those of its weights; choose a checkpoint with BERT's own tokenizer."
    )


def _check_class(folder: pathlib.Path, config: Json, has_file: bool) -> None:
    for path, found in (("tokenizer_config.json", config), ("config.json", json_object(folder / "config.json", False))):
        if "AutoTokenizer" in (found.get("auto_map") or {}):
            raise _refused(folder / path, "auto_map.AutoTokenizer", found["auto_map"]["AutoTokenizer"], "absent")
        name = found.get("tokenizer_class")
        known = name is None or name.removesuffix("Fast") in _CLASSES or (has_file and name in _FROM_FILE)
        if not known:
            raise _refused(folder / path, "tokenizer_class", name, "BertTokenizer")


def _check_settings(folder: pathlib.Path, config: Json) -> None:
    special = json_object(folder / "special_tokens_map.json", required=False)
    for path, found in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        for key, wanted in _SETTINGS.items():
            value = found.get(key)
            content = value.get("content") if isinstance(value, dict) else value
            if content is not None and content != wanted:
                raise _refused(folder / path, key, content, json.dumps(wanted))


def _check_fast(path: pathlib.Path, fast: Json) -> None:
    """Of ``tokenizer.json`` what is not in the vocabulary: how text is cleaned, cut, and put between special pieces."""
    if not fast:
        return
    model, normalizer = fast.get("model") or {}, _alone(fast.get("normalizer"))
    if model.get("type", "WordPiece") != "WordPiece":
        raise _refused(path, "model.type", model["type"], '"WordPiece"')
    for key, wanted in (("continuing_subword_prefix", "##"), ("unk_token", "[UNK]")):
        if model.get(key, wanted) != wanted:
            raise _refused(path, f"model.{key}", model[key], json.dumps(wanted))
    if (longest := model.get("max_input_chars_per_word", _LONGEST[0])) not in _LONGEST:
        raise _refused(path, "model.max_input_chars_per_word", longest, str(_LONGEST[0]))
    if normalizer.get("type") != "BertNormalizer":
        raise _refused(path, "normalizer", fast.get("normalizer"), 'of type "BertNormalizer"')
    if not normalizer.get("clean_text", True):
        raise _refused(path, "normalizer.clean_text", False, "true")
    if _alone(fast.get("pre_tokenizer")).get("type") != "BertPreTokenizer":
        raise _refused(path, "pre_tokenizer", fast.get("pre_tokenizer"), 'of type "BertPreTokenizer"')
    around = fast.get("post_processor")
    if around is not None and not _is_bert_template(around):
        raise _refused(path, "post_processor", around, "[CLS] $A [SEP]")


def _alone(step: Json | None) -> Json:
    """The step, or the only one of a sequence."""
    for name in ("normalizers", "pretokenizers"):
        if step and step.get("type") == "Sequence" and len(step.get(name, ())) == 1:
            step = step[name][0]
    return step or {}


def _is_bert_template(step: Json) -> bool:
    if step.get("type") == "BertProcessing":
        return True
    single = step.get("single", ()) if step.get("type") == "TemplateProcessing" else ()
    return [part["id"] for piece in single for part in piece.values()] == ["[CLS]", "A", "[SEP]"]


def _ids(folder: pathlib.Path, config: Json, fast: Json) -> tuple[dict[str, int], list[str]]:
    """The id of each piece, and the pieces that were added: they are never split, wherever text has them."""
    lines = _lines(folder / "vocab.txt")
    if lines is None and not fast:
        raise DataError(f"{folder}: neither vocab.txt nor tokenizer.json is there, so the vocabulary is unknown.")
    ids: dict[str, int] = dict((fast.get("model") or {}).get("vocab", {})) or dict(zip(lines or (), itertools.count()))
    added = dict(_added(folder, config, fast))
    for piece, (path, index) in added.items():
        if ids.setdefault(piece, index) != index:
            raise DataError(
                f"{path}: {piece} has id {index}, and {ids[piece]} in the vocabulary: the files come from different "
                "models."
            )
    for index, piece in enumerate(lines or ()):
        if ids.get(piece) != index:
            raise DataError(
                f"{folder / 'vocab.txt'}:{index + 1}: the piece {piece!r} has the id {index} there and "
                f"{ids.get(piece)} in tokenizer.json: the files come from different models."
            )
    never_split = dict.fromkeys(added)
    for found in (json_object(folder / "special_tokens_map.json", required=False), config):
        never_split |= dict.fromkeys(map(_content, found.get("additional_special_tokens") or ()))
    if unknown := [piece for piece in never_split if piece not in ids]:
        raise DataError(
            f"{folder}: no file gives the added piece {unknown[0]!r} an id: save the tokenizer again with "
            "transformers, which writes tokenizer.json."
        )
    return ids, [piece for piece in never_split if piece not in SPECIAL.values()]


def _lines(path: pathlib.Path) -> list[str] | None:
    """The pieces of ``vocab.txt``; None without the file."""
    if not path.exists():
        return None
    try:
        # Not splitlines(): U+2028 and others are pieces.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); fetch the checkpoint again.") from None
    first: dict[str, int] = {}
    for number, piece in enumerate(lines, start=1):
        if piece in first:
            raise DataError(
                f"{path}:{number}: the piece {piece!r} stands in line {first[piece]} too. transformers gives it the id "
                f"of line {number}: change line {first[piece]} to a piece that no text has, such as [unused{number}]; "
                "do not remove it, that would shift the ids behind it."
            )
        first[piece] = number
    return lines


def _added(folder: pathlib.Path, config: Json, fast: Json) -> Iterator[tuple[str, tuple[pathlib.Path, int]]]:
    """Added pieces with the file that says so and their ids."""
    path = folder / "added_tokens.json"
    yield from ((piece, (path, index)) for piece, index in json_object(path, required=False).items())
    path = folder / "tokenizer_config.json"
    decoder: Mapping[str, Json] = config.get("added_tokens_decoder") or {}
    said = [(path, int(index), token) for index, token in decoder.items()]
    path = folder / "tokenizer.json"
    said += [(path, token["id"], token) for token in fast.get("added_tokens") or ()]
    for path, index, token in said:
        piece = _content(token)
        if piece not in SPECIAL.values() and (not piece or piece.split() != [piece] or token.get("single_word")):
            raise _refused(path, "added_tokens", token, "single words that are found wherever they stand")
        yield piece, (path, index)


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _in_order(folder: pathlib.Path, ids: Mapping[str, int]) -> list[str]:
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(
            f"{folder}: the {len(ids):,} pieces must have the ids from 0 on without a gap, received ids up to "
            f"{max(ids.values(), default=-1):,}: the files come from different models."
        )
    vocabulary = sorted(ids, key=ids.__getitem__)
    if absent := [piece for piece in SPECIAL.values() if piece not in ids]:
        raise DataError(
            f"{folder}: the vocabulary lacks {' '.join(absent)}: the checkpoint was trained with other special pieces "
            "than BERT's, and cannot be imported."
        )
    if 2 * sum(piece.startswith("▁") for piece in vocabulary) > len(vocabulary):
        raise DataError(
            f"{folder}: the pieces begin with ▁: they are SentencePiece's, and only WordPiece can be imported."
        )
    return vocabulary


def _mode(folder: pathlib.Path, config: Json, fast: Json) -> str:
    """``tokenizer_config.json`` speaks first, ``tokenizer.json`` where it is silent or alone is read."""
    normalizer = _alone(fast.get("normalizer"))
    said = {} if config.get("tokenizer_class") in _FROM_FILE else config
    lower = said.get("do_lower_case", normalizer.get("lowercase"))
    strip = said.get("strip_accents", normalizer.get("strip_accents"))
    split_chinese = said.get("tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True))
    if lower is None:
        raise DataError(
            f"{folder}: nothing says whether text is lower-cased: "
            'add tokenizer_config.json with {"do_lower_case": true} or false.'
        )
    # As in the original: accents go with the case unless said otherwise.
    key = (lower, lower if strip is None else strip)
    if key not in _MODES or not split_chinese:
        raise DataError(
            f"{folder}: do_lower_case={lower}, strip_accents={strip}, tokenize_chinese_chars={split_chinese} is none "
            "of the text modes bert_uncased, cased, uncased_nfc: this checkpoint cannot be imported."
        )
    return _MODES[key]
