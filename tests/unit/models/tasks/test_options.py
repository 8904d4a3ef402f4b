"""Every option of every task, at its default and off it, gives a model that TensorFlow Serving could serve.

The options are those of the tasks' own pydantic models: a new one is tried without an edit here. What ServingValidator
looks at is looked at in the graphs that an export would hold, because to write and to read one takes ten times as long.
"""

import itertools
import math
import typing

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from models import families, task
from models.bert.encoder import BertEncoder
from models.export import saved_model, serving_check, serving_ops
from models.families.text import TEXTS
from tests.unit.models.tasks import test_contract as contract

FAMILY = families.load("text")
TASKS = [name for name in contract.RECORDS if "(" not in name]
# Values to try for an option, by what it accepts.
VALUES = (True, False, 1, 2, 9, 20, 0.25, 3.5, ["WHAT", "HOW", "no"], [0.0, 2.0], {"negative": 2.0})


def choices(config, name):
    """Valid values of an option other than its default, within ``config``: every word, or two of the others."""
    field = type(config).model_fields[name]
    words = [each for each in typing.get_args(field.annotation) if isinstance(each, str)]
    found = []
    for value in (*words, *VALUES):
        if value != field.default or type(value) is not type(field.default):
            try:
                type(config).model_validate({**config.model_dump(), name: value})
            except pydantic.ValidationError:
                continue
            found.append(value)
    assert found, f"no value for {name} of {type(config)}: add one to VALUES"
    return found[: max(2, len(words))]


def configs():
    """All options at their defaults; then all off them, in as many rounds as an option has choices."""
    for name in TASKS:
        given = contract.RECORDS[name][0]
        kind = type(task.load(name)(given).config)
        fields = kind.model_fields
        # What the data fill in where it is left out, a list, is filled in.
        needed = {key: x for key, x in given.items() if fields[key].is_required() or fields[key].default == []}
        yield pytest.param((name, needed, ("serving_default", "transform_features")), id=f"{name}, defaults")
        small = kind.model_validate(given)
        offs = {key: choices(small, key) for key in fields if key not in needed}
        for number in range(max(map(len, offs.values()))):
            config = small
            for key, values in offs.items():
                turned = values[number % len(values) :] + values[: number % len(values)]
                for value in turned:  # options may depend on each other
                    try:
                        config = kind.model_validate({**config.model_dump(), key: value})
                        break
                    except pydantic.ValidationError:
                        continue
            # What featurize does with an option is in the one graph as in the other.
            yield pytest.param((name, config.model_dump(), ("serving_default",)), id=f"{name}, round {number + 1}")


def test_every_option_is_tried_off_its_default():
    tried = {}
    for param in configs():
        [(name, config, _)] = param.values
        for key, field in type(task.load(name)(config).config).model_fields.items():
            tried.setdefault((name, key), False)
            tried[name, key] |= field.is_required() or config.get(key, field.default) != field.default
    assert [option for option, off in tried.items() if not off] == []


@pytest.fixture(scope="module", params=configs())
def made(request):
    """The task, its model, and the signatures of its export as functions of the graph."""
    name, config, traced = request.param
    record = contract.RECORDS[name][1]
    the_task = task.load(name)(config)
    keras.utils.set_random_seed(5)
    sizes = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16, "max_positions": 512}
    model = the_task.build(BertEncoder(vocabulary_size=contract.TOKENIZER.size, **sizes))
    columns = [column for column in ("text", "text_pair") if column in record]
    functions = saved_model.signatures(
        FAMILY,
        model,
        the_task,
        lambda given: the_task.featurize(given, contract.TOKENIZER),
        {column: tf.io.FixedLenFeature([], tf.string) for column in columns},
    )
    graphs = {
        name: tf.function(function, input_signature=takes).get_concrete_function()
        for name, (function, takes) in functions.items()
        if name in traced  # the other two are made of the same parts
    }
    return the_task, model, {name: contract.made(values) for name, values in record.items()}, columns, graphs


def test_a_step_can_be_learned(made):
    the_task, model, record, *_ = made
    rows = contract.rows_of(the_task, record, times=3)
    the_task = the_task.fitted(rows, rows, contract.TOKENIZER)
    batch = next(iter(the_task.batches(the_task.training_rows(rows), batch_size=8, seed=0, epoch=0)))
    with tf.GradientTape() as tape:
        loss = the_task.loss(model(batch, training=True), batch)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert math.isfinite(loss)
    assert math.isfinite(tf.linalg.global_norm(gradients))


def test_tensorflow_serving_knows_the_graph_and_can_split_and_join_its_batches(made):
    for name, function in made[-1].items():
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        assert {fault for node in nodes for fault in serving_ops.faults(node)} == set()
        assert list(serving_check._varying(name, function)) == []


def golden_texts(columns):
    return {each.name: list(each.golden) for each in FAMILY.inputs if each.name in columns}


def test_parts_of_requests_joined_in_any_order_are_the_answers_of_the_whole(made):
    """As TensorFlow Serving's batching computes them: what a text is answered does not depend on its neighbours."""
    *_, columns, traced = made
    texts = golden_texts(columns)
    for name, function in traced.items():
        takes = [each.name for each in function.structured_input_signature[0]]
        asked = serving_check._arguments(takes, texts, FAMILY)
        whole = serving_check._call(function, asked)
        assert list(serving_check._compare(name, whole, whole)) == []  # finite
        ends = (0, 1, 6, len(TEXTS))  # the long texts in the second part, none in the first
        parts = [range(start, end) for start, end in itertools.pairwise(ends)]
        answers = [
            serving_check._call(function, {key: [values[row] for row in part] for key, values in asked.items()})
            for part in parts
        ]
        for order in itertools.permutations(range(len(parts))):
            rows = [row for number in order for row in parts[number]]
            for output, values in whole.items():
                joined = np.concatenate([answers[number][output] for number in order])
                if values.dtype == object:
                    np.testing.assert_array_equal(joined, values[rows])
                else:
                    np.testing.assert_allclose(joined, values[rows], atol=serving_check.TOLERANCE, err_msg=output)


def test_every_answer_can_be_told_and_is_a_row_of_one_table(made):
    the_task, *_, columns, traced = made
    outputs = serving_check._call(traced["serving_default"], golden_texts(columns))
    answers = [task.nth(outputs, row) for row in range(len(TEXTS))]
    assert all(the_task.summarize(answer) for answer in answers)
    kinds = [[(name, type(value)) for name, value in the_task.to_row(answer).items()] for answer in answers]
    assert kinds == [kinds[0]] * len(kinds)
