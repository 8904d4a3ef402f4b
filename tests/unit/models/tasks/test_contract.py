"""What every task in ``models/tasks/`` must do; a new task adds its example here and passes the same tests."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import schemas
from models import families, task
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.judging import eval_rows
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from models.training import replicas, training_loop
from models.training.optimizer import AdamW, LinearSchedule

WORDS = ["good", "bad", "film", "a", "the", "##s", "very", "not", ".", "영화"]
TOKENIZER = Tokenizer([*SPECIAL, *WORDS], TextRules())
RECORDS = {
    "classification": (
        {"labels": ["negative", "positive"], "max_length": 16, "dropout": 0.0},
        {
            "text": ["good film", "a bad film", "", "the film is not very bad " * 9, "영화 good"],
            "label": ["positive", "negative", "negative", "positive", "positive"],
        },
    ),
    "classification (pair)": (
        {"labels": ["no", "yes", "perhaps"], "max_length": 16, "dropout": 0.0},
        {
            "text": ["good film", "bad", "", "very " * 40],
            "text_pair": ["a film", "", "not bad", "good " * 40],
            "label": ["yes", "no", "perhaps", "yes"],
        },
    ),
    "regression": (
        {"max_length": 16, "dropout": 0.0},
        {
            "text": ["good film", "a bad film", "", "the film is not very bad " * 9, "영화 good"],
            "text_pair": ["a film", "", "not bad", "good " * 40, "good 영화"],
            "label": [4.5, 0.0, 1.0, 2.5, 5.0],
        },
    ),
    "multi_label": (
        {"labels": ["no", "yes", "perhaps"], "max_length": 16, "dropout": 0.0},
        {
            "text": ["good film", "a bad film", "", "the film is not very bad " * 9],
            "labels": [["yes"], [], ["perhaps", "no"], ["no"]],
        },
    ),
    "similarity": (
        {"max_length": 16, "objective": "cosine", "range": [-5.0, 5.0]},
        {
            "text": ["good film", "a bad film", "not", "the film is not very bad " * 9],
            "text_pair": ["a film", "", "not bad", "good " * 40],
            "label": [4.5, 0.0, 1.0, 2.5],
        },
    ),
    "token_classification": (
        {"labels": ["WHAT", "HOW"], "max_length": 16, "dropout": 0.0},
        {
            "text": ["good films", "a  Bad film.", "", "the film is not very bad " * 9, "영화 good"],
            "span_start": [[0, 5], [3, 7], [], [4], [0]],
            "span_end": [[4, 10], [6, 11], [], [8], [2]],
            "span_label": [["HOW", "WHAT"], ["HOW", "WHAT"], [], ["WHAT"], ["WHAT"]],
        },
    ),
    "token_classification (words)": (
        {"labels": ["NOUN", "ADJ", "X"], "scheme": "word", "max_length": 16, "dropout": 0.0},
        {
            "text": ["good films", "a  Bad film.", "영화 good"],
            "span_start": [[0, 5], [0, 3, 7], [0, 3]],
            "span_end": [[4, 10], [1, 6, 12], [2, 7]],
            "span_label": [["ADJ", "NOUN"], ["X", "ADJ", "NOUN"], ["NOUN", "ADJ"]],
        },
    ),
    "question_answering": (
        {
            **{"max_length": 24, "stride": 8, "max_question": 5, "max_answer": 4, "no_answer": True},
            "dropout": 0.0,
        },
        {
            "text": ["good film", "a bad film", "", "the film is not very bad " * 9],
            "text_pair": ["a  good Film.", "the film is good", "영화 not very bad", "very " * 30 + "bad film."],
            "answers": [["good Film"], [], ["영화", "영화 not"], ["bad"]],
            "answer_start": [[3], [], [0, 0], [150]],
        },
    ),
}


@pytest.fixture(scope="module", params=RECORDS)
def example(request):
    config, record = RECORDS[request.param]
    the_task = task.load(request.param.split(" ")[0])(config)
    return the_task, {name: made(values) for name, values in record.items()}


def made(values):
    if not isinstance(values[0], list):
        return tf.constant(values)
    number = isinstance(next(each for row in values for each in row), int)
    return tf.ragged.constant(values, tf.int64 if number else tf.string, ragged_rank=1)


@functools.cache  # to trace it takes a second
def featurize(the_task):
    return tf.function(lambda values: the_task.featurize(values, TOKENIZER), reduce_retracing=True)


def featurized(the_task, record):
    return featurize(the_task)(record)


def listed(value):
    return value.to_list() if isinstance(value, tf.RaggedTensor) else value.numpy().tolist()


def model_of(the_task):
    keras.utils.set_random_seed(3)
    return the_task.build(
        BertEncoder(
            vocabulary_size=TOKENIZER.size,
            num_layers=2,
            hidden_dim=32,
            num_heads=2,
            intermediate_dim=64,
            max_positions=32,
            dropout=0.0,
            attention_dropout=0.0,
        )
    )


def figure(the_task, model, record):
    """What chooses the epoch."""
    rows = eval_rows.of_split(the_task, model, eval_rows.batches(the_task, rows_of(the_task, record), 3))()
    assert rows.shape == (record["text"].shape[0], len(the_task.row_metric_names))
    return the_task.choose(rows)


def rows_of(the_task, record, times=1):
    """Transformed records: what ``featurize`` gives, beside what Transform keeps of the raw record."""
    kept = {name: record[name] for name in the_task.kept_columns}
    return tf.data.Dataset.from_tensor_slices(kept | featurized(the_task, record)).repeat(times)


def test_its_record_kind_exists(example):
    assert schemas.load(example[0].schema).feature


def test_one_row_in_one_row_out_in_types_that_transform_takes(example):
    the_task, record = example
    for name, value in featurized(the_task, record).items():
        assert value.dtype in (tf.int64, tf.float32, tf.string), name
        rows = value.nrows() if isinstance(value, tf.RaggedTensor) else value.shape[0]
        assert rows == record["text"].shape[0], name


def test_rows_hold_what_the_encoder_takes(example):
    the_task, record = example
    rows = the_task.inputs(featurized(the_task, record))
    length = tf.reduce_sum(tf.cast(rows["padding_mask"], tf.int32), axis=1)
    assert rows["token_ids"].shape == rows["segment_ids"].shape == rows["padding_mask"].shape
    for ids, count in zip(rows["token_ids"].numpy(), length.numpy(), strict=True):
        assert (ids[0], ids[count - 1]) == (TOKENIZER.cls_id, TOKENIZER.sep_id)
        assert count <= the_task.config.max_length


def test_it_works_without_the_label_and_gives_the_same_inputs(example):
    the_task, record = example
    served = featurized(the_task, {name: value for name, value in record.items() if name not in the_task.gold})
    trained = featurized(the_task, record)
    assert trained.keys() - served.keys() == set(the_task.targets)
    for name, value in served.items():
        assert listed(value) == listed(trained[name]), name


def test_rows_do_not_depend_on_the_batch(example):
    the_task, record = example
    whole = featurized(the_task, record)
    for index in range(record["text"].shape[0]):
        alone = featurized(the_task, {name: values[index : index + 1] for name, values in record.items()})
        for name, value in alone.items():
            assert listed(value) == listed(whole[name][index : index + 1]), name


def test_batches_repeat_themselves_and_start_anywhere(example):
    the_task, record = example
    rows = rows_of(the_task, record, times=4)

    def ids(**kwargs):
        stream = the_task.batches(rows, batch_size=3, seed=5, **kwargs)
        return [batch["token_ids"].numpy().tolist() for batch in stream]

    assert ids(epoch=0) == ids(epoch=0)
    assert ids(epoch=0)[2:] == ids(epoch=0, start_step=2)
    assert ids(epoch=0) != ids(epoch=1)


def test_a_step_computes_in_bfloat16_too(example):
    the_task, record = example
    model = model_of(the_task)
    (batch,) = the_task.batches(rows_of(the_task, record), batch_size=8, seed=0, epoch=0)

    def step(precision):
        with training_loop.computing_in(precision, model), tf.GradientTape() as tape:
            outputs = model(batch, training=True)
            loss = the_task.loss({name: tf.cast(value, tf.float32) for name, value in outputs.items()}, batch)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return {value.dtype for value in outputs.values()}, float(loss), float(tf.linalg.global_norm(gradients))

    (plain, loss, norm), (narrow, near, close) = step("float32"), step("bfloat16")
    assert (plain, narrow) == ({tf.float32}, {tf.bfloat16})
    assert (near, close) == pytest.approx((loss, norm), rel=0.05)


def test_one_batch_can_be_learned_by_heart(example):
    the_task, record = example
    model = model_of(the_task)
    (batch,) = the_task.batches(rows_of(the_task, record), batch_size=8, seed=0, epoch=0)
    optimizer = AdamW(LinearSchedule(5e-3, 50, 300), weight_decay=0.0)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = the_task.loss(model(batch, training=True), batch)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for _ in range(300):
        loss = step()
    assert loss < 0.01
    assert figure(the_task, model, record) > 0.999
    # Asked as a server is asked, and judged as the Evaluator judges.
    features = featurized(the_task, {name: value for name, value in record.items() if name not in the_task.gold})
    answers = the_task.answer(model(the_task.inputs(features)), features, record)
    rows = [
        the_task.row_metrics(
            {name: np.asarray(value.numpy()[row]) for name, value in answers.items()},
            {name: np.asarray(record[name][row]) for name in the_task.gold},
        )
        for row in range(record["text"].shape[0])
    ]
    assert the_task.choose(np.array(rows)) > 0.999
    # One definition: the numbers behind the figure that chose the epoch are those of the figure that blesses.
    split = eval_rows.batches(the_task, rows_of(the_task, record), 3)
    np.testing.assert_allclose(eval_rows.of_split(the_task, model, split)(), rows, atol=1e-5)


def test_the_losses_of_shares_add_up_to_that_of_the_batch(example, monkeypatch):
    the_task, record = example
    (batch,) = the_task.batches(rows_of(the_task, record), batch_size=8, seed=0, epoch=0)
    model, count = model_of(the_task), record["text"].shape[0]
    # As among replicas: each divides its sum by the rows of all.
    monkeypatch.setattr(replicas, "mean", lambda losses, weights=None: tf.reduce_sum(losses) / count)
    whole = float(the_task.loss(model(batch), batch))
    shares = [{name: value[rows] for name, value in batch.items()} for rows in (slice(1), slice(1, None))]
    assert sum(float(the_task.loss(model(share), share)) for share in shares) == pytest.approx(whole, rel=1e-5)


def test_labels_drawn_at_random_are_learned_by_heart_and_held_out_ones_are_not():
    """Nothing of the label reaches the inputs. Of 400 held-out records chance is .5 with a sd of .025."""
    the_task = task.load("classification")({"labels": ["no", "yes"], "max_length": 16, "dropout": 0.0})
    generator = np.random.default_rng(9)

    def records(count):
        text = [" ".join(generator.choice(WORDS, size=8)) for _ in range(count)]
        return {"text": tf.constant(text), "label": tf.constant(generator.choice(["no", "yes"], size=count))}

    model = model_of(the_task)
    known, held_out = records(64), records(400)
    train = list(the_task.batches(rows_of(the_task, known), batch_size=32, seed=0, epoch=0))
    optimizer = AdamW(LinearSchedule(5e-3, 50, 300), weight_decay=0.0)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = the_task.loss(model(batch, training=True), batch)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    for _ in range(150):
        for batch in train:
            step(batch)
    assert figure(the_task, model, known) > 0.9
    assert 0.4 < figure(the_task, model, held_out) < 0.6


def answers_by_label(labels):
    return {
        "label": (tf.string, ()),
        "score": (tf.float32, ()),
        "labels": (tf.string, (labels,)),
        "scores": (tf.float32, (labels,)),
    }


SPANS = {
    "span": (tf.string, (14,)),  # two of the 16 tokens are [CLS] and [SEP]
    "span_label": (tf.string, (14,)),
    "start": (tf.int64, (14,)),
    "end": (tf.int64, (14,)),
    "span_score": (tf.float32, (14,)),
}
# What clients read of each example's model: the type of a tensor, and its shape behind the row.
ANSWERS = {
    "classification": answers_by_label(2),
    "classification (pair)": answers_by_label(3),
    "regression": {"value": (tf.float32, ())},
    "multi_label": {"assigned": (tf.string, (3,)), "labels": (tf.string, (3,)), "scores": (tf.float32, (3,))},
    "similarity": {"similarity": (tf.float32, ())},
    "token_classification": SPANS,
    "token_classification (words)": SPANS,
    "question_answering": {
        "answer": (tf.string, ()),
        "score": (tf.float32, ()),
        "start": (tf.int64, ()),
        "end": (tf.int64, ()),
    },
}


def test_answers_have_the_types_and_shapes_that_clients_read(example, request):
    the_task, record = example
    model, features = model_of(the_task), featurized(the_task, record)
    answers = the_task.answer(model(the_task.inputs(features)), features, record)
    count = record["text"].shape[0]
    assert {name: (value.dtype, value.shape) for name, value in answers.items()} == {
        name: (dtype, (count, *shape))
        for name, (dtype, shape) in ANSWERS[request.node.callspec.params["example"]].items()
    }
    assert set(the_task.answers) <= answers.keys()


def serialized(record, row):
    def feature(value):
        values = np.asarray(value).ravel().tolist()
        if not values:
            return tf.train.Feature()
        if isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {name: feature(value[row].numpy()) for name, value in record.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def exported(the_task, model, record):
    """The signatures that take serialized records, and what ``featurize`` was handed in them."""
    handed = set()

    def featurize(columns):
        handed.update(columns)
        return the_task.featurize(columns, TOKENIZER)

    texts = [name for name in ("text", "text_pair") if name in record]
    functions = saved_model.signatures(
        families.load(the_task.family),
        model,
        the_task,
        featurize,
        {name: tf.io.FixedLenFeature([], tf.string) for name in texts},
        {name: tf.io.RaggedFeature(record[name].dtype) for name in the_task.gold},
    )
    return {name: functions[name][0] for name in ("serving_examples", "transform_features")}, handed


def test_what_is_served_is_bit_equal_with_and_without_the_gold(example):
    the_task, record = example
    model = model_of(the_task)
    for variable in model.trainable_variables:  # larger: answers that differ from text to text
        variable.assign(variable * 8 if "norm" not in variable.path else variable)
    asked = {name: value for name, value in record.items() if name not in the_task.gold}
    functions, handed = exported(the_task, model, record)
    for function in functions.values():
        full, bare = (
            function(tf.constant([serialized(columns, row) for row in range(record["text"].shape[0])]))
            for columns in (record, asked)
        )
        assert full.keys() == bare.keys()
        for name, value in full.items():
            np.testing.assert_array_equal(value, bare[name], err_msg=name)
    assert handed == asked.keys()


class Ranked(task.load("classification")):
    """Judges by the place of the right label among all, which no answer holds."""

    def examined(self, outputs, features, record):
        right = tf.argmax(record["label"].to_tensor("", shape=[None, 1]) == tf.constant(self.config.labels), axis=1)
        score = tf.gather(outputs["logits"], right, batch_dims=1)
        return {"rank": 1 + tf.math.count_nonzero(outputs["logits"] > score[:, None], axis=1)}

    def sliced(self, features, record):
        return {"known": tf.where(record["label"].row_lengths() > 0, "yes", "no")}


def test_what_a_task_examines_is_served_to_the_evaluator_and_computed_on_the_eval_split():
    config, record = RECORDS["classification (pair)"]
    the_task, record = Ranked(config), {name: made(values) for name, values in record.items()}
    model = model_of(the_task)
    functions, _ = exported(the_task, model, record)
    examples = tf.constant([serialized(record, row) for row in range(4)])
    answer = functions["serving_examples"](examples)
    scores, right = answer["scores"].numpy(), [1, 0, 2, 1]
    ranks = [1 + sum(other > row[place] for other in row) for row, place in zip(scores, right, strict=True)]
    assert answer["rank"].numpy().tolist() == ranks
    assert functions["transform_features"](examples)["known"].numpy().tolist() == [b"yes"] * 4
    (batch,) = eval_rows.batches(the_task, rows_of(the_task, record), 4)
    held_out, _ = eval_rows.answered(the_task, model(batch[0]), batch[1])
    assert held_out["rank"].numpy().tolist() == ranks


def test_gold_of_another_type_does_not_stop_a_server():
    """What a client calls ``label`` is its own affair: no answer of today's tasks reads it."""
    config, record = RECORDS["classification"]
    the_task, record = task.load("classification")(config), {name: made(values) for name, values in record.items()}
    functions, _ = exported(the_task, model_of(the_task), record)
    serve = tf.function(functions["serving_examples"], input_signature=[tf.TensorSpec([None], tf.string)])
    odd = tf.constant([serialized({**record, "label": tf.constant([1, 2, 3, 4, 5])}, row) for row in range(5)])
    plain = tf.constant([serialized(record, row) for row in range(5)])
    np.testing.assert_array_equal(serve(odd)["scores"], serve(plain)["scores"])


