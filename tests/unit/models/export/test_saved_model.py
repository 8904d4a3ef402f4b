"""The SavedModel, and the check that a server could load it."""

import json
import os
import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import families
from models.bert.encoder import BertEncoder
from models.export import golden, saved_model, serving_check, serving_ops
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer

TOKENIZER = Tokenizer(
    [*SPECIAL, "a", "good", "film", "witty", "gorgeous", "삼성전자", "##는", "."], TextRules("uncased_nfc")
)
PAIR = ["text", "text_pair"]


def write(folder, columns, answer=True):
    keras.utils.set_random_seed(11)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    task = Task({"labels": ["no", "yes"], "max_length": 24})
    model = task.build(encoder)
    # Larger weights: answers that differ from text to text.
    for variable in model.trainable_variables:
        variable.assign(variable * 5 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder),
        family="text",
        model=model,
        the_task=task if answer else None,
        featurize=lambda record: task.featurize(record, TOKENIZER),
        raw_spec={column: tf.io.FixedLenFeature([], tf.string) for column in columns},
    )
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "1"
    write(folder, ["text"])
    return folder


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "1")


def serialized(**columns):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in columns.items()
            }
        )
    ).SerializeToString()


def test_a_server_could_load_it(exported):
    report = serving_check.check(exported)
    assert report["faults"] == []
    assert report["signatures"] == sorted(families.load("text").signatures)


def test_text_and_examples_give_the_same_answer(exported):
    model = tf.saved_model.load(str(exported))
    texts = ["a good film", "", "삼성전자는 gorgeous ."]
    by_text = model.signatures["serving_default"](text=tf.constant(texts))
    by_example = model.signatures["serving_examples"](examples=tf.constant([serialized(text=text) for text in texts]))
    for name, value in by_text.items():
        np.testing.assert_array_equal(value, by_example[name])
    np.testing.assert_array_equal(by_example["all_classes"], by_text["labels"])
    assert len(set(by_text["scores"].numpy()[:, 0].tolist())) == 3


def test_transform_features_gives_ids_and_slices(exported):
    model = tf.saved_model.load(str(exported))
    features = model.signatures["transform_features"](
        tf.constant([serialized(text="a good film"), serialized(text="a")])
    )
    assert features["token_ids"].numpy().tolist() == [[2, 5, 6, 7, 3] + [0] * 19, [2, 5, 3] + [0] * 21]
    assert features["length_bucket"].numpy().tolist() == [b"1-8 words", b"1-8 words"]


def test_embeddings_do_not_depend_on_the_batch(exported):
    embed = tf.saved_model.load(str(exported)).signatures["embed"]
    batch = embed(text=tf.constant(["a good film", "a " * 30, ""]))
    alone = embed(text=tf.constant(["a good film"]))
    assert batch["mean"].shape == batch["pooled"].shape == (3, 16)
    for name in ("mean", "pooled"):
        np.testing.assert_allclose(batch[name][:1], alone[name], atol=1e-6)


def test_weights_are_stored_once(exported):
    weights = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    ).count_params()
    stored = sum(path.stat().st_size for path in (exported / "variables").glob("*.data*"))
    assert 4 * weights < stored < 1.5 * 4 * weights + 20_000


def test_it_carries_requests_to_warm_a_server_up(exported):
    from tensorflow_serving.apis import prediction_log_pb2

    file = exported / "assets.extra/tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(each.numpy()) for each in tf.data.TFRecordDataset(str(file))]
    texts = [tf.make_ndarray(log.predict_log.request.inputs["text"]) for log in logs]
    assert {log.predict_log.request.model_spec.signature_name for log in logs} == {"serving_default"}
    assert [(len(each), len(each[0].split())) for each in texts] == [
        (rows, words) for rows in (1, 8, 32) for words in (8, 32, 128)
    ]


def test_a_pair_takes_two_texts(tmp_path):
    write(tmp_path / "1", PAIR)
    assert serving_check.check(tmp_path / "1")["faults"] == []
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    answer = serve(text=tf.constant(["a"]), text_pair=tf.constant(["good film"]))
    swapped = serve(text=tf.constant(["good film"]), text_pair=tf.constant(["a"]))
    assert not np.allclose(answer["scores"], swapped["scores"])


# Fed as TensorFlow Serving feeds a request, which looks at no shape. Without a check of ours tensorflow-text ends the
# process: "Span::at failed bounds check".
FED = """
import sys
import numpy as np, tensorflow as tf, tensorflow_text
from tensorflow.core.protobuf import config_pb2
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    for name in ("serving_default", "embed"):
        signature = loaded.signature_def[name]
        feed = [signature.inputs[column].name for column in ("text", "text_pair")]
        fetch = [info.name for info in signature.outputs.values()]
        call = session._make_callable_from_options(config_pb2.CallableOptions(feed=feed, fetch=fetch))
        refused = ([(1, 0), (1,)], [(), ()], [(1, 2), (1, 2)], [(2,), (1,)], [(1,), (0,)])
        for shapes in ([(1,), (1,)], [(0,), (0,)], *refused):
            try:
                call(*(np.full(shape, b"a", object) for shape in shapes))
                print("answered", flush=True)
            except tf.errors.InvalidArgumentError as error:
                told = [why for why in ("is not compatible", "must have as many texts") if why in str(error)]
                print(*told, flush=True)
"""


