"""What every family in ``models/families/`` must do; a new one adds its example here."""

import math
import pathlib
from collections.abc import Callable
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import families, task
from models.families import Endpoint
from models.text.reserved import RESERVED
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from models.vocabularies.items import Items
from tests.toy.letters import Letters

FOLDER = pathlib.Path(families.__path__[0])
TOKENIZER = Tokenizer([*SPECIAL, "good", "film"], TextRules("cased"))
ITEMS = Items(["50", "242", "302", "1", "377"], [5, 4, 3, 2, 1])
TRANSLATED = Tokenizer(
    [*SPECIAL, *RESERVED, "▁", "▁good", "▁film", "##e", "좋", "##은"], TextRules("spaced", reserve=RESERVED)
)
SHAPE = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 48, "max_positions": 24}
# A shape, a vocabulary, a task of the family, and lines of ``tfx-bert predict`` with what they mean to the model.
EXAMPLES = {
    "text": SimpleNamespace(
        shape=SHAPE,
        vocabulary=TOKENIZER,
        task=task.load("classification")({"labels": ["no", "yes"], "max_length": 16}),
        lines=[
            (["text"], "good film", {"text": "good film"}),
            (["text"], "a\tb", {"text": "a\tb"}),
            (["text", "text_pair"], "good\tfilm", {"text": "good", "text_pair": "film"}),
        ],
        refused=[(["text", "text_pair"], "good film"), (["text", "text_pair"], "a\tb\tc")],
    ),
    "items": SimpleNamespace(
        shape=SHAPE,
        vocabulary=ITEMS,
        task=task.load("next_item")({"max_length": 16, "top_k": 4}).fitted(None, None, ITEMS),
        lines=[(["history"], "242|302", {"history": "242|302"}), (["history"], "", {"history": ""})],
        refused=[],
    ),
    "translation": SimpleNamespace(
        shape={**SHAPE, "num_decoder_layers": 2},
        vocabulary=TRANSLATED,
        task=task.load("translation")({"max_length": 16, "beam": 2}).fitted(None, None, TRANSLATED),
        lines=[(["text"], "good\tfilm", {"text": "good\tfilm"})],
        refused=[],
    ),
    "tests.toy.family": SimpleNamespace(  # a family elsewhere
        shape={"hidden_dim": 4},
        vocabulary=Letters("abknsy"),
        task=task.load("tests.toy.vowels")({"max_length": 16}),
        lines=[(["word"], " banana", {"word": "banana"})],
        refused=[(["word"], "two words"), (["word"], "")],
    ),
}


def test_every_family_has_an_example():
    assert [name for name in sorted(EXAMPLES) if "." not in name] == sorted(
        file.stem for file in FOLDER.glob("[!_]*.py")
    )


@pytest.fixture(params=EXAMPLES)
def example(request):
    return families.load(request.param), EXAMPLES[request.param]


def model_of(family, given, seed=7):
    keras.utils.set_random_seed(seed)
    return given.task.build(family.network(given.shape, given.vocabulary, None))


def test_it_is_found_by_the_name_that_it_has(example):
    family, given = example
    assert type(families.load(family.name)) is type(families.load(families.module(family.name))) is type(family)
    assert given.task.family == family.name


def test_golden_values_are_rows_and_hostile(example):
    family, _ = example
    names = [each.name for each in family.inputs]
    assert len(set(names)) == len(names)
    (count,) = {len(each.golden) for each in family.inputs}
    assert count >= 8
    for each in family.inputs:
        assert "" in each.golden
        assert max(map(len, each.golden)) >= 5000
        lengths = [len(each.sized(units)) for units in (1, 8, 128)]
        assert lengths[0] < lengths[1] < lengths[2]
        assert each.sized(8) == each.sized(8)


def test_an_example_holds_the_record_that_the_arguments_stand_for(example):
    family, _ = example
    rows = [dict(zip([each.name for each in family.inputs], row, strict=True)) for row in golden_rows(family)]
    record = family.record({each.name: tf.constant(each.golden) for each in family.inputs})
    for index, row in enumerate(rows):
        features = family.example(row).features.feature
        assert set(features) == set(record)
        for name, values in record.items():
            assert list(features[name].bytes_list.value) == np.atleast_1d(values[index].numpy()).tolist(), name


