"""``check``'s tokens against those that the tasks' own ``featurize`` makes of the same records, for ten shapes."""

import csv
import json
import random
import re
from pathlib import Path

import pytest
import tensorflow as tf

from components.records.record import Part, Record
from models import families
from models import task as tasks
from models.pretraining.pretraining_data import Corpus
from models.text import wordpiece
from models.text.tokenization import TextRules, Tokenizer
from pipeline import loader
from pipeline.run import sources
from pipeline.start import lengths, preview

DATA = Path(__file__).parents[4] / "data"
VOCABULARY = DATA / "minilm" / "vocab.txt"
NONE = {"label": [0.0], "answers": [], "answer_start": [], "span_start": [], "span_end": [], "span_label": []}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def reviews(count):
    with (DATA / "movie_reviews.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row, _ in zip(csv.DictReader(file), range(count), strict=False)]


def korean(count):
    """Syllables that occur as often as some do in a language: the first ones mostly."""
    chance = random.Random(0)
    syllables = [chr(ord("가") + 28 * n) for n in range(80)]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(300)]
    return [
        " ".join(words[int(chance.paretovariate(1)) % 300] for _ in range(chance.randint(3, 12))) for _ in range(count)
    ]


def table(name, header, rows):
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def lines(name, rows):
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def experiment(task, more=f"vocabulary: {{path: {VOCABULARY}}}"):
    """Of a vocabulary that is there, where ``more`` does not say another."""
    Path("x.yaml").write_text(f"name: x\n{task}{more}\nencoder: bert_tiny\n", "utf-8")
    return loader.load("x.yaml")


def of_task(type_, data, own="max_length: 64"):
    return f"task:\n  type: {type_}\n  data: {data}\n  {own}\n"


def characters():
    letters = "在这个时候他们都说这部电影很好看" * 4
    text = "".join(f"{letter}\t{'O' if n else 'B-X'}\n" for n, letter in enumerate(letters))
    Path("x.tsv").write_text(f"{text}\n" * 30, "utf-8")
    return of_task("token_classification", "{path: x.tsv, format: conll, unit: character}", "max_length: 128")


