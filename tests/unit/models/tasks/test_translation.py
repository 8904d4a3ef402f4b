"""The task translation: pairs in, pieces out, answers as clients read them, and an export that a server takes."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import families, task
from models.export import saved_model, serving_check
from models.text import wordpiece
from models.text.reserved import RESERVED
from models.text.tokenization import TextRules, Tokenizer
from models.training import replicas, training_loop
from models.training.optimizer import AdamW, LinearSchedule
from models.translation import checkpoint
from models.translation.translator import with_target

PAIRS = {
    "Delete %1 rows?": "%1개의 행을 삭제할까요?",
    "Insert a <b>chart</b>": "<b>차트</b> 삽입",
    "Save": "저장",
    "Save the file %1 as %2": "%1 파일을 %2(으)로 저장",
    "Close": "닫기",
    "the cell": "셀",
    "Rows": "행",
}
RULES = TextRules("spaced", reserve=RESERVED)
TEXTS = [[*PAIRS, *PAIRS.values()] * 3]
TOKENIZER = Tokenizer(wordpiece.learn(wordpiece.count(map(tf.constant, TEXTS), RULES), 300, RESERVED), RULES)
SHAPE = {"num_layers": 1, "num_decoder_layers": 2, "hidden_dim": 32, "num_heads": 2, "max_positions": 40}
RECORD = {"text": tf.constant(list(PAIRS)), "target": tf.constant(list(PAIRS.values()))}
SIZES = {"batch_size": 4, "batch_tokens": 96}


def task_of(**config):
    return task.load("translation")({"max_length": 24, **config}).fitted(None, None, TOKENIZER)


def model_of(the_task, **shape):
    keras.utils.set_random_seed(3)
    dropped = {"dropout": 0.0, "attention_dropout": 0.0}
    return the_task.build(families.load("translation").network({**SHAPE, **dropped, **shape}, TOKENIZER, None))


def rows_of(the_task, times=1):
    rows = tf.data.Dataset.from_tensor_slices({**RECORD, **the_task.featurize(RECORD, TOKENIZER)})
    return the_task.training_rows(rows.repeat(times))


def pieces(ids) -> list[str]:
    return [TOKENIZER.vocabulary[piece] for piece in ids]


# --- what is trained on ---------------------------------------------------------------------------------------------


def test_a_pair_is_a_source_with_its_end_and_a_target_with_both():
    features = task_of(glossary={"cell": "셀"}).featurize(RECORD, TOKENIZER)
    rows = {
        name: [pieces(ids) for ids in features[name].to_list()] for name in ("token_ids", "source_ids", "target_ids")
    }
    assert rows["token_ids"] == rows["source_ids"]  # here each has all spans of the other
    for ids in rows["source_ids"]:
        assert (ids[0] != "[CLS]", ids[-1]) == (True, "[SEP]")
    for ids in rows["target_ids"]:
        assert (ids[0], ids[-1]) == ("[CLS]", "[SEP]")
    assert [piece for piece in rows["target_ids"][3] if piece in RESERVED] == ["⟨1⟩", "⟨2⟩"]
    assert rows["target_ids"][5] == ["[CLS]", "▁", "⟨1⟩", "[SEP]"]
    assert features["protected"][5].numpy()[0].decode() == "셀"


def test_what_only_one_side_has_is_text_in_training_and_kept_when_asked():
    features = task_of().featurize({"text": tf.constant(["a %1"]), "target": tf.constant(["b"])}, TOKENIZER)
    assert "⟨1⟩" in pieces(features["token_ids"].to_list()[0])
    assert "⟨1⟩" not in pieces(features["source_ids"].to_list()[0])


def test_inputs_do_not_depend_on_the_gold_nor_on_the_batch():
    the_task = task_of()
    trained = the_task.featurize(RECORD, TOKENIZER)
    served = the_task.featurize({"text": RECORD["text"]}, TOKENIZER)
    assert trained.keys() - served.keys() == set(the_task.targets)
    last = the_task.featurize({"text": RECORD["text"][-1:]}, TOKENIZER)
    for name, value in served.items():
        assert listed(value) == listed(trained[name])
        assert listed(last[name]) == listed(value)[-1:]


def listed(value):
    return value.to_list() if isinstance(value, tf.RaggedTensor) else value.numpy().tolist()


def test_a_source_is_cut_and_the_answer_says_so():
    features = task_of(max_length=8).featurize({"text": tf.constant(["Save " * 30, "Save", ""])}, TOKENIZER)
    assert features["token_ids"].row_lengths().numpy().tolist() == [8, 2, 1]
    assert features["cut"].numpy().tolist() == [1, 0, 0]


def test_batches_repeat_themselves_start_anywhere_and_are_as_many_as_steps_says():
    the_task = task_of()
    rows = rows_of(the_task, times=9)

    def ids(**kwargs):
        stream = the_task.batches(rows, seed=5, **SIZES, **kwargs)
        return [(batch["token_ids"].numpy().tolist(), batch["target_out"].numpy().tolist()) for batch in stream]

    assert ids(epoch=0) == ids(epoch=0)
    assert ids(epoch=0)[3:] == ids(epoch=0, start_step=3)
    assert ids(epoch=0) != ids(epoch=1)
    counts = {len(ids(epoch=epoch)) for epoch in range(4)}
    assert counts == {the_task.steps(rows, **SIZES)}
    for source, target in ids(epoch=0):
        assert len(source) <= 4
        assert len(source) * (len(source[0]) + len(target[0])) <= 96
    assert sum(len(source) for source, _ in ids(epoch=0)) == 9 * len(PAIRS)
    assert the_task.steps(rows, batch_size=1) == 9 * len(PAIRS)


def test_pairs_that_are_too_long_are_not_trained_on():
    the_task = task_of(max_length=8)
    kept = [row["target_ids"] for row in rows_of(the_task).as_numpy_iterator()]
    assert 0 < len(kept) < len(PAIRS)
    assert max(map(len, kept)) <= 9


def test_a_batch_holds_the_target_shifted_by_one():
    the_task = task_of()
    for batch in the_task.batches(rows_of(the_task), seed=0, epoch=0, **SIZES):
        mask = batch["target_mask"].numpy()
        assert (batch["target_in"].numpy()[:, 0] == TOKENIZER.cls_id).all()
        assert (batch["target_in"].numpy()[:, 1:] == batch["target_out"].numpy()[:, :-1])[mask[:, 1:]].all()
        assert [row[keep][-1] for row, keep in zip(batch["target_out"].numpy(), mask, strict=True)] == [
            TOKENIZER.sep_id
        ] * len(mask)
        assert float(the_task.weight(batch)) == mask.sum()


# --- training -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    """A model that knows the pairs by heart, and its task."""
    the_task = task_of()
    model = model_of(the_task)
    (batch,) = rows_of(the_task).ragged_batch(100).map(with_target)
    optimizer = AdamW(LinearSchedule(1e-2, 20, 250), weight_decay=0.0)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = the_task.loss(model(batch, training=True), batch)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for _ in range(250):
        step()
    return the_task, model


def answers_of(the_task, model, texts):
    features = the_task.featurize({"text": tf.constant(texts)}, TOKENIZER)
    answers = the_task.answer(model(the_task.inputs(features)), features, {"text": tf.constant(texts)})
    return {name: value.numpy() for name, value in answers.items()}


def test_pairs_can_be_learned_by_heart(learned):
    answers = answers_of(*learned, list(PAIRS))
    assert [text.decode() for text in answers["translation"]] == list(PAIRS.values())
    assert not answers["truncated"].any()
    assert not answers["missing"].any()
    # What is asked with other spans is answered with these.
    (text,) = answers_of(*learned, ["Delete %ROWS% rows?"])["translation"]
    assert text.decode() == "%ROWS%개의 행을 삭제할까요?"


def test_answers_have_the_types_and_shapes_that_clients_read(learned):
    answers = answers_of(*learned, ["Save", "", " \n", "漢 漢", "Save " * 50, "%1 %2 " * 9])
    assert {name: (value.dtype, value.shape) for name, value in answers.items()} == {
        "translation": (np.dtype(object), (6,)),
        "score": (np.dtype(np.float32), (6,)),
        "truncated": (np.dtype(bool), (6,)),
        "missing": (np.dtype(np.int64), (6,)),
        "unknown": (np.dtype(np.int64), (6,)),
    }
    for row in (1, 2):
        assert [answers[name][row] for name in ("translation", "score", "truncated")] == [b"", 0.0, False]
    assert answers["truncated"][4]
    assert answers["unknown"].tolist()[:4] == [0, 0, 0, 2]
    assert set(learned[0].answers) <= answers.keys()


def test_what_the_evaluator_reads_of_an_answer_is_there(learned):
    the_task, model = learned
    answers = answers_of(the_task, model, list(PAIRS)) | {"source": RECORD["text"].numpy()}
    rows = [
        the_task.row_metrics(
            {name: np.asarray(value[row]) for name, value in answers.items()},
            {"target": np.asarray([RECORD["target"].numpy()[row]])},
        )
        for row in range(len(PAIRS))
    ]
    figures = the_task.figures(np.array(rows)).values
    assert (figures["chrf"], figures["exact"], figures["placeholders_kept"]) == (pytest.approx(100), 1.0, 1.0)
    assert {metric.name for metric in the_task.metrics} <= figures.keys()
    assert the_task.wrong(np.array(rows[0])) == pytest.approx(0)


def test_a_step_computes_in_bfloat16_too():
    the_task = task_of()
    model = model_of(the_task)
    batch = next(iter(the_task.batches(rows_of(the_task), seed=0, epoch=0, **SIZES)))

    def step(precision):
        with training_loop.computing_in(precision, model), tf.GradientTape() as tape:
            outputs = model(batch, training=True)
            loss = the_task.loss({name: tf.cast(value, tf.float32) for name, value in outputs.items()}, batch)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return {value.dtype for value in outputs.values()}, float(loss), float(tf.linalg.global_norm(gradients))

    (plain, loss, norm), (narrow, near, close) = step("float32"), step("bfloat16")
    assert (plain, narrow) == ({tf.float32}, {tf.bfloat16})
    assert (near, close) == pytest.approx((loss, norm), rel=0.05)


def test_the_losses_of_shares_add_up_to_that_of_the_batch(monkeypatch):
    the_task = task_of()
    model = model_of(the_task)
    batch = next(iter(the_task.batches(rows_of(the_task), seed=0, epoch=0, **SIZES)))
    count = float(the_task.weight(batch))
    monkeypatch.setattr(replicas, "mean", lambda losses, weights=None: tf.reduce_sum(losses) / count)
    whole = float(the_task.loss(model(batch), batch))
    shares = [{name: value[rows] for name, value in batch.items()} for rows in (slice(1), slice(1, None))]
    assert sum(float(the_task.loss(model(share), share)) for share in shares) == pytest.approx(whole, rel=1e-5)


# --- serving --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(learned, tmp_path_factory):
    the_task, model = learned
    folder = tmp_path_factory.mktemp("export") / "1"
    spec = {"text": tf.io.FixedLenFeature([], tf.string)}
    saved_model.write(
        str(folder),
        family="translation",
        model=model,
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, TOKENIZER),
        raw_spec=spec,
        gold_spec={"target": tf.io.RaggedFeature(tf.string)},
    )
    families.load("translation").save(folder / "assets.extra" / "checkpoint", model, the_task, TOKENIZER)
    return folder


def test_a_server_takes_the_export(exported):
    """Every signature alone, in a batch and in a TensorFlow 1 session; only operations that a stock server links."""
    found = serving_check.check(exported)
    assert found["faults"] == []
    assert set(families.load("translation").signatures) <= set(found["signatures"])
    kept = json.loads((exported / "assets.extra" / "golden.json").read_text("utf-8"))
    served = tf.saved_model.load(str(exported)).signatures["serving_default"]
    texts = [value.decode() for value in served(text=tf.constant(kept["inputs"]["text"]))["translation"].numpy()]
    assert texts == kept["outputs"]["translation"]
    one_by_one = [
        served(text=tf.constant([text]))["translation"].numpy()[0].decode() for text in kept["inputs"]["text"]
    ]
    assert one_by_one == texts


def test_the_score_of_a_translation_is_that_of_the_search(exported):
    signatures = tf.saved_model.load(str(exported)).signatures
    answer = signatures["serving_default"](text=RECORD["text"])
    scored = signatures["score"](text=RECORD["text"], target=answer["translation"])
    penalty = ((5 + scored["pieces"].numpy()) / 6) ** 0.6
    np.testing.assert_allclose(scored["log_probability"] / penalty, answer["score"], atol=1e-4)
    others = signatures["score"](text=RECORD["text"], target=tf.roll(answer["translation"], 1, 0))
    assert (others["log_probability"].numpy() < scored["log_probability"].numpy()).all()


def test_the_checkpoint_brings_the_answers_back(exported, learned):
    the_task, model = learned
    folder = exported / "assets.extra" / "checkpoint"
    network = families.load("translation").network(None, TOKENIZER, folder)
    checkpoint.load(folder, network)
    texts = list(PAIRS)
    again = answers_of(the_task, the_task.build(network), texts)
    assert again["translation"].tolist() == answers_of(the_task, model, texts)["translation"].tolist()


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"protect": ["("]}, "no pattern of RE2: missing"),
        ({"protect": ["a*"]}, "must match a character at least"),
        ({"glossary": "none.csv"}, "none.csv does not exist"),
        ({"glossary": {"a ": "b"}}, "without blanks around it"),
        ({"beam": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_cannot_work(config, message):
    with pytest.raises(ValueError, match=message):
        task.load("translation")(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source,target\ncell,셀\nrow,\n", r"glossary.csv:3: source or target is empty"),
        ("source,target\ncell,셀\ncell,세포\n", r"glossary.csv:3: 'cell' has another target above"),
        ("en,target\ncell,셀\n", r"the column source is missing"),
    ],
)
def test_files_of_terms_that_cannot_work(tmp_path, content, message):
    (tmp_path / "glossary.csv").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        task.load("translation")({"glossary": str(tmp_path / "glossary.csv")})


def test_a_file_of_terms_is_read_once(tmp_path):
    (tmp_path / "glossary.csv").write_text("\ufeffsource,target\ncell, 셀 \n", "utf-8")
    the_task = task.load("translation")({"glossary": str(tmp_path / "glossary.csv")})
    assert the_task.dump()["config"]["glossary"] == {"cell": "셀"}
