"""What records are judged by: numbers, several labels, spans of a text, answers to questions."""

import json

import pytest

from components.readers import Bad, check
from components.records import Record, task_records
from configs.experiment import AnswerData, ConfigError, LabelsData, NumberData, SpanData
from schemas import DataError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(source, labels=()):
    return list(task_records(source.path[0], source, labels))


def gold(record, *names):
    assert isinstance(record, Record), record
    return tuple(record.features[name] for name in names)


def reasons(found):
    return [(each.line, each.reason) for each in found if isinstance(each, Bad)]


# --- numbers and several labels ------------------------------------------------------------------------------------


def test_numbers_within_their_bounds(folder):
    (folder / "a.csv").write_text("text,label\na,2.5\nb,5\nc,5.1\nd,-1\ne,much\nf,\n")
    found = read(NumberData(path=["a.csv"], min=0.0, max=5.0))
    assert [gold(each, "label") for each in found[:2]] == [([2.5],), ([5.0],)]
    assert reasons(found) == [
        (4, "column 'label' is more than 5"),
        (5, "column 'label' is less than 0"),
        (6, "column 'label' is not a number"),
        (7, "column 'label' is not a number"),
    ]
    with pytest.raises(ValueError, match="min must be less than max"):
        NumberData(path=["a.csv"], min=5.0, max=0.0)


def test_any_number_of_labels_in_a_cell_or_a_list(folder):
    (folder / "a.csv").write_text('text,labels\na,"x, y"\nb,\nc,z\nd,"x,x"\n')
    found = read(LabelsData(path=["a.csv"]), ["x", "y"])
    assert [gold(each, "labels") for each in found[:2]] == [([b"x", b"y"],), ([],)]
    assert reasons(found) == [(4, "label 'z', allowed x|y"), (5, "column 'labels' has a label twice")]
    (folder / "a.jsonl").write_text('{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n')
    assert [gold(each, "labels") for each in read(LabelsData(path=["a.jsonl"]))] == [([b"x", b"y"],), ([],)]


# --- spans ---------------------------------------------------------------------------------------------------------

SPANS = ("text", "span_start", "span_end", "span_label")
CONLL = """-DOCSTART- -X- O O

U.N. NNP I-ORG
official NN O
Ekeus NNP B-PER
Rolf NNP I-PER

Rome NNP S-LOC
New NNP B-LOC
York NNP E-LOC
"""


def test_conll_files_of_words(folder):
    (folder / "a.conll").write_text(CONLL)
    first, second = read(SpanData(path=["a.conll"]))
    # IOB1, where a span may begin with I, IOB2 and BIOES are read alike.
    assert gold(first, *SPANS) == ([b"U.N. official Ekeus Rolf"], [0, 14], [4, 24], [b"ORG", b"PER"])
    assert gold(second, *SPANS) == ([b"Rome New York"], [0, 5], [4, 13], [b"LOC", b"LOC"])
    assert (first.line, second.line) == (3, 8)


def test_klues_files_of_characters(folder):
    lines = ["## klue-ner-v1_dev_00000\t<삼성:OG> 가", "삼\tB-OG", "성\tI-OG", " \tO", "가\tO"]
    (folder / "a.tsv").write_text("\n".join([*lines, "", "## next", "나\tO", "\t", "다\tO", "\tO"]))
    first, second, third = read(SpanData(path=["a.tsv"], format="conll", unit="character"))
    assert gold(first, *SPANS) == (["삼성 가".encode()], [0], [2], [b"OG"])
    assert gold(second, *SPANS) == (["나".encode()], [], [], [])
    assert (third.line, third.reason) == (10, "a word or a tag that is no text, or empty")


def test_tags_without_a_scheme_make_each_word_a_span(folder):
    (folder / "a.conll").write_text("The at\nF-test nn-tl\n. .\n")
    (record,) = read(SpanData(path=["a.conll"]))
    assert gold(record, *SPANS) == ([b"The F-test ."], [0, 4, 11], [3, 10, 12], [b"at", b"nn-tl", b"."])


