"""The node that imports a checkpoint where no importer of a platform's can."""

import pathlib

import pytest
from tfx.types import standard_artifacts

from components.data.importer import CheckpointImporter, Executor

TINY = pathlib.Path(__file__).parents[1] / "data" / "bert_tiny"


def run(source: pathlib.Path, target: pathlib.Path) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.uri = str(target)
    Executor().Do({}, {"model": [model]}, CheckpointImporter(str(source)).exec_properties)
    return model


def test_the_model_is_the_folder_and_says_where_it_came_from(tmp_path):
    model = run(TINY.parent, tmp_path / "model")
    copied = tmp_path / "model" / "bert_tiny"
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == {
        path.name: path.read_bytes() for path in TINY.iterdir()
    }
    assert model.get_string_custom_property("source_uri") == str(TINY.parent)


def test_a_folder_that_nobody_filled_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"there are no files in {tmp_path}/workspace/imports/1; copy"):
        run(tmp_path / "workspace/imports/1", tmp_path / "model")