def test_texts_of_another_shape_are_refused_and_the_process_goes_on(tmp_path):
    write(tmp_path / "1", PAIR)
    ran = subprocess.run(
        [os.environ["WARM_PYTHON"], "-P", "-c", FED, str(tmp_path / "1")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    refused = ["is not compatible"] * 3 + ["must have as many texts"] * 2
    assert ran.stdout.splitlines() == (["answered"] * 2 + refused) * 2


def test_a_base_model_answers_with_embeddings(tmp_path):
    write(tmp_path / "1", ["text"], answer=False)
    assert serving_check.check(tmp_path / "1")["faults"] == []
    outputs = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"].structured_outputs
    assert sorted(outputs) == ["mean", "pooled"]


def test_another_answer_than_the_trained_model_gave_is_a_fault(copy):
    path = copy / "assets.extra" / golden.FILE
    kept = json.loads(path.read_text())
    kept["outputs"]["scores"][3][0] += 0.01
    path.write_text(json.dumps(kept))
    assert serving_check.check(copy)["faults"] == [
        f"{signature}, the reloaded model against the trained one: "
        "scores differs by 1.0e-02 on golden value 3 (allowed 1e-04)"
        for signature in ("serving_default", "serving_examples")
    ]


def test_a_check_compares_every_signature_in_every_way(exported, monkeypatch):
    compared, compare = [], serving_check._compare

    def noted(what, *answers):
        compared.append(what)
        return compare(what, *answers)

    monkeypatch.setattr(serving_check, "_compare", noted)
    assert serving_check.check(exported)["faults"] == []
    alone, session = "single rows against the batch", "a TF1 session against TF2"
    trained = "the reloaded model against the trained one"
    assert compared == [
        *(f"embed, {way}" for way in (alone, session)),
        *(f"serving_default, {way}" for way in (trained, alone, session)),
        *(f"serving_examples, {way}" for way in (trained, alone, session)),
        *(f"transform_features, {way}" for way in (alone, session)),
    ]


def test_every_signature_is_asked_alone_in_a_batch_and_in_a_session(exported):
    texts = golden.read(exported / "assets.extra")["inputs"]
    model, family = tf.saved_model.load(str(exported)), families.load("text")
    takes = {name: model.signatures[name].structured_input_signature[1] for name in family.signatures}
    asked = {name: serving_check._arguments(each, texts, family) for name, each in takes.items()}
    for name, answers in serving_check._session(exported, asked).items():
        alone = serving_check._one_by_one(model.signatures[name], asked[name])
        assert answers.keys() == alone.keys() == model.signatures[name].structured_outputs.keys()
        for output, values in answers.items():
            wrong = {**alone, output: alone[output] + 1} if values.dtype.kind in "fi" else alone
            faults = list(serving_check._compare(name, answers, wrong))
            assert len(faults) == (values.dtype.kind in "fi"), (name, output, faults)


def test_answers_that_are_empty_are_no_fault_and_text_for_numbers_is():
    kept = {"span": [[], []], "start": [[], []]}  # as JSON has it: nothing says that a span is text
    empty = {"span": np.zeros((2, 0), object), "start": np.zeros((2, 0), np.int64)}
    assert list(serving_check._compare("x", kept, empty)) == []
    (fault,) = serving_check._compare("x", {"score": [0.5]}, {"score": np.array([b"0.5"], object)})
    assert fault == "x: score is (1,) of object or not finite, expected finite (1,) of float64"


def test_rows_whose_shape_depends_on_the_batch_are_a_fault():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def words(text):
        split = tf.strings.split(text)
        return {"words": split.to_tensor(), "first": split.to_tensor(shape=[None, 1]), "count": tf.size(split.values)}

    assert list(serving_check._varying("words", words.get_concrete_function())) == [
        "words: words is (None, None), but a row must have the same shape in every batch",
        "words: count is (), but a row must have the same shape in every batch",
    ]


def test_an_op_that_tf_serving_does_not_link_is_named(copy):
    path = copy / "saved_model.pb"
    graph = path.read_bytes()
    # A name of the same length keeps the proto's sizes right; nobody links it.
    path.write_bytes(graph.replace(b"NormalizeUTF8", b"NormalizeUTF9"))
    assert {fault for node in serving_check._nodes(copy) for fault in serving_ops.faults(node)} == {
        "op NormalizeUTF9 is not linked by TensorFlow Serving 2.20.0"
    }