def test_json_lines_of_spans_and_of_tags(folder):
    rows = [
        {"text": "삼성전자는 간다", "entities": [{"start": 0, "end": 4, "label": "ORG"}]},
        {"text": ["Rome", "wins"], "entities": ["B-LOC", "O"]},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read(SpanData(path=["a.jsonl"]))
    assert gold(first, *SPANS) == (["삼성전자는 간다".encode()], [0], [4], [b"ORG"])
    assert gold(second, *SPANS) == ([b"Rome wins"], [0], [4], [b"LOC"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": ["a", "b"], "entities": ["O"]}, "2 words and 1 tags"),
        ({"text": "ab", "entities": [{"start": 0, "end": 3, "label": "X"}]}, "a span that lies outside of its text"),
        ({"text": "ab", "entities": [{"start": 1, "end": 1, "label": "X"}]}, "a span that lies outside of its text"),
        ({"text": "ab", "entities": [{"start": 0, "label": "X"}]}, "a span is no object with start, end and label"),
        ({"text": "ab", "entities": "X"}, "column 'entities' is a string, a list is expected"),
        ({"text": "ab", "entities": [{"start": 0, "end": 2, "label": "Z"}]}, "label 'Z', allowed X"),
        (
            {"text": "ab", "entities": [{"start": 0, "end": 2, "label": "X"}, {"start": 1, "end": 2, "label": "X"}]},
            "column 'entities' has spans that overlap",
        ),
        ({"text": ["a", ""], "entities": ["O", "O"]}, "a word or a tag that is no text, or empty"),
    ],
)
def test_spans_that_cannot_be(folder, row, reason):
    (folder / "a.jsonl").write_text(json.dumps(row))
    assert reasons(read(SpanData(path=["a.jsonl"]), ["X"])) == [(1, reason)]


def test_a_line_of_conll_without_a_tag(folder):
    (folder / "a.conll").write_text("a O\nb\n\nc O\n")
    found = read(SpanData(path=["a.conll"]))
    assert reasons(found) == [(1, "1 column, a word and its tag are expected")]
    assert gold(found[1], "text") == ([b"c"],)


def test_formats_that_do_not_hold_spans(folder):
    (folder / "a.csv").write_text("text,entities\na,\n")
    with pytest.raises(ConfigError, match=r"\$\.task\.data\.format: the ending of a\.csv .* conll, jsonl or parquet"):
        check(SpanData(path=["a.csv"]), [])


# --- questions -----------------------------------------------------------------------------------------------------


def squad(context, *questions):
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def question(text, *answers, **more):
    return {"id": text, "question": text, "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}


def test_squad_files(folder, monkeypatch):
    monkeypatch.setattr("components.readers.MAX_LINE", 100)  # the file is one line, as SQuAD 1.1's is
    context = " 서울은 한국의 수도다."
    document = squad(
        context,
        question("수도?", ("서울", 1), ("서울은", 1)),
        question("왕?", is_impossible=True, plausible_answers=[{"text": "한국", "answer_start": 5}]),
        question("나라?", ("한국", 4)),
    )
    (folder / "dev.json").write_text(json.dumps(document))
    found = read(AnswerData(path=["dev.json"]))
    # The context as it is: the places count from its first character.
    assert gold(found[0], "text", "text_pair") == (["수도?".encode()], [context.encode()])
    assert gold(found[0], "answers", "answer_start") == (["서울".encode(), "서울은".encode()], [1, 1])
    assert gold(found[1], "answers", "answer_start") == ([], [])
    assert reasons(found) == [(3, "an answer that does not stand at its place in the context")]


def test_questions_a_line(folder):
    row = {"question": "Who?", "context": "It was Ada.", "answers": {"text": ["Ada"], "answer_start": [7]}}
    rows = [row, {**row, "answers": {"text": ["Ada"], "answer_start": []}}, {**row, "answers": []}]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read(AnswerData(path=["a.jsonl"]))
    assert gold(found[0], "answers", "answer_start") == ([b"Ada"], [7])
    assert reasons(found) == [
        (2, "1 answers and 0 places of them"),
        (3, "column 'answers' is no object with the lists text and answer_start"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"data": [', r"a\.json:1 is not JSON"), ('{"rows": []}', r"a\.json is not laid out as SQuAD"), ("[]", "SQuAD")],
)
def test_files_that_are_no_squad(folder, text, message):
    (folder / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(AnswerData(path=["a.json"]))
