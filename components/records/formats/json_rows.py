"""JSON to rows: an object a line, an array of objects, SQuAD."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.records.formats.encodings import open_bytes
from components.records.rows import WHOLE, Bad, Range, Row, json_type, lines, text, within
from configs.sources import AnswerData, Source
from schemas import DataError

_DEEP = "JSON nested too deep, or a number too long"


class Object(dict[str, Any]):
    """A JSON object that remembers duplicate keys."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = len(self) < len(pairs)
        self.pairs = pairs if self.repeated else []

    def times(self, key: str) -> int:
        """How often a key came."""
        return sum(each == key for each, _ in self.pairs) if self.repeated else int(key in self)


def read_jsonl(path: str, source: Source, columns: Sequence[str] | None, within: Range = WHOLE) -> Iterator[Row | Bad]:
    """Reads an object per line, or an array of objects."""
    for number, found in objects(path, source, within):
        yield Bad(path, number, found) if isinstance(found, str) else _chosen(path, number, found, columns)


def columns_of(sample: Sequence[Object], prefix: str = "") -> list[str]:
    """The keys that nine of ten objects have, each once; ``labels.score`` is the key ``score`` of ``labels``."""
    names = []
    for key in dict.fromkeys(key for each in sample for key in each):
        values = [each[key] for each in sample if each.times(key) == 1]
        if 10 * len(values) < 9 * len(sample):
            continue
        inner = [value for value in values if isinstance(value, Object)]
        names += columns_of(inner, f"{prefix}{key}.") if len(inner) == len(values) else [prefix + key]
    return names


def objects(path: str, source: Source, within: Range = WHOLE) -> Iterator[tuple[int, Object | str]]:
    """Yields each object of a file with its line, from 1; in place of an invalid one, the reason.

    Raises:
      DataError: an array that is not JSON, or a single object over many lines.
    """
    if not within.begin and begins_array(path):
        yield from _array(path, source)
        return
    first = not within.begin
    for number, line in enumerate(lines(path, source, within), start=within.line):
        if not line.strip():
            continue
        try:
            yield number, _object(json.loads(line, object_pairs_hook=Object))
        except json.JSONDecodeError as error:
            if first and line.lstrip().startswith("{"):
                _refuse_single(path, source)
            yield number, f"not JSON ({error.msg})"
        except (ValueError, RecursionError):
            yield number, _DEEP
        first = False


def begins_array(path: str) -> bool:
    """Whether a file's first letter is ``[``, in any encoding."""
    with open_bytes(path) as stream:
        head = stream.read(4096).replace(b"\0", b"")  # UTF-16 has a zero byte beside every ASCII letter
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"[")


def _refuse_single(path: str, source: Source) -> None:
    """Raises DataError if the whole file is one object. Reads it into memory."""
    try:
        json.loads(text(path, source))
    except (ValueError, RecursionError):
        return
    raise DataError(f"{path} is one JSON object; an object a line is expected, or an array of objects.")


def _array(path: str, source: Source) -> Iterator[tuple[int, Object | str]]:
    """The objects of one array. Takes the file into memory."""
    whole = text(path, source)
    try:
        json.loads(whole)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno} is not JSON ({error.msg}), and the file begins an array.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {_DEEP}.") from None
    decoder = json.JSONDecoder(object_pairs_hook=Object)
    end = whole.index("[") + 1
    line = 1 + whole.count("\n", 0, end)
    while True:
        begin = next(at for at in itertools.count(end) if whole[at] not in ", \t\r\n")
        if whole[begin] == "]":
            return
        line += whole.count("\n", end, begin)
        record, end = decoder.raw_decode(whole, begin)
        yield line, _object(record)
        line += whole.count("\n", begin, end)


def _object(record: object) -> Object | str:
    return record if isinstance(record, Object) else f"{json_type(record)}, a JSON object is expected"


def _chosen(path: str, number: int, record: Object, columns: Sequence[str] | None) -> Row | Bad:
    values = {}
    for name in tuple(record) if columns is None else columns:
        inner, key = within(record, name)
        if key not in inner:
            return Bad(path, number, f"no key {name!r}")
        if isinstance(inner, Object) and inner.times(key) > 1:
            return Bad(path, number, f"key {name!r} twice")
        values[name] = inner[key]
    return Row(number, values)


# --- SQuAD ---------------------------------------------------------------------------------------------------------


def read_squad(
    path: str, source: AnswerData, columns: Sequence[str] | None, within: Range = WHOLE
) -> Iterator[Row | Bad]:
    """A row a question, its ``line`` the number of the question in the file, from 1. Takes the file into memory."""
    del columns, within  # always the whole file
    try:
        document = json.loads(text(path, source))
    except json.JSONDecodeError as error:
        hint = "; a question a line is format: jsonl" if error.msg == "Extra data" else ""
        raise DataError(
            f"{path}:{error.lineno} is not JSON ({error.msg}); a SQuAD file is one JSON object{hint}."
        ) from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {_DEEP}.") from None
    articles = document.get("data") if isinstance(document, dict) else None
    if not isinstance(articles, list) or (articles and not any(map(_holds_questions, articles))):
        listed = isinstance(document, list) and any(map(_is_question, document))
        hint = "; an array of questions is format: jsonl" * listed
        raise DataError(f"{path} is not laid out as SQuAD: data[].paragraphs[] is expected{hint}.")
    for number, found in enumerate(_questions(articles), start=1):
        yield Bad(path, number, found) if isinstance(found, str) else Row(number, _asked(source, *found))


def _holds_questions(article: object) -> bool:
    return isinstance(article, dict) and ("paragraphs" in article or _is_question(article))


def _is_question(article: object) -> bool:
    """Whether it is a question with its context, as run_qa.py of Hugging Face takes them under ``data``."""
    return isinstance(article, dict) and {"question", "context"} <= article.keys()


def _questions(articles: list[Any]) -> Iterator[tuple[Mapping[str, Any], Any] | str]:
    """Each question with its context; a part of the file that holds none is the reason why."""
    for article in articles:
        if _is_question(article):
            yield article, article["context"]
            continue
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else article
        if not isinstance(article, dict) or not isinstance(paragraphs, list):
            yield f"data[].paragraphs is {json_type(paragraphs)}, a list is expected"
            continue
        for paragraph in paragraphs:
            asked = paragraph.get("qas", []) if isinstance(paragraph, dict) else paragraph
            if not isinstance(paragraph, dict) or not isinstance(asked, list):
                yield f"paragraphs[].qas is {json_type(asked)}, a list is expected"
                continue
            for question in asked:
                if isinstance(question, dict):
                    yield question, paragraph.get("context")
                else:
                    yield f"qas[] holds {json_type(question)}, an object is expected"


def _asked(source: AnswerData, question: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A question as JSON Lines has it. Answers are objects, or an object of lists, as Hugging Face writes them."""
    answers = [] if question.get("is_impossible") else question.get("answers", [])
    if isinstance(answers, list) and all(isinstance(each, dict) for each in answers):
        answers = {key: [each.get(key) for each in answers] for key in ("text", "answer_start")}
    return {source.text: question.get("question"), source.text_pair: context, source.answers: answers}
