"""The figures of each task against their sources: seqeval, KLUE, SQuAD's script, scikit-learn, and brute force."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from components.records import tags as tagging
from models import task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

# --- spans ---------------------------------------------------------------------------------------------------------


def spans_of(tags, scheme="BIO"):
    """Tags of one-letter words as a record's gold, and as an answer."""
    spans = tagging.spans(["x"] * len(tags), tags, "", scheme)
    start, end = (np.array([span[place] for span in spans], int) for place in (0, 1))
    label = np.array([span[2].encode() for span in spans], object)
    return {"span_start": start, "span_end": end, "span_label": label}, {
        "start": start,
        "end": end,
        "span_label": label,
    }


def span_figures(labels, truth, guess):
    the_task = task.load("token_classification")({"labels": labels})
    rows = [
        the_task.row_metrics(spans_of(found)[1], spans_of(right)[0]) for right, found in zip(truth, guess, strict=True)
    ]
    return the_task.figures(np.array(rows)).flat()


def test_entity_f1_is_seqevals():
    """The example of seqeval's README: precision, recall and F1 are .50; of MISC 0, of PER 1."""
    truth = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    guess = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = span_figures(["MISC", "PER"], truth, guess)
    assert found["entity_f1"] == found["entity_f1_macro"] == 0.5
    assert [found[f"{kind}[{label}]"] for label in ("MISC", "PER") for kind in ("precision", "recall")] == [0, 0, 1, 1]


def test_character_f1_is_the_mean_over_tags_as_klue_has_it():
    generator = np.random.default_rng(3)

    def drawn():
        tags, before = [], "O"
        for kind in generator.choice(["O", "B-A", "B-C", "I"], size=30):
            tag = f"I-{before[2:]}" if kind == "I" and before != "O" else "O" if kind == "I" else kind
            tags.append(tag)
            before = tag
        return tags

    truth, guess = [drawn() for _ in range(20)], [drawn() for _ in range(20)]
    expected = metrics.f1_score(
        list(itertools.chain(*truth)),
        list(itertools.chain(*guess)),
        labels=["B-A", "I-A", "B-C", "I-C"],
        average="macro",
    )
    assert span_figures(["A", "C"], truth, guess)["character_f1_macro"] == pytest.approx(expected, abs=1e-12)


def test_words_are_judged_by_their_labels():
    the_task = task.load("token_classification")({"labels": ["N", "V"], "scheme": "word"})
    truth, guess = ["N", "V", "N", "N"], ["N", "N", "N", "V"]
    found = the_task.figures(np.array([the_task.row_metrics(spans_of(guess, "word")[1], spans_of(truth, "word")[0])]))
    assert (found.values["entity_f1"], found.trivial) == (0.5, 0.75)
    assert found.values["entity_f1_macro"] == pytest.approx(metrics.f1_score(truth, guess, average="macro"), abs=1e-12)


def test_a_tag_that_continues_nothing_begins_a_span():
    """As seqeval reads it; and neighbours of one label are apart where the second begins with B."""
    the_task = task.load("token_classification")({"labels": ["A", "C"]})
    tags = ["O", "I-A", "B-A", "I-A", "I-C", "O", "B-C", "O"]
    logits = np.full((1, len(tags), 5), -9.0, np.float32)
    for place, tag in enumerate(tags):
        logits[0, place, the_task.logit_names.index(tag)] = 9
    start = np.maximum(np.arange(len(tags)) - 1, 0)
    end = np.where((start > 0) | (np.arange(len(tags)) == 1), start + 1, 0)
    end[-1] = 0
    ragged = {
        name: tf.RaggedTensor.from_tensor([value]) for name, value in (("piece_start", start), ("piece_end", end))
    }
    answer = the_task.answer({"logits": tf.constant(logits)}, ragged, {"text": tf.constant(["abcdef"])})
    assert task.strings(answer["span"].numpy()) == ["a", "bc", "d", "f"]
    assert task.strings(answer["span_label"].numpy()) == ["A", "A", "C", "C"]


# --- several labels ------------------------------------------------------------------------------------------------


