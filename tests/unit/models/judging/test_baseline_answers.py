"""Baselines against scikit-learn's own pipelines, put together anew, and against brute force."""

import itertools

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from models import task

WORDS = ["good", "bad", "film", "영화", "very", "not", "a", "x", "plot", "naïve"]
LABELS = ["no", "yes", "perhaps"]


def drawn(count, seed):
    generator = np.random.default_rng(seed)
    for number in range(count):
        words = list(generator.choice(WORDS, size=generator.integers(0, 9)))
        yield " ".join(words), number, generator


def text(value):
    return np.array([value.encode()], object)


def labelled(count, seed):
    """The label follows from the words, mostly."""
    records = []
    for words, _, generator in drawn(count, seed):
        sure = "yes" if "good" in words else "no" if "bad" in words else "perhaps"
        label = sure if generator.random() < 0.8 else str(generator.choice(LABELS))
        records.append({"text": text(words), "label": text(label)})
    return records


def tfidf():
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")


def texts(records, name="text"):
    return [record[name][0].decode() for record in records]


def rows(the_task, name, train, test):
    """As the Evaluator has it: the gold of the test records is hidden from the baseline."""
    bare = [{**record, **dict.fromkeys(the_task.gold, np.zeros(0))} for record in test]
    answers = the_task.baseline(name, train, bare)
    assert len(answers) == len(test)
    return np.array([the_task.row_metrics(answer, record) for answer, record in zip(answers, test, strict=True)])


def test_labels():
    the_task = task.load("classification")({"labels": LABELS})
    train, test = labelled(200, 1), labelled(90, 2)
    right, truth = texts(train, "label"), np.array(texts(test, "label"))
    usual = max(LABELS, key=right.count)
    assert the_task.headline(rows(the_task, "majority", train, test)) == (truth == usual).mean()
    model = make_pipeline(tfidf(), LogisticRegression(C=10, max_iter=1000)).fit(texts(train), right)
    found = rows(the_task, "tfidf", train, test)
    assert the_task.headline(found) == (model.predict(texts(test)) == truth).mean() > 0.6
    order = [list(model.classes_).index(label) for label in LABELS]
    np.testing.assert_allclose(found[:, 1:], model.predict_proba(texts(test))[:, order], atol=1e-12)


def test_a_label_that_the_train_split_lacks_is_never_answered():
    the_task = task.load("classification")({"labels": LABELS})
    train = [record for record in labelled(100, 1) if record["label"][0] != b"yes"]
    for name in the_task.baselines:
        assert (rows(the_task, name, train, labelled(20, 2))[:, 2] == 0).all()


@pytest.mark.parametrize("words", ["", " \t", "!!! …"])
def test_without_words_or_with_one_label_the_majority_is_left(words):
    the_task = task.load("classification")({"labels": LABELS})
    train = [{"text": text(words), "label": text(label)} for label in ("yes", "yes", "no")]
    test = labelled(10, 3)
    np.testing.assert_array_equal(rows(the_task, "tfidf", train, test), rows(the_task, "majority", train, test))
    alike = [{"text": text("good film"), "label": text("no")}] * 3
    assert (rows(the_task, "tfidf", alike, test)[:, 1:] == [1, 0, 0]).all()


def test_both_texts_of_a_pair_are_looked_at():
    """The label says whether the second text is good; the first one knows nothing of it."""
    generator = np.random.default_rng(4)
    the_task = task.load("classification")({"labels": ["no", "yes"]})

    def pairs(count):
        for _ in range(count):
            good = generator.random() < 0.5
            yield {
                "text": text(" ".join(generator.choice(WORDS, size=5))),
                "text_pair": text("good film" if good else "bad film"),
                "label": text("yes" if good else "no"),
            }

    assert the_task.headline(rows(the_task, "tfidf", list(pairs(80)), list(pairs(40)))) == 1


def test_several_labels():
    the_task = task.load("multi_label")({"labels": LABELS})

    def records(count, seed):
        for record, (_, number, generator) in zip(labelled(count, seed), drawn(count, seed + 9), strict=True):
            more = {b"perhaps"} if generator.random() < 0.5 else set()
            yield {
                "text": record["text"],
                "labels": np.array(sorted({record["label"][0]} | more)[: number % 3], object),
            }

    train, test = list(records(150, 1)), list(records(60, 2))
    mask, truth = (
        np.array([[label.encode() in record["labels"] for label in LABELS] for record in split])
        for split in (train, test)
    )
    sets = [kept for size in range(1, 4) for kept in itertools.combinations(range(3), size)]
    same = {kept: np.isin(np.arange(3), kept)[None] for kept in sets}
    best = max(sets, key=lambda kept: f1_score(mask, same[kept].repeat(len(mask), 0), average="micro"))
    expected = f1_score(truth, same[best].repeat(len(truth), 0), average="micro")
    assert the_task.headline(rows(the_task, "best_set", train, test)) == pytest.approx(expected, abs=1e-12)
    model = make_pipeline(tfidf(), OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000)))
    scores = model.fit(texts(train), mask).predict_proba(texts(test))
    np.testing.assert_allclose(rows(the_task, "tfidf", train, test)[:, 3:], scores, atol=1e-12)


