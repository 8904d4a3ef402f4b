"""What explains an answer, against linear models, identity and a classifier that knows one word."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.analysis import attribution
from models.analysis.attribution import Asked, Attribution, Text
from models.analysis.sections import _attribution
from models.analysis.subject import Subject
from models.bert.encoder import BertEncoder
from models.tasks import classification
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from tests.unit.models import keyword


def test_integrated_gradients_of_a_linear_model_are_its_products():
    generator = np.random.default_rng(1)
    weights, vectors, baseline = generator.normal(size=(3, 7, 5))
    found = attribution.integrated(lambda points: np.broadcast_to(weights, points.shape), vectors, baseline)
    np.testing.assert_allclose(found, (weights * (vectors - baseline)).sum(axis=1), rtol=1e-6)


def test_integrated_gradients_of_a_square_are_the_change():
    """x²: the mean slope between two points is their sum."""
    found = attribution.integrated(lambda points: 2 * points, np.array([[3.0]]), np.array([[1.0]]))
    np.testing.assert_allclose(found, [8.0], rtol=1e-6)


def test_rollout_of_identity_is_identity():
    np.testing.assert_array_equal(attribution.rollout([np.eye(4)[None].repeat(3, axis=0)] * 5), np.eye(4))


def test_rollout_is_half_attention_and_half_residual_through_all_blocks():
    lower, upper = np.array([[[0.0, 1.0], [0.0, 1.0]]]), np.array([[[0.5, 0.5], [1.0, 0.0]]])
    below, above = (lower[0] + np.eye(2)) / 2, (upper[0] + np.eye(2)) / 2
    np.testing.assert_allclose(attribution.rollout([lower, upper]), above @ below)
    np.testing.assert_allclose(attribution.rollout([lower, upper]), [[0.375, 0.625], [0.25, 0.75]])


def test_words_are_what_their_pieces_make_and_special_pieces_are_none():
    continues = np.array([False, False, False, False, True])  # [CLS] [SEP] a b ##c
    found = attribution.words(np.array([0, 2, 4, 4, 3, 1, 3, 4, 1]), continues, (0, 1))
    assert found.tolist() == [-1, 0, 0, 0, 1, -1, 2, 2, -1]
    text = Text(np.arange(9), np.zeros(9, int), found)
    assert text.words == 3
    assert text.without([0, 2], 77).tolist() == [0, 77, 77, 77, 4, 5, 77, 77, 8]
    assert text.by_word(np.arange(9.0)).tolist() == [6.0, 4.0, 13.0]


def subject(seed=3, larger=4):
    """A tiny BERT whose answers differ from text to text."""
    tokenizer = Tokenizer([*SPECIAL, *"abcdefgh", "##x"], TextRules("uncased_nfc"))
    keras.utils.set_random_seed(seed)
    encoder = BertEncoder(
        vocabulary_size=tokenizer.size, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=16
    )
    the_task = classification.Task({"labels": ["no", "yes", "perhaps"], "max_length": 12})
    model = the_task.build(encoder)
    for variable in model.trainable_variables:
        if "norm" not in variable.path:
            variable.assign(variable * larger)
    return Subject(model, encoder, the_task, tokenizer)


def read(looked, *texts):
    features = looked.the_task.featurize({"text": tf.constant(texts)}, looked.vocabulary)
    records = tf.data.Dataset.from_tensor_slices(
        {"token_ids": features["token_ids"], "segment_ids": features["segment_ids"]}
    )
    return records, list(attribution._texts(looked, records))


TEXTS = ("a b c d e f", "h g f e d c b a", "ax bx cx d e", "a b", "c c c c d")


def test_on_a_bert_they_add_up_to_the_change_of_the_logit():
    looked = subject()
    asked = Asked(looked)
    missed = [attribution.values(asked, text)[1] for text in read(looked, *TEXTS)[1]]
    assert max(missed) < 0.01


def test_their_slopes_are_those_of_the_model_by_finite_differences():
    looked = subject()
    asked = Asked(looked)
    (text,) = read(looked, TEXTS[0])[1]
    ids, segments = text.ids[None], text.segments[None]
    vectors = asked.attended(ids, segments)["vectors"].numpy()
    _, logits = asked.scores(ids, segments)
    with looked.encoder.embedded(vectors[0]):
        again = looked.model(attribution._batch(ids, segments))["logits"]
    np.testing.assert_allclose(again, logits, atol=1e-6)
    direction = np.random.default_rng(2).normal(size=vectors.shape).astype(np.float32)
    ends = []
    for step in (1e-2, -1e-2):
        with looked.encoder.embedded((vectors + step * direction)[0]):
            ends.append(float(looked.model(attribution._batch(ids, segments))["logits"][0, 1]))
    slope = float((asked.slopes(ids, segments, vectors, 1).numpy() * direction).sum())
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


def test_occlusion_is_what_a_loop_over_words_says():
    looked = subject()
    asked = Asked(looked)
    (text,) = read(looked, TEXTS[2])[1]
    found = attribution.values(asked, text)[0]["occlusion"]

    def score(ids):
        outputs = looked.model(attribution._batch(ids[None], text.segments[None]))
        return tf.nn.softmax(outputs["logits"])[0].numpy()

    whole = score(text.ids)
    for word, value in enumerate(found):
        ids = np.where(text.word == word, looked.vocabulary.mask_id, text.ids)
        assert value == pytest.approx(whole.max() - score(ids)[whole.argmax()], abs=1e-6)
    assert text.words == 5


def test_falls_are_those_of_the_highest_words_less_those_of_random_ones():
    looked = subject()
    asked = Asked(looked)
    (text,) = read(looked, "a b c d e f g h a b")[1]
    ranked = {"occlusion": attribution.values(asked, text)[0]["occlusion"], "last": np.arange(10.0)}
    found = attribution.falls(asked, text, ranked, np.random.default_rng(4))

    def fall(words):
        rows = np.stack([text.ids, text.without(words, looked.vocabulary.mask_id)])
        scores = asked.scores(rows, np.zeros_like(rows))[0].numpy()
        return scores[0].max() - scores[1, scores[0].argmax()]

    generator = np.random.default_rng(4)
    chance = np.mean([fall(generator.permutation(10)[:2].tolist()) for _ in range(5)])
    assert found["last"] == pytest.approx(fall([9, 8]) - chance, abs=1e-6)
    top = np.argsort(-ranked["occlusion"], kind="stable")[:2].tolist()
    assert found["occlusion"] == pytest.approx(fall(top) - chance, abs=1e-6)


@pytest.fixture(scope="module")
def of_one_word():
    task, model = keyword.trained()
    looked = Subject(model, model.encoder, task, keyword.TOKENIZER)
    texts, has_key = keyword.texts(120, seed=7)
    return looked, [text for text, key in zip(texts, has_key, strict=True) if key]


def test_the_one_word_that_a_classifier_knows_comes_first(of_one_word):
    looked, texts = of_one_word
    asked = Asked(looked)
    firsts = {"integrated gradients": [], "occlusion": []}
    for text, said in zip(read(looked, *texts)[1], texts, strict=True):
        found = attribution.values(asked, text)[0]
        for method, first in firsts.items():
            first.append(said.split()[found[method].argmax()] == "key")
    assert {method: np.mean(first) >= 0.95 for method, first in firsts.items()} == dict.fromkeys(firsts, True)


def test_figures_over_records_and_what_the_page_says_of_them(of_one_word):
    looked, texts = of_one_word
    records, read_ = read(looked, *texts)
    found = attribution.of(looked, records, 20)
    assert found.texts == 20
    long = sum(text.words >= 5 for text in read_)
    assert attribution.of(looked, records, 1000).texts == long < len(texts)
    metrics = dict(found.metrics())
    assert metrics["completeness"] < 0.01  # the answer turns at once, where 50 points are too few
    assert metrics["faithfulness"] > 0.5  # without the one word the answer is another
    assert found.explains("integrated gradients")
    assert metrics["faithfulness_occlusion"] >= metrics["faithfulness"] - 1e-6
    assert attribution.of(looked, records.take(0), 20) is None
    section = _attribution(found)
    assert [row[0] for row in section.rows] == list(attribution.METHODS)
    assert section.rows[0][1] == metrics["faithfulness"]
    said = "explains" if found.explains("attention") else "does not explain"
    assert section.note.startswith(f"Attention of the last block {said} these answers: ")


def made(**faithfulness):
    """Of four texts."""
    values = {method: np.array(faithfulness.get(method, [0.0] * 4)) for method in attribution.METHODS}
    return Attribution(np.zeros(4), {method: np.full(4, np.nan) for method in values}, values)


def test_a_method_explains_if_it_is_above_chance_and_half_as_good_as_the_best():
    best = [0.4, 0.5, 0.4, 0.5]
    assert made(occlusion=best, attention=[0.2, 0.3, 0.3, 0.2]).explains("attention")
    assert not made(occlusion=best, attention=[0.2, 0.2, 0.2, 0.2]).explains("attention")  # less than half
    assert not made(occlusion=[0.1] * 4, attention=[0.9, -0.5, 0.4, -0.3]).explains("attention")  # by chance
    assert not made().explains("attention")
    assert "agreement_rollout" not in dict(made().metrics())


def test_ranks_that_agree():
    assert attribution.spearman(np.array([1, 2, 9]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert np.isnan(attribution.spearman(np.ones(3), np.arange(3)))
