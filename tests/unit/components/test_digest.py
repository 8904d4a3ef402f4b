"""What decides whether a node is reused."""

import sys

import pytest

from components import digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package named ``models`` of our own making: ``models.top`` imports ``models.leaf`` inside a function."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "top.py").write_text("def f():\n    from models import leaf\n    return leaf.X\n")
    (folder / "leaf.py").write_text("X = 1\n")
    (folder / "other.py").write_text("Y = 1\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    digest._imports.cache_clear()


def of_top():
    digest._imports.cache_clear()
    return digest.of_source("models.top")


def test_an_edit_of_what_is_imported_counts_and_of_what_is_not_does_not(package):
    before = of_top()
    (package / "other.py").write_text("Y = 2\n")
    assert of_top() == before
    (package / "leaf.py").write_text("X = 2\n")
    assert of_top() != before


def test_the_trainer_depends_on_its_task_and_the_encoder_and_not_on_the_evaluator():
    seen = digest.imported("components.train.trainer")
    assert {"components.train.training", "models.export.saved_model", "models.training.reading"} <= seen
    assert "components.evaluate.evaluator" not in seen


@pytest.mark.parametrize(
    ("modules", "sections"),
    [
        (["components.data.example_gen", "components.records.kinds.corpus"], {"base", "encoding", "pairs", "sources"}),
        (["components.data.vocabulary_gen"], set()),
        (["components.data.transform", "components.data.featurize", "models.tasks.classification"], set()),
        (["components.train.pretrainer"], {"base", "optimization", "pretraining"}),
        (["components.train.trainer", "models.tasks.classification"], set()),
        (["components.evaluate.evaluator"], set()),
        (
            ["components.deploy.vertex_pusher"],
            {"base", "yaml.document", "yaml.validate"}
            | {f"clusters.{name}" for name in ("cluster", "kubernetes", "pools", "schedule", "vertex")},
        ),
    ],
)
def test_a_node_depends_on_its_own_sections_of_the_configuration(modules, sections):
    """An edit of ``tune`` reads no data again."""
    names = {name for name in digest.imported(*modules) if name.startswith("configs.")}
    assert {name.removeprefix("configs.") for name in names} == sections


def test_an_example_gen_depends_on_its_own_kind_alone():
    names = digest.imported("components.data.example_gen", "components.records.kinds.similarity")
    kinds = {name for name in names if name.startswith("components.records.kinds.")}
    assert {name.rpartition(".")[2] for name in kinds} == {"similarity", "regression"}


def test_a_module_of_another_package_brings_that_package(tmp_path, monkeypatch):
    folder = tmp_path / "digested"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "kind.py").write_text("from digested import vowels\n")
    (folder / "vowels.py").write_text("VOWELS = 'aeiou'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = digest.of_source("digested.kind")
    (folder / "vowels.py").write_text("VOWELS = 'aeiouy'\n")
    assert digest.of_source("digested.kind") != before


def test_a_module_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"no module models\.nowhere"):
        digest.of_source("models.nowhere")


def test_files_count_by_content_and_settings_by_value(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    whole = digest.of_files([f"{tmp_path}/*"], rate=1)
    assert whole == digest.of_files([f"{tmp_path}/a", f"{tmp_path}/b"], rate=1)
    assert whole != digest.of_files([f"{tmp_path}/*"], rate=2)
    (tmp_path / "b").write_text("3")
    assert whole != digest.of_files([f"{tmp_path}/*"], rate=1)


def test_a_folder_counts_by_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    before = digest.of_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest.of_folder(tmp_path) != before
