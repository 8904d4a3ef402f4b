"""What records are judged by: numbers, several labels, spans of a text, answers to questions."""

import json

import pytest

from components.records.kind import load
from components.records.readers import check
from components.records.record import Record
from components.records.rows import Bad
from configs.base import ConfigError
from configs.sources import AnswerData, LabelsData, NumberData, SpanData
from schemas import DataError

KINDS = [load(name) for name in ("multi_label", "regression", "token_classification", "question_answering")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(source, labels=()):
    (kind,) = (kind for kind in KINDS if kind.data is type(source))
    return list(kind(source, labels).records(source.path[0]))


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


def test_conll_files_as_people_have_them(folder):
    """A tab separates where there is one, no other white space; an empty last column; -DOCSTART- as a first word."""
    first = "-DOCSTART- -DOCSTART- O\nNew York\tB-LOC\t\n10\u00a0000\tO\n"
    (folder / "a.conll").write_text(f"{first}\nRome \t S-LOC\n\n10\u00a0000  O\n")
    found = read(SpanData(path=["a.conll"]))
    assert [gold(each, *SPANS) for each in found] == [
        (["New York 10\u00a0000".encode()], [0], [8], [b"LOC"]),
        ([b"Rome"], [0], [4], [b"LOC"]),
        (["10\u00a0000".encode()], [], [], []),
    ]


@pytest.mark.parametrize("tags", ["O B-PER", "O O O O _ _ _ SpaceAfter=No"])
def test_a_first_column_that_numbers_the_words(folder, tags):
    """As in GermEval's files and CoNLL-U."""
    rows = [f"{number} word{number} {tags}" for number in ("1", "1-2", "2", "3")]
    (folder / "a.conll").write_text("\n".join(rows))
    assert reasons(read(SpanData(path=["a.conll"], scheme="word"))) == [
        (1, "the first column numbers the words, and must be the word itself")
    ]


def test_tags_without_a_type_and_a_file_without_a_scheme(folder):
    (folder / "a.conll").write_text("cystic B\nfibrosis I\nis O\n\nAnna PER\nis O\n")
    found = read(SpanData(path=["a.conll"]))
    assert gold(found[0], *SPANS) == ([b"cystic fibrosis is"], [0], [15], [b"_"])
    assert reasons(found) == [(5, "tag 'PER' says no B or I beside its label; task.scheme: word labels words by tags")]


def test_klues_files_of_characters(folder):
    lines = ["## klue-ner-v1_dev_00000\t<삼성:OG> 가", "삼\tB-OG", "성\tI-OG", " \tO", "가\tO"]
    (folder / "a.tsv").write_text("\n".join([*lines, "", "## next", "나\tO", "\t", "다\tO", "\tO"]))
    first, second, third = read(SpanData(path=["a.tsv"], format="conll", unit="character"))
    assert gold(first, *SPANS) == (["삼성 가".encode()], [0], [2], [b"OG"])
    assert gold(second, *SPANS) == (["나".encode()], [], [], [])
    assert (third.line, third.reason) == (10, "a word or a tag that is no text, or empty")


def test_with_the_scheme_word_each_tag_is_the_label_of_its_word(folder):
    """Of parts of speech, whatever they look like: B, O and m are tags of published sets."""
    (folder / "a.conll").write_text("The at\nF-test nn-tl\n. .\nI O\n12 m\nx B-x\n")
    (record,) = read(SpanData(path=["a.conll"], scheme="word"))
    labels = [b"at", b"nn-tl", b".", b"O", b"m", b"B-x"]
    assert gold(record, *SPANS) == ([b"The F-test . I 12 x"], [0, 4, 11, 13, 15, 18], [3, 10, 12, 14, 17, 19], labels)


def test_json_lines_of_spans_and_of_tags(folder):
    rows = [
        {"text": "삼성전자는 간다", "entities": [{"start": 0, "end": 4, "label": "ORG"}]},
        {"text": ["Rome", "wins"], "entities": ["B-LOC", "O"]},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read(SpanData(path=["a.jsonl"]))
    assert gold(first, *SPANS) == (["삼성전자는 간다".encode()], [0], [4], [b"ORG"])
    assert gold(second, *SPANS) == ([b"Rome wins"], [0], [4], [b"LOC"])


def test_blanks_at_the_ends_of_spans_and_answers_are_none_of_theirs(folder):
    rows = [
        {"text": " Anna in\u00a0Oslo ", "entities": [{"start": 0, "end": 6, "label": "PER"}, [8, 14, "LOC"]]},
        {"text": "Anna", "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 4}]},
        {"text": ["Rome ", "wins"], "entities": ["B-LOC", "O"]},
        {"text": "a  b", "entities": [{"start": 1, "end": 3, "label": "PER"}]},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read(SpanData(path=["a.jsonl"]))
    assert gold(found[0], *SPANS[1:]) == ([1, 9], [5, 13], [b"PER", b"LOC"])
    assert gold(found[1], *SPANS[1:]) == ([0], [4], [b"PER"])
    assert gold(found[2], *SPANS) == ([b"Rome  wins"], [0], [4], [b"LOC"])
    assert reasons(found) == [(4, "a span of white space alone")]
    row = {"question": "Who?", "context": "It was Ada.", "answers": {"text": [" Ada"], "answer_start": [6]}}
    (folder / "b.jsonl").write_text(json.dumps(row))
    assert gold(read(AnswerData(path=["b.jsonl"]))[0], "answers", "answer_start") == ([b"Ada"], [7])


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
        ({"text": ["a", "b"], "entities": [1, 0]}, "tags are numbers, and must be their names"),
        ({"text": "ab", "entities": [[0, 1]]}, "a span is no object with start, end and label"),
        (
            {"text": "ab", "entities": [{"start": 0, "end": 2, "label": ""}]},
            "a span's start and end are whole numbers, its label is text",
        ),
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
    monkeypatch.setattr("components.records.rows.MAX_LINE", 100)  # the file is one line, as SQuAD 1.1's is
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


CONTEXT = "It was Ada."


def squad_file(folder, *paragraphs):
    (folder / "dev.json").write_text(json.dumps({"data": [{"paragraphs": list(paragraphs)}]}))
    return read(AnswerData(path=["dev.json"]))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"text": "Ada", "answer_start": 7}], ([b"Ada"], [7])),
        ({"text": ["Ada"], "answer_start": [7]}, ([b"Ada"], [7])),  # as Hugging Face writes them
        ({"text": [], "answer_start": []}, ([], [])),
        ([], ([], [])),
        (None, "column 'answers' is no object with the lists text and answer_start"),
        ("Ada", "column 'answers' is no object with the lists text and answer_start"),
        (["Ada"], "column 'answers' is no object with the lists text and answer_start"),
        ({"text": "Ada", "answer_start": 7}, "column 'answers' is no object with the lists text and answer_start"),
        ([{"text": "Ada"}], "an answer that is no text, or that has no place"),
        ([{"text": "Ada", "answer_start": "7"}], "an answer that is no text, or that has no place"),
        ([{"text": "Ada", "answer_start": -4}], "an answer that does not stand at its place in the context"),
        ([{"text": "", "answer_start": 0}], "an answer that is no text, or that has no place"),
    ],
)
def test_answers_in_every_layout(folder, answers, expected):
    (found,) = squad_file(folder, {"context": CONTEXT, "qas": [{"question": "Who?", "answers": answers}]})
    assert (found.reason if isinstance(found, Bad) else gold(found, "answers", "answer_start")) == expected


