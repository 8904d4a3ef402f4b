"""The translation memory: the nearest known source as scikit-learn finds it, itself left out, exact ones answered."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer

from models import families, task
from models.export import saved_model, serving_check
from models.text import wordpiece
from models.text.reserved import RESERVED
from models.text.tokenization import TextRules, Tokenizer
from models.translation import memory
from models.translation.memory import Memory
from models.translation.translator import with_target

SIZE, END = 40, 3


def rows(seed: int, count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [np.append(draw.integers(4, SIZE, draw.integers(0, 9)), END) for _ in range(count)]


def distinct(seed: int, count: int) -> list[np.ndarray]:
    return [np.array(each) for each in dict.fromkeys(tuple(row.tolist()) for row in rows(seed, count))]


def numbered(sources) -> Memory:
    """Whose targets say which source they belong to."""
    return Memory([(source, np.array([number, END])) for number, source in enumerate(sources)], SIZE)


@pytest.mark.parametrize("others", [True, False])
def test_the_nearest_source_is_the_one_that_scikit_learn_finds(others):
    known = distinct(0, 200)
    asked = [*rows(1, 100), *known[:50]]
    names = [[" ".join(map(str, row)) for row in side] for side in (known, asked)]
    fitted = TfidfVectorizer(analyzer="word", token_pattern=r"\S+", ngram_range=(1, 2))
    vectors = fitted.fit_transform(names[0])
    cosines = (fitted.transform(names[1]) @ vectors.T).toarray()
    # What no known source has counts too: scikit-learn leaves it out of the length of the text.
    unseen = np.log(1 + len(known)) + 1
    for row, name in enumerate(names[1]):
        pieces = name.split()
        features = [*pieces, *map(" ".join, itertools.pairwise(pieces))]
        new = [features.count(each) * unseen for each in set(features) - fitted.vocabulary_.keys()]
        counted = [
            features.count(each) * fitted.idf_[fitted.vocabulary_[each]]
            for each in set(features)
            if each in fitted.vocabulary_
        ]
        cosines[row] *= np.linalg.norm(counted) / np.linalg.norm(new + counted)
        if others and name in names[0]:
            cosines[row, names[0].index(name)] = 0
    found = numbered(known).find(tf.ragged.constant([row.tolist() for row in asked], dtype=tf.int64), others=others)
    near = 0
    for row, suggestion in enumerate(found.suggestion.to_list()):
        assert bool(suggestion) == (cosines[row].max() >= 0.5)
        if suggestion:
            near += 1
            assert cosines[row, suggestion[0]] == pytest.approx(cosines[row].max(), abs=1e-5)
    assert near > 20
    known_rows = [names[0].index(name) if name in names[0] else None for name in names[1]]
    assert [same[0] if same else None for same in found.same.to_list()] == known_rows
    assert found.known.numpy().tolist() == [place is not None for place in known_rows]


def test_what_is_common_says_nothing_and_costs_nothing(monkeypatch):
    monkeypatch.setattr(memory, "_COMMON", 2)
    found = numbered([np.array([5, 6, END]), np.array([5, 7, END]), np.array([5, 8, 9, END])])
    having = dict(zip(found.keys.numpy().tolist(), np.diff(found.splits), strict=True))
    assert (having[5], having[6], having[END]) == (0, 1, 0)
    answer = found.find(tf.ragged.constant([[5, END], [8, 9, END]], dtype=tf.int64), others=False)
    assert answer.suggestion.to_list() == [[], [2, END]]


def test_of_equal_sources_the_first_one_counts():
    pairs = [(np.array([5, END]), np.array([target, END])) for target in (8, 9)]
    asked = tf.ragged.constant([[5, END], [END]], dtype=tf.int64)
    assert Memory(pairs, SIZE).find(asked, others=False).same.to_list() == [[8, END], []]


def test_more_pairs_than_can_be_searched(monkeypatch):
    monkeypatch.setattr(memory, "_MOST_PAIRS", 1)
    with pytest.raises(ValueError, match=r"at most 1\. Received: 2 pairs; remove memory"):
        numbered(rows(0, 2))


# --- in a model -----------------------------------------------------------------------------------------------------

PAIRS = {f"{verb} {count} {noun} %1": f"{noun}{count} %1 {verb}!" for verb in ("Save", "Open", "Close") for count in
         ("one", "two") for noun in ("cell", "row", "file")}  # fmt: skip
RULES = TextRules("spaced", reserve=RESERVED)
TOKENIZER = Tokenizer(
    wordpiece.learn(wordpiece.count([tf.constant([*PAIRS, *PAIRS.values()])], RULES), 200, RESERVED), RULES
)
RECORD = {"text": tf.constant(list(PAIRS)), "target": tf.constant(list(PAIRS.values()))}
SHAPE = {"num_layers": 1, "num_decoder_layers": 1, "hidden_dim": 16, "num_heads": 2, "max_positions": 24}


@pytest.fixture(scope="module")
def remembering():
    """A task with its memory, and a model that has learned nothing."""
    bare = task.load("translation")({"max_length": 16, "memory": True})
    rows = tf.data.Dataset.from_tensor_slices(bare.featurize(RECORD, TOKENIZER))
    the_task = bare.fitted(bare.training_rows(rows), None, TOKENIZER)
    keras.utils.set_random_seed(0)
    return the_task, the_task.build(families.load("translation").network(SHAPE, TOKENIZER, None))


def answers_of(the_task, model, texts):
    features = the_task.featurize({"text": tf.constant(texts)}, TOKENIZER)
    answers = the_task.answer(model(the_task.inputs(features)), features, {"text": tf.constant(texts)})
    return {name: value.numpy().tolist() for name, value in answers.items()}


def test_a_known_source_has_its_known_translation_with_what_it_is_asked_with(remembering):
    texts = ["Save one cell %1", "Close two file %OTHER", "Save one cell", "漢 one cell %1", "Open two row %1 " * 9, ""]
    answers = answers_of(*remembering, texts)
    assert answers["remembered"] == [True, True, False, False, False, False]
    assert [text.decode() for text in answers["translation"][:2]] == ["cellone %1 Save!", "filetwo %OTHER Close!"]
    assert answers["score"][:2] == [0, 0]
    assert answers["missing"][:2] == [0, 0]
    alone = [answers_of(*remembering, [text])["translation"][0] for text in texts]
    assert alone == answers["translation"]


def test_a_suggestion_changes_what_the_network_says_and_a_pair_is_none_for_itself(remembering):
    the_task, model = remembering
    features = the_task.featurize(RECORD, TOKENIZER)
    batch = with_target({"token_ids": features["source_ids"], "target_ids": features["target_ids"]})
    found = model.memory.find(features["source_ids"], others=True)
    own = features["target_ids"][:, 1:].to_list()
    assert all(
        suggestion and suggestion != its for suggestion, its in zip(found.suggestion.to_list(), own, strict=True)
    )
    rows = tf.concat([features["source_ids"], found.suggestion], axis=1)
    longer = {**batch, "token_ids": rows.to_tensor(), "padding_mask": tf.sequence_mask(rows.row_lengths())}
    without = the_task.build(model.network)
    without.memory = None
    np.testing.assert_allclose(model(batch)["logits"], without(longer)["logits"], atol=1e-6)
    assert np.abs(model(batch)["logits"] - without(batch)["logits"]).max() > 1e-3
    # A placeholder of the suggestion may not be written where the source has none.
    assert not any(
        "⟨" in text.decode() or "%" in text.decode()
        for text in answers_of(the_task, model, ["Save one"])["translation"]
    )


def test_a_server_takes_a_model_with_its_memory(remembering, tmp_path):
    the_task, model = remembering
    saved_model.write(
        str(tmp_path / "1"),
        family="translation",
        model=model,
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, TOKENIZER),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
        gold_spec={"target": tf.io.RaggedFeature(tf.string)},
    )
    assert serving_check.check(tmp_path / "1")["faults"] == []
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    answer = served(text=tf.constant(["Open one file %9"]))
    assert (answer["translation"].numpy()[0].decode(), bool(answer["remembered"][0])) == ("fileone %9 Open!", True)