def long_documents():
    given = reviews(400)
    table("x.csv", ("text", "label"), [(" ".join(given[n : n + 40]), "ab"[n // 8 % 2]) for n in range(0, 360, 8)])
    return of_task("classification", "{path: x.csv}", "labels: [a, b]\n  max_length: 256")


def short_questions():
    asked = ["Who was Galileo?", "What is an atom?", "Where is the Kalahari desert?", "How many planets are there?"]
    table("x.csv", ("text", "label"), [(f"{asked[n % 4]} {n}", "ab"[n % 2]) for n in range(80)])
    return of_task("classification", "{path: x.csv}", "labels: [a, b]\n  max_length: 64")


def pairs():
    given = reviews(200)
    table("x.csv", ("text", "text_pair", "label"), [(given[n], given[n + 1], "ab"[n % 2]) for n in range(150)])
    return of_task("classification", "{path: x.csv, text_pair: text_pair}", "labels: [a, b]\n  max_length: 64")


def two_texts_one_by_one():
    given = reviews(200)
    table("x.csv", ("text", "text_pair", "label"), [(given[n], given[n + 1], n % 5) for n in range(150)])
    return of_task("similarity", "{path: x.csv}")


def windows():
    given = reviews(300)
    answers = {"text": [], "answer_start": []}
    lines(
        "x.jsonl",
        [{"question": "What is it?", "context": " ".join(given[n : n + 30]), "answers": answers} for n in range(60)],
    )
    return of_task(
        "question_answering", "{path: x.jsonl}", "no_answer: true\n  max_length: 128\n  stride: 32\n  max_question: 16"
    )


def json_of_numbers():
    lines("x.jsonl", [{"text": text, "label": n / 7} for n, text in enumerate(reviews(200))])
    return of_task("regression", "{path: x.jsonl}")


@pytest.mark.parametrize(
    "shape",
    [characters, long_documents, short_questions, pairs, two_texts_one_by_one, windows, json_of_numbers],
)
def test_a_known_vocabulary_gives_what_the_task_makes_of_the_records(shape):
    given = experiment(shape())
    assert given.task is not None
    kind = sources.of(given)["task"]
    the_task = tasks.load(given.task.type)(given.task.own())
    records = [each for each in kind.records(given.task.data.path[0]) if isinstance(each, Record)]
    raw = {}
    for name in kind.texts:
        if name in records[0].features:
            raw[name] = tf.constant([record.features[name][0] for record in records])
    tokenizer = Tokenizer(VOCABULARY.read_text("utf-8").splitlines(), TextRules())
    features = the_task.featurize(raw, tokenizer)
    if shape is windows:
        made = float(tf.math.count_nonzero(the_task.inputs(features)["padding_mask"]))
    else:
        made = sum(float(tf.size(features[name].flat_values)) for name in features if name.endswith("token_ids"))
    told = preview.look(kind, lengths.measure(given, kind, None)).tokens
    assert told == pytest.approx(made / len(records), rel=0.01)


def learned(texts, size, mode, reserve=()):
    rules = TextRules(mode, (), tuple(reserve))
    counts = wordpiece.count([tf.constant(texts)], rules)
    return Tokenizer(wordpiece.learn(counts, size, reserve), rules)


def test_korean_with_a_vocabulary_to_be_learned():
    table("x.csv", ("text", "label"), [(text, "ab"[n % 2]) for n, text in enumerate(korean(600))])
    task = of_task("classification", "{path: x.csv}", "labels: [a, b]\n  max_length: 64")
    given = experiment(task, "text: {mode: uncased_nfc}\nvocabulary: {learn: 400}")
    tokenizer = learned(korean(600), 400, "uncased_nfc")
    made = float(tf.size(tokenizer.tokenize(tf.constant(korean(600))).flat_values)) / 600 + 2
    kind = sources.of(given)["task"]
    assert preview.look(kind, lengths.measure(given, kind, None)).tokens == pytest.approx(made, rel=0.1)
    assert preview.look(kind).tokens != pytest.approx(made, rel=0.2)  # a guess


def test_translation_pairs():
    # As long as the other side: a pair whose lengths are far apart is a bad record.
    english = [" ".join(text.split()[:8]) for text in reviews(500)]
    pairs = list(dict(zip(english, korean(500), strict=True)).items())
    table("x.csv", ("text", "target"), pairs)
    given = loader.load(
        _written(
            "task: {type: translation, data: {path: x.csv}}\nvocabulary: {learn: 1000}\nencoder: translation_tiny\n"
        )
    )
    tokenizer = learned([text for pair in pairs for text in pair], 1000, "spaced", families.load("translation").reserve)
    assert given.task is not None
    the_task = tasks.load("translation")(given.task.own())
    raw = {"text": tf.constant([one for one, _ in pairs]), "target": tf.constant([other for _, other in pairs])}
    features = the_task.featurize(raw, tokenizer)
    made = sum(float(tf.size(features[name].flat_values)) for name in ("source_ids", "target_ids"))
    kind = sources.of(given)["task"]
    assert preview.look(kind, lengths.measure(given, kind, None)).tokens == pytest.approx(made / len(pairs), rel=0.2)


def test_a_corpus():
    Path("x.txt").write_text("\n\n".join("\n".join(re.split(r"(?<=[.!?]) ", text)) for text in reviews(400)), "utf-8")
    given = loader.load(
        _written("corpus: {path: x.txt}\nvocabulary: {learn: 2000}\nencoder: bert_tiny\npretrain: {steps: 1}\n")
    )
    kind = sources.of(given)["corpus"]
    documents = [each.features["sentences"] for each in kind.records("x.txt") if isinstance(each, Record)]
    tokenizer = learned([text for each in documents for text in each], 2000, "bert_uncased")
    features = Corpus({"objectives": ["mlm"]}).featurize({"sentences": tf.ragged.constant(documents)}, tokenizer)
    made = float(tf.size(features["token_ids"].flat_values)) / len(documents)
    assert preview.look(kind, lengths.measure(given, kind, None)).tokens == pytest.approx(made, rel=0.1)


def _written(text):
    Path("x.yaml").write_text(f"name: x\n{text}", "utf-8")
    return "x.yaml"


def test_a_sample_is_from_all_over():
    sample = lengths.Sample()
    for n in range(40_000):
        sample.add([str(n)])
    assert len(sample.kept) == lengths.SAMPLE
    assert sum(int(text) for (text,) in sample.kept) / lengths.SAMPLE == pytest.approx(20_000, rel=0.05)


def test_parts_of_a_pair_are_its_two_texts():
    given = loader.load(
        _written(
            "task: {type: translation, data: {path: x.csv}}\nvocabulary: {learn: 1000}\nencoder: translation_tiny\n"
        )
    )
    part = Part("a b", 0, "x.csv", 1, ("a b", "c", {"project": "p"}, None))
    assert lengths.texts_of(part, sources.of(given)["task"]) == ["a b", "c"]
