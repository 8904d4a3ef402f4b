"""When two exports are one model."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401 (operations of the graph)
from tensorflow.core.protobuf import saved_model_pb2

from models.export import identity

ROOT = pathlib.Path(__file__).parents[4]
# A process that traced other functions before numbers those of the export otherwise.
EXPORT = """
import sys
import tensorflow as tf
from tests.unit.models.export.test_saved_model import write
for size in range(int(sys.argv[2])):
    tf.function(lambda x: x + 1)(tf.zeros([size]))
write(sys.argv[1], ["text"])
"""


def process(folder, traced):
    return subprocess.Popen([os.environ["WARM_PYTHON"], "-c", EXPORT, str(folder), str(traced)], cwd=ROOT)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """One model, exported by two processes."""
    folders = [tmp_path_factory.mktemp("export") / "1" for _ in range(2)]
    for each in [process(folder, 7 * number) for number, folder in enumerate(folders)]:
        assert each.wait() == 0
    return folders


@pytest.fixture
def copy(twice, tmp_path):
    return shutil.copytree(twice[0], tmp_path / "1")


def rewritten(folder, change):
    """The folder with its graph changed."""
    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())
    return str(folder)


def weighted(folder, change):
    """The folder with its variables changed: ``change`` takes and gives values by their keys in the checkpoint."""
    prefix = str(folder / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    values = change({key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()})
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=[*values], shape_and_slices=[""] * len(values), tensors=[*values.values()]
    )
    return str(folder)


def test_exports_of_one_model_by_two_processes_are_one_model(twice):
    files = ["saved_model.pb", "variables/variables.index"]
    assert all((twice[0] / name).read_bytes() != (twice[1] / name).read_bytes() for name in files)
    assert identity.digest(str(twice[0])) == identity.digest(str(twice[1]))


def body(graph):
    """What ``serving_default`` computes."""
    named = re.compile(r"__inference_serve_\d+")
    return next(each for each in graph.graph_def.library.function if named.fullmatch(each.signature.name)).node_def


def first(nodes, op, has=lambda _: True):
    return next(node for node in nodes if node.op == op and has(node))


def other_label_order(graph):
    labels = first(body(graph), "Const", lambda node: b"yes" in node.attr["value"].tensor.string_val)
    labels.attr["value"].tensor.string_val[:] = [b"yes", b"no"]


def other_threshold(graph):
    first(body(graph), "Const", lambda node: node.attr["value"].tensor.float_val).attr["value"].tensor.float_val[0] += 1


def other_operation(graph):
    first(body(graph), "Tanh").op = "Sigmoid"


def other_order_of_operands(graph):
    inputs = first(body(graph), "Sub").input
    inputs[:2] = [inputs[1], inputs[0]]


def other_output(graph):
    outputs = graph.signature_def["serving_default"].outputs
    outputs["other"].CopyFrom(outputs[sorted(outputs)[0]])


def other_signature(graph):
    del graph.signature_def["embed"]


@pytest.mark.parametrize(
    "change",
    [other_label_order, other_threshold, other_operation, other_order_of_operands, other_output, other_signature],
)
def test_another_graph_is_another_model(twice, copy, change):
    before = (copy / "saved_model.pb").read_bytes()
    rewritten(copy, change)
    assert (copy / "saved_model.pb").read_bytes() != before
    assert identity.digest(str(copy)) != identity.digest(str(twice[0]))


def other_names(graph):
    """Functions and the order of nodes as another process would have them."""
    library = graph.graph_def.library
    names = {each.signature.name: f"other_{number}" for number, each in enumerate(library.function)}
    for nodes in (graph.graph_def.node, *(each.node_def for each in library.function)):
        for node in nodes:
            for value in node.attr.values():
                for called in [value.func] if value.HasField("func") else value.list.func:
                    called.name = names[called.name]
        nodes.sort(key=lambda node: node.name, reverse=True)
    for each in library.function:
        each.signature.name = names[each.signature.name]
    del library.gradient[:]

    with tf.Graph().as_default():
        tf.import_graph_def(graph.graph_def)  # it is a graph still


def another_machine(graph):
    for node in graph.graph_def.node:
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = b"\n\x07\n\x03GPU\x10\x01"


@pytest.mark.parametrize("change", [other_names, another_machine])
def test_names_and_machines_decide_nothing(twice, copy, change):
    before = (copy / "saved_model.pb").read_bytes()
    rewritten(copy, change)
    assert (copy / "saved_model.pb").read_bytes() != before
    assert identity.digest(str(copy)) == identity.digest(str(twice[0]))


def one_bit(values):
    key = max((key for key in values if key.endswith("VARIABLE_VALUE")), key=lambda key: values[key].size)
    values[key] = values[key].copy()
    values[key].flat[0] = np.nextafter(values[key].flat[0], np.float32(1))
    return values


def exchanged(values):
    """Two variables of one shape have each other's values."""
    keys = sorted(key for key in values if key.endswith("VARIABLE_VALUE"))
    first, second = next(
        (a, b)
        for a in keys
        for b in keys
        if a < b and values[a].shape == values[b].shape and (values[a] != values[b]).any()
    )
    return {**values, first: values[second], second: values[first]}


@pytest.mark.parametrize("change", [one_bit, exchanged])
def test_another_weight_is_another_model(twice, copy, change):
    assert identity.digest(weighted(copy, dict)) == identity.digest(str(twice[0]))  # written again as it was
    assert identity.digest(weighted(copy, change)) != identity.digest(str(twice[0]))


def test_what_is_handed_over_counts_and_what_is_told_about_it_does_not(twice, copy):
    same = identity.digest(str(twice[0]))
    extra = copy / "assets.extra"
    for name in ("model_card.md", "experiment.yaml", "fine_tuning.json", "curves.json", "tf_serving_warmup_requests"):
        (extra / name).write_text("told otherwise")
    golden = json.loads((extra / "golden.json").read_text())
    (extra / "golden.json").write_text(json.dumps({**golden, "outputs": {}}))
    assert identity.digest(str(copy)) == same
    (extra / "golden.json").write_text(json.dumps({**golden, "task": {"labels": ["yes", "no"]}}))
    assert identity.digest(str(copy)) != same
    (extra / "golden.json").write_text(json.dumps(golden))
    (extra / "checkpoint").mkdir()
    (extra / "checkpoint" / "vocab.txt").write_text("[PAD]\n")
    assert identity.digest(str(copy)) != same


def test_files_that_a_graph_reads_count_by_content(tmp_path):
    """A table from a file: the graph holds the file's name only."""

    class Lookup(tf.Module):
        def __init__(self, path):
            super().__init__()
            rows = tf.lookup.TextFileInitializer(path, tf.string, 0, tf.int64, 1, delimiter="\t")
            self.table = tf.lookup.StaticHashTable(rows, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def serve(self, text):
            return {"id": self.table.lookup(text)}

    digests = []
    for number, content in enumerate(["a\t1\n", "a\t1\n", "a\t2\n"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "rows.tsv").write_text(content)
        module = Lookup(str(tmp_path / str(number) / "rows.tsv"))
        folder = str(tmp_path / f"model{number}")
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        digests.append(identity.digest(folder))
    assert digests[2] not in digests[:2]
