"""A family that lives outside of the product: from its records to an answer over REST, by the nodes as they are."""

import json
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import yaml
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import Vocabulary
from components.data import vocabulary_gen
from components.train import trainer, training
from configs.training import Train
from models import families, task
from models.export import golden, serving_check
from pipeline import asked, loader
from pipeline.inference import predict
from pipeline.run.result import RunError
from tests.serving.conftest import started

SPLITS = {"train": 300, "eval": 40, "test": 40}
TASK = {"type": "tests.toy.vowels", "config": {"max_length": 16, "dropout": 0.0}}
SCHEMA = """
feature { name: "word" type: BYTES }
feature { name: "label" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape {} }
"""


def record(word):
    example = families.load("tests.toy.family").example({"word": word})
    example.features.feature["label"].float_list.value.append(sum(map(word.count, "aeiou")))
    return example.SerializeToString()


@pytest.fixture(scope="module")
def pushed(tmp_path_factory, transforming):
    """The folder of a version, and the lines that the nodes wrote."""
    root = tmp_path_factory.mktemp("toy")
    chance = np.random.default_rng(5)
    words = ["".join(chance.choice(list("abeikmnosuy"), size=size)) for size in chance.integers(0, 12, 380)]
    rows = {split: [record(words.pop()) for _ in range(count)] for split, count in SPLITS.items()}
    examples, vocabulary = standard_artifacts.Examples(), Vocabulary()
    examples.uri, examples.split_names = str(root / "learn"), json.dumps(list(rows))
    vocabulary.uri = str(root / "letters")
    lines, handler = [], logging.Handler()
    handler.emit = lambda each: lines.append(str(each.event))
    logger = logging.getLogger("tfx_bert")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    for split, serialized in rows.items():
        (root / "learn" / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(root / "learn" / f"Split-{split}" / "data.gz"), options="GZIP") as writer:
            for each in serialized:
                writer.write(each)
    node = vocabulary_gen.VocabularyGen(
        [channel_utils.as_channel([examples])], source_digest="", kind="tests.toy.letters", features=["word"], learn=100
    )
    vocabulary_gen.Executor().Do({"examples": [examples]}, {"vocabulary": [vocabulary]}, node.exec_properties)
    transforming.run(root, rows, SCHEMA, f"{TASK['type']}.Task", TASK["config"], pathlib.Path(vocabulary.uri))
    settings = Train(epochs=12, batch_size=32, learning_rate=0.05, weight_decay=0.0)
    arguments = FnArgs(
        train_files=[f"{root}/out/Split-train/*"],
        eval_files=[f"{root}/out/Split-eval/*"],
        transform_output=f"{root}/graph",
        base_model=None,
        serving_model_dir=str(root / "models" / "vowels" / "1"),
        model_run_dir=str(root / "logs"),
        custom_config={
            "task": TASK,
            "train": settings.model_dump(mode="json", exclude_none=True),
            "encoder": {"hidden_dim": 4},
            "seed": 1,
            "source_digest": "",
        },
    )
    with training.checkpointing(str(root / "checkpoints"), 0.0):
        trainer.run_fn(arguments)
    logger.removeHandler(handler)
    return root / "models" / "vowels" / "1", lines


def test_each_node_says_what_the_family_says(pushed):
    folder, lines = pushed
    assert "11 letters" in lines
    assert any(line.endswith(" letters mean") for line in lines)
    card = (folder / "assets.extra/model_card.md").read_text()
    assert "a vector of 4 numbers for each of 11 letters" in card
    assert "Texts are cut" not in card


def test_the_export_is_checked_by_the_familys_own_values(pushed):
    folder, _ = pushed
    kept = golden.read(folder / "assets.extra")
    assert (kept["family"], kept["task"]["type"]) == ("tests.toy.family", "tests.toy.vowels")
    report = serving_check.check(folder)
    assert report["faults"] == []
    assert report["signatures"] == ["serving_default", "serving_examples", "transform_features", "vector"]
    assert isinstance(golden.answers(folder / "assets.extra"), task.load("tests.toy.vowels"))


def test_a_line_of_predict_is_a_word(pushed):
    folder, _ = pushed
    family = families.load(golden.read(folder / "assets.extra")["family"])
    arguments = predict._arguments(["banana", " sky"], family, ["word"])
    assert arguments == {"word": ["banana", "sky"]}
    assert predict.load(folder)(arguments)["value"].numpy() == pytest.approx([3, 0], abs=0.5)
    with pytest.raises(RunError, match=r"this model takes one word\. Received: 'two words'"):
        predict._arguments(["two words"], family, ["word"])


def test_what_the_yaml_tries_is_asked(pushed, tmp_path):
    section = {"type": TASK["type"], "data": {"path": "words.csv"}, **TASK["config"]}
    whole = {"name": "vowels", "task": section, "vocabulary": {"learn": 100}, "encoder": {}, "try": ["sky", "b" * 90]}
    (tmp_path / "vowels.yaml").write_text(yaml.safe_dump(whole))
    experiment = loader.load(tmp_path / "vowels.yaml")
    short, long = asked.answers(pushed[0], experiment.task, experiment.try_)
    assert short.startswith('"sky" → ')
    assert float(short.rpartition(" ")[2]) == pytest.approx(0, abs=0.5)
    assert long.startswith(f'"{"b" * 79}…" → ')


def test_it_answers_over_rest(pushed, tmp_path):
    folder, _ = pushed
    with started(tmp_path, "--model", f"vowels={folder.parent}") as client:
        client.ready()
        status, answer = client.post("/v1/models/vowels:predict", {"instances": ["banana", "sky", "beau"]})
        assert status == 200
        assert answer["predictions"] == pytest.approx([3, 0, 3], abs=0.5)