def golden_rows(family):
    return list(zip(*(each.golden for each in family.inputs), strict=True))


def test_a_line_is_what_the_model_takes_or_says_what_that_is(example):
    family, given = example
    for names, line, arguments in given.lines:
        assert family.parse(line, names) == arguments
    for names, line in given.refused:
        with pytest.raises(ValueError, match=r"^this model takes \w+"):
            family.parse(line, names)


def test_a_checkpoint_brings_the_network_back(example, tmp_path):
    family, given = example
    model = model_of(family, given)
    family.save(tmp_path / "checkpoint", model, given.task, given.vocabulary)
    network = family.network(None, given.vocabulary, tmp_path / "checkpoint")
    family.load(tmp_path / "checkpoint", network)
    again = given.task.build(network)
    batch = batch_of(family, given)
    other = model_of(family, given, seed=8)
    assert different(family, model, again, given, batch) < 1e-6 < different(family, model, other, given, batch)


def different(family, one, other, given, batch):
    """How far apart the vectors of two models are."""
    of = [family.endpoints(each, given.task, lambda record: batch, family.inputs) for each in (one, other)]
    answers = [next(iter(each.values())).answer({}) for each in of]
    return max(float(np.abs(np.asarray(answers[0][name]) - np.asarray(answers[1][name])).max()) for name in answers[0])


def batch_of(family, given):
    record = family.record({each.name: tf.constant(each.golden) for each in family.inputs[:1]})
    features = given.task.featurize(record, given.vocabulary)
    return {name: value for name, value in features.items() if name not in given.task.targets}


def test_another_vocabulary_than_the_checkpoints_is_refused(example, tmp_path):
    family, given = example
    family.save(tmp_path / "checkpoint", model_of(family, given), given.task, given.vocabulary)
    other = SimpleNamespace(size=given.vocabulary.size + 1)
    with pytest.raises(ValueError, match=f"has {given.vocabulary.size}.*, the records were .* with {other.size}"):
        family.network(None, other, tmp_path / "checkpoint")


def test_endpoints_are_signatures_that_take_its_inputs(example):
    family, given = example
    endpoints = family.endpoints(model_of(family, given), given.task, dict, family.inputs)
    assert set(family.signatures) <= {"serving_default", "serving_examples", "transform_features", *endpoints}
    for each in endpoints.values():
        assert isinstance(each, Endpoint)
        assert isinstance(each.answer, Callable)
        assert set(each.inputs) <= set(family.inputs)
    assert family.longest_row(model_of(family, given), given.task) > 0


def test_layers_can_be_frozen_one_by_one(example):
    family, given = example
    network = family.network(given.shape, given.vocabulary, None)
    layers = network.layers_of_variables
    known = {id(variable) for layer in layers for variable in layer}
    assert len(known) == sum(map(len, layers))
    assert known <= {id(variable) for variable in network.variables}
    for blocks in range(len(layers)):
        network.freeze(blocks)
        trained = {id(variable) for variable in network.trainable_variables}
        assert [any(id(variable) in trained for variable in layer) for layer in layers] == [
            index > blocks for index in range(len(layers))
        ]


def test_the_estimate_counts_the_parameters_that_there_are(example):
    family, given = example
    network = family.network(given.shape, given.vocabulary, None)
    cost = family.cost(given.shape, given.vocabulary.size)
    assert cost.parameters == sum(math.prod(variable.shape) for variable in network.trainable_variables)
    assert 0 < cost.multiplied < cost.parameters
    assert cost.activations > 0


def test_what_people_read_is_one_line(example):
    family, given = example
    config = given.task.config.model_dump()
    record = family.record({each.name: tf.constant(each.golden) for each in family.inputs})
    batch = given.task.featurize(record, given.vocabulary)
    for line in (
        family.summarize([batch, batch], given.vocabulary, config),
        family.summarize([], given.vocabulary, config),
        family.describe(model_of(family, given), given.vocabulary),
        *family.limits(config),
    ):
        assert line.strip()
        assert "\n" not in line