def test_parts_of_squad_that_hold_no_questions(folder):
    right = {"question": "Who?", "answers": []}
    found = squad_file(
        folder,
        {"context": CONTEXT, "qas": None},
        None,
        "It was Ada.",
        {"context": CONTEXT, "qas": {"0": right}},
        {"context": CONTEXT, "qas": [right, None, "Who?"]},
        {"context": None, "qas": [right]},
        {"context": CONTEXT},
        {"context": CONTEXT, "qas": [{"answers": []}]},
    )
    assert reasons(found) == [
        (1, "paragraphs[].qas is null, a list is expected"),
        (2, "paragraphs[].qas is null, a list is expected"),
        (3, "paragraphs[].qas is a string, a list is expected"),
        (4, "paragraphs[].qas is an object, a list is expected"),
        (6, "qas[] holds null, an object is expected"),
        (7, "qas[] holds a string, an object is expected"),
        (8, "column 'context' is null, a string is expected"),
        (9, "column 'question' is null, a string is expected"),
    ]
    (folder / "dev.json").write_text(json.dumps({"data": [{"paragraphs": None}, None, {"paragraphs": []}]}))
    assert [bad.reason for bad in read(AnswerData(path=["dev.json"]))] == [
        "data[].paragraphs is null, a list is expected"
    ] * 2


def test_questions_under_data_without_paragraphs(folder):
    """As run_qa.py of Hugging Face takes them."""
    asked = {"question": "Who?", "context": CONTEXT, "answers": {"text": ["Ada"], "answer_start": [7]}}
    (folder / "dev.json").write_text(json.dumps({"version": "0.1", "data": [asked, {**asked, "context": None}]}))
    found = read(AnswerData(path=["dev.json"]))
    assert gold(found[0], "text_pair", "answers", "answer_start") == ([CONTEXT.encode()], [b"Ada"], [7])
    assert reasons(found) == [(2, "column 'context' is null, a string is expected")]


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
    [
        ('{"data": [', r"a\.json:1 is not JSON"),
        ('{"rows": []}', r"a\.json is not laid out as SQuAD"),
        ("[]", "SQuAD"),
        ('{"data": {"paragraphs": []}}', "SQuAD"),
        ('{"data": [{"question": "Who?"}]}', "SQuAD"),
        ('[{"question": "Who?", "context": "Ada."}]', "an array of questions is format: jsonl"),
        ('{"question": "Who?"}\n{"question": "When?"}', "a question a line is format: jsonl"),
        ("[" * 100_000, "JSON nested too deep"),
        ("null", "SQuAD"),
    ],
)
def test_files_that_are_no_squad(folder, text, message):
    (folder / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(AnswerData(path=["a.json"]))