def test_the_trivial_answer_is_the_best_set_of_labels_for_everyone():
    generator = np.random.default_rng(5)
    right = generator.random((40, 4)) < [0.1, 0.7, 0.4, 0.2]
    the_task = task.load("multi_label")({"labels": list("abcd")})
    found = the_task.figures(np.concatenate([right, generator.random((40, 4))], axis=1).astype(float))
    sets = (kept for size in range(1, 5) for kept in itertools.combinations(range(4), size))
    best = max(
        metrics.f1_score(right, np.isin(np.arange(4), kept)[None].repeat(40, 0), average="micro") for kept in sets
    )
    assert found.trivial == pytest.approx(best, abs=1e-12)


def test_scores_of_several_labels_are_as_sure_as_they_are_right():
    """Three scores of .9, two of which are right, and one of .3, in two bins of fifteen: (.7 + .3) / 4."""
    the_task = task.load("multi_label")({"labels": ["a", "b"]})
    found = the_task.figures(np.array([[1, 1, 0.9, 0.9], [0, 0, 0.9, 0.3]]))
    assert found.values["ece"] == pytest.approx((0.7 + 0.3) / 4)


# --- numbers -------------------------------------------------------------------------------------------------------


def test_f1_of_numbers_from_a_threshold_on():
    """KLUE's STS, where 3 and more are alike: two are found, one of them rightly; one more is missed."""
    rows = np.array([[3.0, 3.2], [2.9, 3.0], [4.5, 2.99], [0.0, 1.0]])
    found = task.load("regression")({"threshold": 3.0}).figures(rows).values
    assert found["f1"] == metrics.f1_score([1, 0, 1, 0], [1, 1, 0, 0]) == 0.5
    assert "f1" not in task.load("regression")({}).figures(rows).values


# --- questions -----------------------------------------------------------------------------------------------------

QA = {"max_length": 20, "stride": 5, "max_question": 4, "max_answer": 4, "no_answer": True}


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1", "rouge_w"),
    [
        ("the Eiffel Tower!", ["Eiffel tower", "Paris"], 1, 1, 2 * 12 / (16 + 12)),
        ("Eiffel", ["The Eiffel Tower"], 0, 2 / 3, 2 * 6 / (6 + 16)),
        ("", [], 1, 1, 1),
        ("Rome", [], 0, 0, 0),
        ("", ["Rome"], 0, 0, 0),
        ("a b b", ["b b c"], 0, 0.8, 2 * 3 / (5 + 5)),
        # A Korean answer is rarely cut at a word's end.
        ("서울특별시에서", ["서울", "'서울특별시'"], 0, 0, 2 * 5 / (7 + 5)),
        ("부산", ["서울"], 0, 0, 0),
    ],
)
def test_answers_are_compared_as_the_scripts_of_squad_and_klue_do(answer, golds, exact, f1, rouge_w):
    the_task = task.load("question_answering")(QA)
    gold = {"answers": np.array([gold.encode() for gold in golds], object), "answer_start": np.zeros(len(golds))}
    row = the_task.row_metrics({"answer": np.asarray(answer.encode(), object)}, gold)
    assert row == pytest.approx([exact, f1, float(bool(golds)), rouge_w])


def test_figures_of_questions_with_and_without_an_answer():
    the_task = task.load("question_answering")(QA)
    found = the_task.figures(np.array([[1, 1, 1, 1], [0, 0.5, 1, 0.25], [1, 1, 0, 1], [0, 0, 0.0, 0]]))
    whole = {"f1": 0.625, "exact": 0.5, "rouge_w": 0.5625}
    assert (found.values, found.trivial) == ({**whole, "f1_answerable": 0.75, "none_recall": 0.5}, 0.5)


WORDS = [f"w{index}" for index in range(60)]
TOKENIZER = Tokenizer([*SPECIAL, *WORDS], TextRules())


