"""Writes the models that the conformance tests ask, with a model config file: python tests/conformance/models.py FOLDER

The arithmetic of tensorflow/serving's servables/tensorflow/testdata (half_plus_two), and signatures that echo types.
"""

import functools
import shutil
import sys
import tempfile
from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1
METHODS = {name: f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress")} | {"": ""}


def half_plus(folder: Path, number: float) -> None:
    """x/2 + number, by predict, classify and regress."""
    with tf.Graph().as_default(), v1.Session() as session:
        half, more = v1.get_variable("half", initializer=0.5), v1.get_variable("more", initializer=number)
        x = v1.placeholder(tf.float32, name="x")
        examples = v1.placeholder(tf.string, [None], name="examples")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        y, scores = half * x + more, half * parsed + more
        classes = tf.tile([["low", "high"]], [tf.shape(scores)[0], 1])
        with tf.control_dependencies([v1.assert_less(x, 100.0, message="too much")]):
            checked = tf.identity(y)
        signatures = {
            "serving_default": ({"x": x}, {"y": y}, "predict"),
            "regress_x_to_y": ({"inputs": examples}, {"outputs": scores}, "regress"),
            "classify_x_to_y": ({"inputs": examples}, {"scores": scores}, "classify"),
            "named": (
                {"inputs": examples},
                {"scores": tf.concat([-scores, scores], 1), "classes": classes},
                "classify",
            ),
            "raises": ({"x": x}, {"y": checked}, "predict"),
            "scores_of_predict": ({"inputs": examples}, {"scores": scores}, "predict"),
            "no_method": ({"x": x}, {"y": y}, ""),
        }
        _save(session, folder, signatures)


def echo(folder: Path) -> None:
    """What came in goes out, of every type that JSON can carry; and a signature that takes its time."""
    types = (tf.bool, tf.string, tf.int8, tf.uint8, tf.int16, tf.int32, tf.uint32, tf.int64, tf.uint64)
    types = (*types, tf.float32, tf.float64)
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {}
        for dtype in types:
            fed = v1.placeholder(dtype, name=f"in_{dtype.name}")
            signatures[dtype.name] = ({"x": fed}, {"y": tf.identity(fed)}, "predict")
        signatures["no_rows"] = ({"x": fed}, {"y": tf.zeros([0, 2])}, "predict")
        text, number = v1.placeholder(tf.string, [None], name="text"), v1.placeholder(tf.int64, [None], name="number")
        turns = v1.placeholder(tf.int64, [], name="turns")
        (counted,) = tf.while_loop(lambda n: n > 0, lambda n: [n - 1], [turns], parallel_iterations=1)
        signatures["count_down"] = ({"turns": turns}, {"left": counted}, "predict")
        outputs = {"text": tf.identity(text), "number": number * 2, "raw_bytes": tf.identity(text)}
        signatures["serving_default"] = ({"text": text, "number": number}, outputs, "predict")
        _save(session, folder, signatures)


def odd(folder: Path) -> None:
    """What a server must live with: types without JSON, more dimensions than NumPy's, sparse and ragged, odd names."""
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {}
        for dtype in (tf.half, tf.bfloat16, tf.complex64, tf.uint16, tf.qint8, tf.variant, tf.resource):
            fed = v1.placeholder(dtype, name=f"in_{dtype.name}")
            signatures[dtype.name] = ({"x": fed}, {"y": tf.identity(fed)}, "predict")
        for dtype in (tf.string, tf.float32):
            fed = v1.placeholder(dtype, name=f"to_widen_{dtype.name}")
            signatures[f"wider_{dtype.name}"] = ({"x": fed}, {"y": tf.expand_dims(fed, 0)}, "predict")
        number = v1.placeholder(tf.float32, name="number")
        signatures["half_out"] = ({"x": number}, {"y": tf.cast(number, tf.half)}, "predict")
        signatures["numbers_for_examples"] = ({"inputs": number}, {"scores": number}, "classify")
        signatures["any_scores"] = ({"inputs": (text := v1.placeholder(tf.string))}, {"scores": text}, "classify")
        signatures["any_outputs"] = ({"inputs": text}, {"outputs": tf.strings.length(text)}, "regress")
        names = {name: v1.placeholder(tf.int64) for name in ("", "x\0y", 'é"\n', "x" * 3000)}
        signatures['odd "name"'] = (
            names,
            {f"{name}_bytes": tf.identity(fed) for name, fed in names.items()},
            "predict",
        )
        sparse, ragged = v1.sparse_placeholder(tf.int64), v1.ragged.placeholder(tf.string, 1)
        signatures["sparse_in"] = ({"x": sparse}, {"y": sparse.values}, "predict")
        signatures["sparse_out"] = ({"x": number}, {"y": sparse}, "predict")
        signatures["ragged_in"] = ({"x": ragged}, {"y": ragged.values}, "predict")
        _save(session, folder, signatures)


def classifier(folder: Path) -> None:
    """A tiny model of ours, as the Trainer exports it."""
    import keras

    from models.bert.encoder import BertEncoder
    from models.export import saved_model
    from models.tasks.classification import Task
    from models.text.tokenization import SPECIAL, TextRules, Tokenizer

    keras.utils.set_random_seed(11)
    tokenizer = Tokenizer([*SPECIAL, "a", "good", "film", "witty", "삼성전자", "##는", "."], TextRules("uncased_nfc"))
    encoder = BertEncoder(
        vocabulary_size=tokenizer.size, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    task = Task({"labels": ["no", "yes"], "max_length": 24})
    model = task.build(encoder)
    for variable in model.trainable_variables:  # larger weights: answers that differ from text to text
        variable.assign(variable * 5 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder),
        family="text",
        model=model,
        the_task=task,
        featurize=lambda record: task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )


def _save(session, folder, signatures) -> None:
    session.run(v1.global_variables_initializer())
    info = v1.saved_model.build_tensor_info
    definitions = {
        name: v1.saved_model.signature_def_utils.build_signature_def(
            {alias: info(tensor) for alias, tensor in inputs.items()},
            {alias: info(tensor) for alias, tensor in outputs.items()},
            METHODS[method],
        )
        for name, (inputs, outputs, method) in signatures.items()
    }
    builder = v1.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(session, ["serve"], definitions)
    builder.save()


CONFIG = """model_config_list {{
  config {{
    name: "half_plus_two"
    base_path: "{root}/half_plus_two"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 123 versions: 124 }} }}
    version_labels {{ key: "stable" value: 123 }}
  }}
  config {{ name: "echo" base_path: "{root}/echo" model_platform: "tensorflow" }}
}}
"""


@functools.cache
def _written() -> tempfile.TemporaryDirectory[str]:
    """Once in a process."""
    kept = tempfile.TemporaryDirectory()
    half_plus(Path(kept.name, "half_plus_two/123"), 2.0)
    half_plus(Path(kept.name, "half_plus_two/124"), 4.0)
    echo(Path(kept.name, "echo/1"))
    return kept


def write(folder: Path, root: str | None = None) -> Path:
    """Models and ``models.config`` below ``folder``.

    Args:
      folder: it is created.
      root: the folder as the server sees it, where that is another.

    Returns:
      The model config file.
    """
    shutil.copytree(_written().name, folder, dirs_exist_ok=True)
    config = folder / "models.config"
    config.write_text(CONFIG.format(root=root or folder.absolute()))
    return config


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])
