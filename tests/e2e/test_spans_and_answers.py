"""Spans of a text and answers to questions, from the files in their official layouts to what is served."""

import csv
import json

import numpy as np
import pytest
import yaml

from tests.e2e.tiny import result, tfx_bert

pytestmark = pytest.mark.e2e
NAMES, PLACES = ("ada", "kim", "grace"), ("rome", "seoul", "york")
COMMON = {
    "vocabulary": {"learn": 200},
    "encoder": {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "max_positions": 64},
    "train": {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3},
}


def sentence(index):
    name, place = NAMES[index % 3], PLACES[index // 3 % 3]
    return name, place, ["then", name, "went", "to", place, f"{index}"]


def test_entities_of_a_conll_file_are_found_at_their_characters(folder):
    """Labels are read from the data; the answers carry places in the text as it was asked."""
    with (folder / "ner.conll").open("w") as file:
        for index in range(400):
            name, place, words = sentence(index)
            tags = {name: "B-PER", place: "B-LOC"}
            file.write("".join(f"{word}\t{tags.get(word, 'O')}\n" for word in words) + "\n")
    experiment = COMMON | {
        "name": "entities",
        "task": {"type": "token_classification", "data": {"path": "ner.conll"}, "max_length": 32},
        "evaluate": {"bless": {"entity_f1": 0.9, "recall": {"LOC": 0.9}}},
        "try": "then grace went to york 7",
    }
    (folder / "entities.yaml").write_text(yaml.safe_dump(experiment), "utf-8")
    printed = tfx_bert(folder, "run", "entities.yaml")
    run = result(folder, "entities", 1)
    assert (run.verdict, run.pushed.version) == ("blessed", 1)
    assert run.metrics["entity_f1"] > 0.9
    assert '"then grace went to york 7" → grace PER' in printed
    said = tfx_bert(folder, "predict", "--model", "entities", "then  Ada went to ROME 7")
    assert "Ada PER" in said
    assert "ROME LOC" in said
    (folder / "new.csv").write_text('text\n"then  Ada went to ROME 7"\n')
    tfx_bert(folder, "predict", "--model", "entities", "--input", "new.csv", "--output", "out.csv")
    (row,) = csv.DictReader((folder / "out.csv").open())
    spans = json.loads(row["spans"])
    assert [(span["start"], span["end"], span["label"]) for span in spans] == [(6, 9, "PER"), (18, 22, "LOC")]


def test_questions_of_a_squad_file_are_answered_with_text_or_with_nothing(folder):
    paragraphs = []
    for index in range(400):
        name, place, words = sentence(index)
        context = " ".join([*["so"] * (index % 20), *words, *["so"] * (index % 5)])
        question, answer = [("who", name), ("where", place), ("why", None)][index // 9 % 3]
        answers = [{"text": answer, "answer_start": context.index(answer)}] if answer else []
        asked = {"id": str(index), "question": question, "answers": answers, "is_impossible": answer is None}
        paragraphs.append({"context": context, "qas": [asked]})
    document = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    (folder / "squad.json").write_text(json.dumps(document))
    experiment = COMMON | {
        "name": "questions",
        "task": {
            "type": "question_answering",
            "data": {"path": "squad.json"},
            # Windows of 20 tokens: many a context needs several.
            **{"max_length": 24, "max_question": 8, "stride": 8, "no_answer": True},
        },
        "train": {"epochs": 30, "batch_size": 16, "learning_rate": 2e-3},
        "evaluate": {"bless": {"f1": 0.8}},
        "try": [{"question": "who", "context": "then kim went to seoul 3"}],
    }
    (folder / "questions.yaml").write_text(yaml.safe_dump(experiment), "utf-8")
    assert '"who | then kim went to seoul 3" → kim' in tfx_bert(folder, "run", "questions.yaml")
    run = result(folder, "questions", 1)
    assert run.verdict == "blessed"
    assert run.metrics["f1"] > 0.8 > run.trivial
    assert np.isclose(run.metrics["exact"], run.metrics["f1"], atol=0.1)
    far = " ".join(["so"] * 18 + ["then kim went to seoul 3"])
    assert "→ kim" in tfx_bert(folder, "predict", "--model", "questions", f"who\t{far}")
    assert "→ no answer" in tfx_bert(folder, "predict", "--model", "questions", f"why\t{far}")
    assert "wrong" in tfx_bert(folder, "errors", "questions")
    tfx_bert(folder, "errors", "questions", "--labels", exit_code=1)  # a question has no label