@pytest.fixture(scope="module")
def windows():
    """A task, features of contexts of every length, and their windows."""
    the_task = task.load("question_answering")(QA)
    contexts = [" ".join(WORDS[:count]) for count in (0, 1, 12, 13, 14, 18, 19, 40, 60)]
    last = [[contexts[-1].index("w33 w34")] if context == contexts[-1] else [] for context in contexts]
    record = {
        "text": tf.constant(["w0 w1 w2 w3 w4 w5", *["w1"] * 8]),
        "text_pair": tf.constant(contexts),
        "answers": tf.ragged.constant([["w33 w34"] if start else [] for start in last], tf.string, ragged_rank=1),
        "answer_start": tf.ragged.constant(last, tf.int64, ragged_rank=1),
    }
    features = the_task.featurize(record, TOKENIZER)
    return the_task, record, features, the_task.inputs(features)


def test_windows_hold_every_token_of_the_context_and_overlap(windows):
    _the_task, _record, features, batch = windows
    place, row = batch["place"].numpy(), batch["row"].numpy()
    mask, ids = batch["padding_mask"].numpy(), features["token_ids"]
    for number, length in enumerate(ids.row_lengths().numpy()):
        mine = [set(place[window][mask[window]].tolist()) for window in np.flatnonzero(row == number)]
        assert set().union(*mine) == set(range(length))
        question = int((features["segment_ids"][number].numpy() == 0).sum())
        for before, after in itertools.pairwise(mine):
            assert min(after - set(range(question))) - min(before - set(range(question))) == QA["stride"]
        assert all(len(window) <= QA["max_length"] for window in mine)
        # No window that adds nothing.
        assert len(mine) == 1 or mine[-1] - set().union(*mine[:-1])
    assert (np.take_along_axis(ids.to_tensor().numpy()[row], place, 1) * mask == batch["token_ids"].numpy()).all()


def test_the_answer_is_learned_where_a_window_holds_all_of_it(windows):
    the_task, _, features, batch = windows
    learned = the_task._learned(features)
    place, row = batch["place"].numpy(), batch["row"].numpy()
    start, end = int(features["start_token"][-1]), int(features["end_token"][-1])
    assert end == start + 1
    found = 0
    for window in range(len(row)):
        ends = (int(learned["start_place"][window]), int(learned["end_place"][window]))
        if row[window] == 8 and {start, end} <= set(place[window].tolist()):
            assert tuple(place[window][list(ends)]) == (start, end)
            found += 1
        else:
            assert ends == (0, 0)
    assert found >= 1


@pytest.mark.parametrize("threshold", [-2.0, 0.0, 2.0])
def test_the_best_span_is_the_one_that_brute_force_finds(windows, threshold):
    _, record, features, batch = windows
    the_task = task.load("question_answering")({**QA, "threshold": threshold})
    logits = np.random.default_rng(7).normal(size=(*batch["token_ids"].shape, 2)).astype(np.float32)
    answer = the_task.answer({"logits": tf.constant(logits)}, features, record)
    segments, place, row = (batch[name].numpy() for name in ("segment_ids", "place", "row"))
    none, spans = collections.defaultdict(lambda: np.inf), collections.defaultdict(list)
    for window, number in enumerate(row):
        count = int(batch["padding_mask"].numpy()[window].sum())
        none[number] = min(none[number], logits[window, 0].sum())
        context = np.flatnonzero(segments[window][: count - 1] == 1)
        for start, end in itertools.product(context, context):
            if 0 <= end - start < QA["max_answer"]:
                score = logits[window, start, 0] + logits[window, end, 1]
                spans[number].append((score, place[window, start], place[window, end]))
    for number, text in enumerate(record["text_pair"].numpy()):
        best = max(spans[number], default=(-np.inf, 0, 0))
        weights = np.exp([*(score for score, *_ in spans[number]), none[number]])
        if none[number] - best[0] > threshold:
            assert answer["answer"][number] == b""
            expected = weights[-1] / weights.sum()
        else:
            first, last = (
                int(features[name][number][at]) for name, at in zip(("piece_start", "piece_end"), best[1:], strict=True)
            )
            assert answer["answer"][number] == text[first:last]
            expected = np.exp(best[0]) / weights.sum()
        assert float(answer["score"][number]) == pytest.approx(expected, rel=1e-4)
