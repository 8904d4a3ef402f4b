"""The task translation: pairs in, pieces out, answers as clients read them, and an export that a server takes."""

import json
import shutil

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
from models.translation import checkpoint, figures
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


EMOJI = "🙂👩\u200d👧👍🏽🇰🇷❤\ufe0f"


def test_emoji_pass(learned):
    (text,) = answers_of(*learned, [f"Delete {EMOJI} rows?"])["translation"]
    assert text.decode() == f"{EMOJI}개의 행을 삭제할까요?"


def test_what_looks_like_a_piece_of_ours_is_none(learned):
    """A reserved piece and private-use characters vanish; the name of a special piece is text."""
    the_task, _ = learned
    plain = the_task.featurize({"text": tf.constant(["Save"])}, TOKENIZER)
    odd = the_task.featurize({"text": tf.constant(["\ue000Sa⟨1⟩ve\ue001 \uf8ff"])}, TOKENIZER)
    assert odd["token_ids"].to_list() == plain["token_ids"].to_list()
    assert not (odd["protected"].numpy() != b"").any()
    ids = the_task.featurize({"text": tf.constant(["Save [SEP] [PAD][CLS]"])}, TOKENIZER)["token_ids"].to_list()[0]
    assert ids.count(TOKENIZER.sep_id) == 1
    assert not {TOKENIZER.pad_id, TOKENIZER.cls_id} & set(ids)
    answers = answers_of(*learned, ["Sa⟨1⟩ve", "Save"])
    assert answers["translation"].tolist() == ["저장".encode()] * 2


def test_all_that_an_answer_lacks_is_missing(learned):
    """Of up to eleven spans; what only the ninth and later ones are is looked for in the answer's text."""
    the_task, model = task_of(max_length=40), learned[1]
    texts = [" ".join(f"{{{number}}}" for number in range(count)) for count in (1, 2, 8, 9, 11)]
    texts += ["Delete {1} rows?", "Delete rows?", "{7} " * 9]
    answers = answers_of(the_task, model, texts)
    lost = [
        (figures.placeholders(text, the_task.config.protect) - figures.placeholders(answer, the_task.config.protect))
        for text, answer in zip(texts, (each.decode() for each in answers["translation"]), strict=True)
    ]
    assert answers["missing"].tolist() == [each.total() for each in lost]
    assert answers["missing"][3] > 0
    assert answers["missing"][5:7].tolist() == [0, 0]


