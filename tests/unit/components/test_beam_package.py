"""TFX's package for Beam's workers is built where workers are elsewhere, and only there."""

import tarfile
import tempfile

import pytest

from components import beam_package
from components.data import example_gen


@pytest.fixture(autouse=True)
def _made_here(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    beam_package.build_where_needed()


def executor(*flags):
    context = example_gen.Executor.Context(beam_pipeline_args=[*flags], tmp_dir="tmp", unique_id="1")
    return example_gen.Executor(context)


@pytest.mark.parametrize("flags", [[], ["--runner=DirectRunner"], ["--runner", "DirectRunner"]])
def test_workers_of_this_machine_get_none(tmp_path, flags):
    made = executor("--direct_running_mode=in_memory", *flags)
    assert made._beam_pipeline_args[0] == "--direct_running_mode=in_memory"
    assert not [flag for flag in made._beam_pipeline_args if "package" in flag]
    assert list(tmp_path.iterdir()) == []


def test_workers_elsewhere_get_it():
    made = executor("--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/t")
    (flag,) = [flag for flag in made._beam_pipeline_args if "package" in flag]
    with tarfile.open(flag.removeprefix("--extra_package=")) as package:
        assert any(name.endswith("/tfx/version.py") for name in package.getnames())


def test_an_image_that_has_it_needs_none(tmp_path):
    made = executor("--runner=DataflowRunner", "--sdk_container_image=registry.example.org/tfx-bert:1")
    assert not [flag for flag in made._beam_pipeline_args if "extra_package" in flag]
    assert list(tmp_path.iterdir()) == []
