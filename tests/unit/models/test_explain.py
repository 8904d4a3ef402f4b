"""The signature ``explain`` against a loop that hides one word after the other and asks ``serving_default``."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import explain, families, task
from models.bert.encoder import BertEncoder
from models.export import saved_model, serving_check
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from tests.unit.models import keyword

LENGTH = 24
# "qqq" is made the same vector as [MASK]: so a text can hold what stands in the place of a hidden piece.
PIECES = ["qqq", "a", "good", "film", "witty", "gorgeous", "삼성전자", "##는", "un", "##able", ".", ",", "-", "[URL]"]
SETTINGS = {
    "classification": {"labels": ["no", "yes", "perhaps"]},
    "multi_label": {"labels": ["dull", "witty"]},
    "regression": {},
    "similarity": {},
}


def made(name, columns, rules=None):
    """What an export of a task is made of."""
    tokenizer = Tokenizer([*SPECIAL, *PIECES], rules or TextRules("uncased_nfc"))
    keras.utils.set_random_seed(11)
    encoder = BertEncoder(
        vocabulary_size=tokenizer.size, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    the_task = task.load(name)({**SETTINGS[name], "max_length": LENGTH})
    model = the_task.build(encoder)
    for variable in model.trainable_variables:  # larger weights: answers that differ from text to text
        variable.assign(variable * 5 if "norm" not in variable.path else variable)
    if name != "similarity":
        model.logits.kernel.assign(model.logits.kernel * 20)
    table = encoder.token_embedding.numpy()
    table[tokenizer.vocabulary.index("qqq")] = table[tokenizer.mask_id]
    encoder.token_embedding.assign(table)
    return {
        "model": model,
        "the_task": the_task,
        "featurize": lambda record: the_task.featurize(record, tokenizer),
        "raw_spec": {column: tf.io.FixedLenFeature([], tf.string) for column in columns},
        "explained_by": tokenizer,
    }


def signatures(name, columns, rules=None):
    """``explain`` and ``serving_default`` as functions of texts."""
    found = saved_model.signatures(families.load("text"), **made(name, columns, rules))
    return {each: tf.function(*found[each]) for each in ("explain", "serving_default")}


def ask(model, signature="explain", **columns):
    outputs = model[signature](*(tf.constant(texts, tf.string) for texts in columns.values()))
    return {name: value.numpy() for name, value in outputs.items()}


def units(answer, row=0):
    """Word, start, end, effect of each unit of a record."""
    count = (answer["word"][row] != b"").sum()
    names = ("word", "start", "end", "effect")
    assert not any(answer[name][row, count:].any() for name in names if name != "word")
    return list(zip(*(answer[name][row, :count].tolist() for name in names), strict=True))


def number_of(name, answer):
    if name == "classification":
        return answer["scores"][0]
    return answer[{"multi_label": "scores", "regression": "value", "similarity": "similarity"}[name]].reshape(-1)


# A word, how many pieces it has, and its place in the text, written by hand.
TEXT = "Good 삼성전자는 film,  unable-film zzz."
WORDS = [("Good", 1, 0, 4), ("삼성전자는", 2, 5, 10), ("film", 1, 11, 15), (",", 1, 15, 16), ("unable", 2, 18, 24),
         ("-", 1, 24, 25), ("film", 1, 25, 29), ("zzz", 1, 30, 33), (".", 1, 33, 34)]  # fmt: skip
OTHER = "a witty good film"


def hidden(text, place):
    _, pieces, start, end = place
    return f"{text[:start]} {'qqq ' * pieces}{text[end:]}"


@pytest.mark.parametrize("name", ["classification", "multi_label", "regression"])
def test_of_a_text_as_a_loop_over_its_words(name):
    model = signatures(name, ["text"])
    found = ask(model, text=[TEXT])
    assert [(word.decode(), start, end) for word, start, end, _ in units(found)] == [
        (word, start, end) for word, _, start, end in WORDS
    ]
    whole = number_of(name, ask(model, "serving_default", text=[TEXT]))
    chosen = whole.argmax()
    effects = [
        whole[chosen] - number_of(name, ask(model, "serving_default", text=[hidden(TEXT, place)]))[chosen]
        for place in WORDS
    ]
    assert max(map(abs, effects)) > 0.002
    np.testing.assert_allclose([effect for *_, effect in units(found)], effects, atol=1e-5)
    answer = ask(model, "serving_default", text=[TEXT])
    for each, value in answer.items():
        np.testing.assert_array_equal(found[each], value)
    if name == "multi_label":
        assert found["label"].tolist() == [[b"dull", b"witty"][chosen]]


@pytest.mark.parametrize("name", ["classification", "similarity"])
def test_of_a_pair(name):
    model = signatures(name, ["text", "text_pair"])
    other = [("a", 1, 0, 1), ("witty", 1, 2, 7), ("good", 1, 8, 12), ("film", 1, 13, 17)]
    found = ask(model, text=[TEXT], text_pair=[OTHER])
    count = len(WORDS) + len(other)
    assert [word.decode() for word in found["word"][0, :count]] == [word for word, *_ in [*WORDS, *other]]
    assert found["column"][0].tolist() == [0] * len(WORDS) + [1] * len(other) + [0] * (64 - count)
    whole = number_of(name, ask(model, "serving_default", text=[TEXT], text_pair=[OTHER]))
    chosen = whole.argmax()
    without = [(hidden(TEXT, place), OTHER) for place in WORDS] + [(TEXT, hidden(OTHER, place)) for place in other]
    effects = [
        whole[chosen] - number_of(name, ask(model, "serving_default", text=[one], text_pair=[two]))[chosen]
        for one, two in without
    ]
    np.testing.assert_allclose(found["effect"][0, :count], effects, atol=1e-5)


@pytest.fixture(scope="module")
def classifier():
    return signatures("classification", ["text"])


def test_a_server_could_load_it(tmp_path):
    saved_model.write(str(tmp_path / "1"), family="text", **made("classification", ["text"]))
    report = serving_check.check(tmp_path / "1")
    assert report["faults"] == []
    assert "explain" in report["signatures"]


def test_nothing_to_hide(classifier):
    found, plain = (ask(classifier, name, text=["", "  \t", "\u200b"]) for name in ("explain", "serving_default"))
    assert not found["effect"].any() and (found["word"] == b"").all()
    assert found["label"].tolist() == plain["label"].tolist()
    np.testing.assert_allclose(found["score"], plain["score"], atol=1e-6)
    assert ask(classifier, text=[])["effect"].shape == (0, 64)


def test_a_long_text_is_explained_in_runs_of_what_is_read(classifier):
    text = " ".join(["good film witty a ."] * 200)
    found = units(ask(classifier, text=[text]))
    assert len(found) == LENGTH - 2 + 1  # every word that is read, and all others together
    word, start, end, effect = found[-1]
    assert (text[start:end], end, effect) == (word.decode(), len(text), 0)
    assert all(effect for *_, effect in found[:-1])


def test_many_words_that_are_all_read():
    assert explain.run_length(tf.constant([0, 1, 64, 65, 128, 129, 1000]), 64).numpy().tolist() == [
        1,
        1,
        1,
        2,
        2,
        3,
        16,
    ]


def test_unknown_words_are_hidden_as_others(classifier):
    found = units(ask(classifier, text=["zzz film"]))
    whole = ask(classifier, "serving_default", text=["zzz film"])
    without = ask(classifier, "serving_default", text=["qqq film"])
    place = whole["scores"][0].argmax()
    np.testing.assert_allclose(found[0][3], whole["scores"][0, place] - without["scores"][0, place], atol=1e-5)


def test_alone_as_in_the_batch(classifier):
    texts = [TEXT, "", "film", " ".join(["good film witty a ."] * 200), OTHER, "😀 ﬁne İstanbul"] * 12
    together = ask(classifier, text=texts)  # several hundred rows: more than go through the model at a time
    for row in range(6):
        alone = ask(classifier, text=[texts[row]])
        for name, value in alone.items():
            if value.dtype == object:
                np.testing.assert_array_equal(together[name][row], value[0])
            else:
                np.testing.assert_allclose(together[name][row], value[0], atol=1e-5)


def test_a_text_that_is_rewritten_first_has_its_words_as_they_are_read():
    rules = TextRules("uncased_nfc", (("https?://\\S+", "[URL]"),), ("[URL]",))
    model = signatures("classification", ["text"], rules)
    found = ask(model, text=["good https://x.org/a unable", "good film"])
    assert [(word, start, end) for word, start, end, _ in units(found)] == [
        (b"good", -1, -1), (b"[URL]", -1, -1), (b"unable", -1, -1)
    ]  # fmt: skip
    assert [(word, start, end) for word, start, end, _ in units(found, 1)] == [(b"good", 0, 4), (b"film", 5, 9)]
    assert all(effect for *_, effect in units(found))


def test_the_word_that_a_classifier_has_learned_is_named_first():
    the_task, model = keyword.trained()
    spec = {"text": tf.io.FixedLenFeature([], tf.string)}
    featurize = lambda record: the_task.featurize(record, keyword.TOKENIZER)  # noqa: E731
    made = saved_model.signatures(families.load("text"), model, the_task, featurize, spec, None, keyword.TOKENIZER)
    texts = [text for text in keyword.texts(200, seed=3)[0] if "key" in text]
    found = ask({"explain": tf.function(*made["explain"])}, text=texts)
    first = found["word"][np.arange(len(texts)), found["effect"].argmax(axis=1)]
    assert (found["label"] == b"yes").mean() >= 0.95
    assert (first == b"key").mean() >= 0.95