def test_classification_answers_with_the_label_of_the_highest_score():
    the_task = task.load("classification")({"labels": ["no", "yes", "perhaps"]})
    answers = the_task.answer({"logits": tf.constant([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])}, {}, {})
    assert answers["label"].numpy().tolist() == [b"yes", b"no"]
    np.testing.assert_allclose(answers["score"], [0.66524, 0.90944], atol=1e-5)
    assert answers["labels"].numpy()[1].tolist() == [b"no", b"yes", b"perhaps"]
    np.testing.assert_allclose(tf.reduce_sum(answers["scores"], axis=1), [1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "bucket"), [(0, "1-8 words"), (8, "1-8 words"), (9, "9-16 words"), (32, "17-32 words"), (33, ">32 words")]
)
def test_length_buckets(words, bucket):
    the_task = task.load("classification")({"labels": ["a", "b"]})
    features = the_task.featurize({"text": tf.constant(["film " * words])}, TOKENIZER)
    assert features["length_bucket"].numpy().tolist() == [bucket.encode()]


def test_balanced_class_weights_are_those_of_scikit_learn():
    """From three records of one label and one of another; the third has none, and counts as every label does."""
    the_task = task.load("classification")({"labels": ["no", "yes", "perhaps"], "class_weights": "balanced"})
    rows = tf.data.Dataset.from_tensor_slices({"label_id": tf.constant([1, 0, 1, 1], tf.int64)})
    fitted = the_task.fitted(rows, rows, TOKENIZER)
    assert fitted.config.class_weights == pytest.approx({"no": 2.0, "yes": 2 / 3})
    # −ln .1065 and −ln .7870, 2 to 2/3.
    loss = fitted.loss({"logits": tf.constant([[0.0, 2.0, 0.0]] * 2)}, {"label_id": tf.constant([0, 1])})
    assert float(loss) == pytest.approx((2 * 2.2395 + 2 / 3 * 0.2395) / (2 + 2 / 3), abs=1e-4)
    unweighed = task.load("classification")({"labels": ["no", "yes"]})
    assert unweighed.fitted(rows, rows, TOKENIZER) is unweighed


@pytest.mark.parametrize("labels", [["a"], ["a", "a"]])
def test_labels_must_be_two_and_distinct(labels):
    with pytest.raises(ValueError, match="labels"):
        task.load("classification")({"labels": labels})


@pytest.mark.parametrize(("no_answer", "score"), [(False, 0.0), (True, 1.0)])
def test_a_context_without_a_piece_holds_no_answer(no_answer, score):
    """By probability: that of no answer is 1 where it may be one, and nothing is probable where it may not."""
    sizes = {"max_length": 24, "stride": 8, "max_question": 5, "max_answer": 4}
    the_task = task.load("question_answering")({**sizes, "no_answer": no_answer})
    record = {"text": tf.constant(["good film", "good"]), "text_pair": tf.constant([" \x07\u3000", "a film"])}
    features = the_task.featurize(record, TOKENIZER)
    answers = the_task.answer(model_of(the_task)(the_task.inputs(features)), features, record)
    assert [answers[name][0].numpy() for name in ("answer", "start", "end", "score")] == [b"", 0, 0, score]
    assert 0 < answers["score"][1].numpy() <= 1
