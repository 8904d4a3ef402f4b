"""``tfx-bert init`` on files that show more than a label a text: the YAML, literally, and ``check`` of it."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline import cli
from tests.unit.pipeline.start.initializing import init

SENTENCE = "the film of this year is as good as the book was in its time"


pytestmark = pytest.mark.usefixtures("folder")


def check(file):
    """The data part of ``check``; the checkpoint is not among these files."""
    result = CliRunner().invoke(cli.main, ["check", file])
    assert result.exit_code == 0 or result.output.splitlines()[-2].startswith("✗ $.checkpoint"), result.output
    return result.output


def task(file):
    return yaml.safe_load(Path(file).read_text("utf-8"))["task"]


def lines(name, rows):
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def test_words_with_tags():
    sentence = "EU NNP B-ORG\nrejects VBZ O\nGerman JJ B-MISC\ncall NN O\n\n"
    Path("train.txt").write_text("-DOCSTART- -X- O\n\n" + sentence * 30)
    assert "assumed  a word and its tag a line; tags say where a span begins" in init("train.txt")
    assert task("train.yaml") == {
        "type": "token_classification",
        "data": {"path": "train.txt", "format": "conll"},
        "max_length": 32,
    }
    assert "train.txt: 30 records" in check("train.yaml")


def test_parts_of_speech():
    Path("press.conll").write_text("The AT\njury NN\npraised VBD\nhim PPO\n\n" * 30)
    assert "each tag is the label of its word" in init("press.conll")
    assert task("press.yaml") == {
        "type": "token_classification",
        "data": {"path": "press.conll"},
        "scheme": "word",
        "max_length": 32,
    }
    check("press.yaml")


def test_characters_with_tags_as_klue_has_them():
    letters = "".join(
        f"{letter}\t{tag}\n" for letter, tag in zip("삼성 주가", ["B-OG", "I-OG", "O", "O", "O"], strict=True)
    )
    Path("ner.tsv").write_text(f"## klue-ner-v1_train_0\t<삼성:OG> 주가\n{letters}\n" * 30, "utf-8")
    output = init("ner.tsv")
    assert "a character and its tag a line" in output
    assert "Korean" in output
    assert task("ner.yaml")["data"] == {"path": "ner.tsv", "format": "conll", "unit": "character"}
    assert "30 records" in check("ner.yaml")


@pytest.mark.parametrize("span", [{"start": 4, "end": 8, "label": "WORK"}, [4, 8, "WORK"]])
def test_spans_in_json(span):
    lines("spans.jsonl", [{"id": n, "text": f"{SENTENCE} {n}", "entities": [span]} for n in range(30)])
    assert "'entities' holds the spans of 'text', each with its label" in init("spans.jsonl")
    assert task("spans.yaml")["data"] == {"path": "spans.jsonl", "text": "text", "label": "entities"}
    assert task("spans.yaml")["type"] == "token_classification"
    assert "30 records" in check("spans.yaml")


def test_lists_of_words_and_of_tags():
    words = [["Kim", "left", f"Seoul{n}", "at", f"noon{n}"] for n in range(40)]
    lines("ner.jsonl", [{"tokens": each, "ner_tags": ["B-PER", "O", "B-LOC", "O", "O"]} for each in words])
    assert "'tokens' are words and 'ner_tags' their tags; tags say where a span begins" in init("ner.jsonl")
    assert task("ner.yaml")["data"] == {"path": "ner.jsonl", "text": "tokens", "label": "ner_tags"}
    assert "40 records" in check("ner.yaml")


def test_lists_of_labels():
    genres = [["drama", "war"], ["comedy"], []]
    lines("films.jsonl", [{"plot": f"{SENTENCE} {n}", "genres": genres[n % 3]} for n in range(30)])
    assert "'genres' is a list: any number of labels a text" in init("films.jsonl")
    assert task("films.yaml") == {
        "type": "multi_label",
        "data": {"path": "films.jsonl", "text": "plot", "label": "genres"},
        "labels": ["comedy", "drama", "war"],
        "max_length": 32,
    }
    assert "30 records" in check("films.yaml")


def test_labels_with_a_bar_between_them():
    genres = ["drama|war", "comedy", "comedy|drama", "war", "comedy|drama|war"]
    with Path("films.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("plot", "genres"), *((f"{SENTENCE} {n}", genres[n % 5]) for n in range(60))])
    assert "'genres' holds several labels with '|' between them" in init("films.csv")
    assert task("films.yaml")["data"] == {"path": "films.csv", "text": "plot", "label": "genres", "separator": "|"}
    assert task("films.yaml")["labels"] == ["comedy", "drama", "war"]
    check("films.yaml")


def squad(answers):
    asked = [{"id": str(n), "question": f"What of {n}?", "answers": answers} for n in range(30)]
    return {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": SENTENCE, "qas": asked}]}]}


@pytest.mark.parametrize(("answers", "own"), [([{"text": "film", "answer_start": 4}], {}), ([], {"no_answer": True})])
def test_squad(answers, own):
    given = squad([{"text": "film", "answer_start": 4}])
    given["data"][0]["paragraphs"][0]["qas"][0]["answers"] = answers
    Path("train.json").write_text(json.dumps(given))
    assert "30 records" in init("train.json")
    assert task("train.yaml") == {
        "type": "question_answering", "data": {"path": "train.json"}, **own, "max_length": 384,
    }  # fmt: skip
    check("train.yaml")


def test_questions_a_line():
    answers = {"text": ["film"], "answer_start": [4]}
    lines("q.jsonl", [{"question": f"What of {n}?", "context": SENTENCE, "answers": answers} for n in range(30)])
    assert "'question' is asked of 'context', and 'answers' stand in it" in init("q.jsonl")
    assert task("q.yaml") == {"type": "question_answering", "data": {"path": "q.jsonl"}, "max_length": 384}
    check("q.yaml")


def table(name, header, rows):
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_a_number():
    table("r.csv", ("text", "score"), [(f"{SENTENCE} {n}", f"{n / 10 - 3.05:.2f}") for n in range(61)])
    output = init("r.csv")
    assert "label  score · a number from -4 to 3" in output
    assert "'score' is a number to predict; for labels: type: classification" in output
    assert task("r.yaml") == {
        "type": "regression",
        "data": {"path": "r.csv", "text": "text", "label": "score", "min": -4.0, "max": 3.0},
        "max_length": 32,
    }
    assert not Path("schemas").exists()
    train = (
        "train: {epochs: 20, batch_size: 16, learning_rate: 1e-4}   # 384 wide: 1e-4; 49 records to train on: 80 steps"
    )
    assert train in Path("r.yaml").read_text()
    check("r.yaml")


def test_a_number_for_each_pair():
    rows = [(f"{SENTENCE} {n}", f"a book {n}", f"{n % 26 / 5:.1f}") for n in range(60)]
    table("sts.csv", ("sentence2", "sentence1", "score"), rows)
    init("sts.csv")
    found = task("sts.yaml")
    assert found["type"] == "similarity"
    assert found["data"] == {
        "path": "sts.csv", "text": "sentence1", "text_pair": "sentence2", "label": "score", "min": 0.0, "max": 5.0,
    }  # fmt: skip
    assert (found["objective"], found["range"]) == ("cosine", [0.0, 5.0])
    check("sts.yaml")


def test_a_label_for_each_pair():
    rows = [(f"{SENTENCE} {n}", f"oh, the book {n}?", n % 2) for n in range(60)]
    table("replies.csv", ("statement", "reply", "is_reply"), rows)
    assert "'statement' and 'reply' are a pair" in init("replies.csv")
    found = task("replies.yaml")
    assert (found["type"], found["labels"]) == ("classification", ["0", "1"])
    assert found["data"] == {"path": "replies.csv", "text": "statement", "text_pair": "reply", "label": "is_reply"}
    check("replies.yaml")