def test_a_network_that_never_ends_is_cut_at_its_longest_answer():
    """⌈1.5 · S⌉ + 10 pieces, and the answer says that it is cut."""
    the_task = task_of(protect=[])
    model = model_of(the_task)
    table = model.network.token_embedding
    # Its logit is 0 wherever it is asked, and among 300 random ones there are many above.
    table.assign(tf.where(tf.range(TOKENIZER.size)[:, None] == TOKENIZER.sep_id, 0.0, table))
    texts = ["Save", "Save the file as rows", ""]
    features = the_task.featurize({"text": tf.constant(texts)}, TOKENIZER)
    outputs = model(the_task.inputs(features))
    longest = [-(-3 * length // 2) + 10 for length in features["token_ids"].row_lengths().numpy().tolist()]
    assert outputs["unfinished"].numpy().all()
    assert outputs["lengths"].numpy().tolist() == longest
    answers = answers_of(the_task, model, texts)
    assert answers["truncated"].tolist() == [True, True, False]


def test_one_beam_answers_too_and_no_answer_holds_a_special_piece(learned):
    one = task_of(beam=1)
    answers = answers_of(one, one.build(learned[1].network), [*PAIRS, "rows", "漢", "Close the file %1"])
    found = [text.decode() for text in answers["translation"]]
    assert found[: len(PAIRS)] == list(PAIRS.values())
    assert not any(piece in text for text in found for piece in ("[SEP]", "[UNK]", "[CLS]", "[PAD]", "⟨"))


def test_padding_is_not_in_the_loss():
    the_task = task_of()
    model = model_of(the_task)
    batch = next(iter(the_task.batches(rows_of(the_task), seed=0, epoch=0, **SIZES)))
    wider = {
        name: tf.pad(value, [[0, 0], [0, 5]], constant_values=False if value.dtype == tf.bool else 9)
        for name, value in batch.items()
    }
    assert float(the_task.loss(model(wider), wider)) == pytest.approx(
        float(the_task.loss(model(batch), batch)), abs=1e-6
    )
    assert float(the_task.weight(wider)) == float(the_task.weight(batch))


def test_sentences_are_joined():
    the_task = task_of()
    answers = [
        {"translation": np.array("닫기.".encode(), object), "score": np.float32(-0.25), "missing": np.int64(1)},
        {"translation": np.array(b"", object), "score": np.float32(0), "missing": np.int64(0)},
        {"translation": np.array("저장".encode(), object), "score": np.float32(-0.5), "missing": np.int64(2)},
    ]
    rest = {"truncated": np.array(False), "unknown": np.int64(1)}
    joined = the_task.joined([answer | rest for answer in answers])
    assert joined == {
        "translation": "닫기. 저장".encode(), "score": -0.5, "truncated": False, "missing": 3, "unknown": 3,
    }  # fmt: skip
    one = {name: np.asarray(value) for name, value in joined.items()}
    assert the_task.told(one | {"sentences": np.int64(3)}) == [
        "in 3 sentences",
        "3 placeholders lost",
        "3 words unknown",
    ]
    assert the_task.told(one | {"missing": 0, "unknown": 0, "truncated": True}) == ["cut"]
    assert the_task.to_row(one | {"sentences": np.int64(3)}) == {
        "translation": "닫기. 저장", "score": -0.5, "truncated": 0, "missing": 3, "sentences": 3,
    }  # fmt: skip


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
    values = the_task.figures(np.array(rows)).values
    assert (values["chrf"], values["exact"], values["placeholders_kept"]) == (pytest.approx(100), 1.0, 1.0)
    assert {metric.name for metric in the_task.metrics} <= values.keys()
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


def test_a_text_that_differs_is_refused(exported, tmp_path):
    """Of the reloaded model: one letter of one golden text, while every number is as it was."""
    folder = tmp_path / "1"
    shutil.copytree(exported, folder)
    kept = json.loads((folder / "assets.extra" / "golden.json").read_text("utf-8"))
    place = next(place for place, text in enumerate(kept["outputs"]["translation"]) if text)
    kept["outputs"]["translation"][place] += "."
    (folder / "assets.extra" / "golden.json").write_text(json.dumps(kept), "utf-8")
    assert [fault for fault in serving_check.check(folder)["faults"] if "serving_default" in fault] == [
        f"serving_default, the reloaded model against the trained one: translation differs on golden value {place}"
    ]


def test_a_text_that_depends_on_the_batch_is_refused(exported, tmp_path):
    """A module whose text ends with the number of rows beside it: its numbers are the same alone and in a batch."""
    texts = ["Save", "Close"]

    def answer(text):
        rows = tf.shape(text)[0]
        beside = tf.where(text == "Close", tf.strings.as_string(rows), "")
        return {"translation": text + beside, "score": tf.zeros([rows])}

    module = tf.Module()
    module.answer = tf.function(answer, [tf.TensorSpec([None], tf.string, name="text")])
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.answer})
    (tmp_path / "1" / "assets.extra").mkdir()
    kept = json.loads((exported / "assets.extra" / "golden.json").read_text("utf-8"))
    kept |= {"inputs": {"text": texts}, "outputs": {"translation": ["Save", "Close2"], "score": [0.0, 0.0]}}
    (tmp_path / "1" / "assets.extra" / "golden.json").write_text(json.dumps(kept), "utf-8")
    faults = serving_check.check(tmp_path / "1")["faults"]
    assert [fault for fault in faults if "is missing" not in fault] == [
        "serving_default, single rows against the batch: translation differs on golden value 1"
    ]


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