def test_numbers():
    the_task = task.load("regression")({})

    def records(count, seed):
        for words, _, generator in drawn(count, seed):
            value = np.float32(words.count("good") - words.count("bad") + generator.normal(scale=0.1))
            yield {"text": text(words), "label": np.array([value])}

    train, test = list(records(150, 1)), list(records(60, 2))
    numbers = [record["label"][0] for record in train]
    assert set(rows(the_task, "mean", train, test)[:, 1]) == {np.mean(numbers, dtype=float)}
    assert np.isnan(the_task.headline(rows(the_task, "mean", train, test)))
    expected = make_pipeline(tfidf(), Ridge()).fit(texts(train), numbers).predict(texts(test))
    np.testing.assert_allclose(rows(the_task, "tfidf", train, test)[:, 1], expected, atol=1e-5)
    assert the_task.headline(rows(the_task, "tfidf", train, test)) > 0.7


def test_pairs_are_as_alike_as_their_words():
    the_task = task.load("similarity")({})
    pairs = [("good film", "good film"), ("good film", "film good"), ("good film", "bad plot"), ("", "good")]
    records = [{"text": text(a), "text_pair": text(b), "label": np.array([0.0])} for a, b in pairs]
    same, turned, none, empty = rows(the_task, "tfidf", records, records)[:, 1]
    assert (same, none, empty) == (pytest.approx(1), 0, 0)
    assert 0 < turned < 1
    known = tfidf().fit([side for pair in zip(*pairs, strict=True) for side in pair])
    vectors = known.transform(["good film", "film good"]).toarray()
    assert turned == pytest.approx(vectors[0] @ vectors[1], abs=1e-12)
    wordless = [{**record, "text": text(""), "text_pair": text("")} for record in records]
    assert (rows(the_task, "tfidf", wordless, records)[:, 1] == 0).all()


def spans(words, *given):
    columns = zip(*given, strict=True) if given else ((), (), ())
    start, end, label = (list(column) for column in columns)
    return {
        "text": text(words),
        "span_start": np.array(start, np.int64),
        "span_end": np.array(end, np.int64),
        "span_label": np.array([each.encode() for each in label], object),
    }


def found(answer):
    labels = [label.decode() for label in answer["span_label"]]
    return list(zip(answer["start"].tolist(), answer["end"].tolist(), labels, strict=True))


def test_each_word_gets_the_tag_that_it_mostly_had():
    the_task = task.load("token_classification")({"labels": ["PER", "ORG"]})
    train = [
        spans("Anna Lee met Samsung", (0, 8, "PER"), (13, 20, "ORG")),
        spans("Samsung met 삼성전자는", (0, 7, "ORG"), (12, 16, "ORG")),
        spans("Samsung alone", (0, 7, "PER")),
        spans("met"),
    ]
    test = [spans("Samsung met Anna Lee"), spans("  Lee met\t삼성전자는 Nobody"), spans("Anna Samsung"), spans("")]
    answers = the_task.baseline("most_frequent_tag", train, test)
    assert list(map(found, answers)) == [
        [(0, 7, "ORG"), (12, 20, "PER")],
        [(2, 5, "PER"), (10, 14, "ORG")],  # a part that continues nothing begins a span
        [(0, 4, "PER"), (5, 12, "ORG")],
        [],
    ]


def test_every_word_has_a_label_where_the_task_says_so():
    the_task = task.load("token_classification")({"labels": ["NOUN", "VERB"], "scheme": "word"})
    train = [spans("dogs run fast", (0, 4, "NOUN"), (5, 8, "VERB"), (9, 13, "VERB")), spans("run", (0, 3, "NOUN"))]
    train.append(spans("run", (0, 3, "NOUN")))
    test = [spans("run cats", (0, 3, "NOUN"), (4, 8, "VERB"))]
    assert found(the_task.baseline("most_frequent_tag", train, test)[0]) == [(0, 3, "NOUN"), (4, 8, "NOUN")]
    assert the_task.headline(rows(the_task, "most_frequent_tag", train, test)) == 0.5


def test_an_unknown_name_is_refused_with_those_that_there_are():
    the_task = task.load("regression")({})
    with pytest.raises(ValueError, match="no baseline 'majority'; there is mean, tfidf"):
        the_task.baseline("majority", [], [])
    with pytest.raises(ValueError, match="there is none"):
        task.load("question_answering")({}).baseline("majority", [], [])


def test_headlines_are_the_first_of_the_figures():
    """What is resampled a thousand times is what is reported, for every task: nobody computes a headline twice."""
    generator = np.random.default_rng(5)
    for name, config, table in (
        ("classification", {"labels": LABELS}, np.c_[generator.integers(3, size=50), generator.random((50, 3))]),
        ("multi_label", {"labels": LABELS}, np.c_[generator.integers(2, size=(50, 3)), generator.random((50, 3))]),
        ("regression", {}, generator.random((50, 2))),
        ("similarity", {}, generator.random((50, 2))),
        ("token_classification", {"labels": ["A", "B"]}, generator.integers(5, size=(50, 18)).astype(float)),
        ("question_answering", {}, generator.random((50, 4))),
    ):
        the_task = task.load(name)(config)
        assert next(iter(the_task.figures(table).values.items())) == (
            the_task.metrics[0].name,
            the_task.headline(table),
        )
        assert the_task.choose(table) == the_task.headline(table)
        assert np.isnan(the_task.headline(table[:0]))
