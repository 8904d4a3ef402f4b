"""What several component tests need. The imports stand inside: pytest's own process would import TensorFlow too."""

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def transforming():
    """``pieces`` of the vocabulary; ``example(**columns)``, serialized; ``run(folder, rows, schema, …)``."""
    from tests.component.transforming import PIECES, example, run, run_tfx

    return SimpleNamespace(pieces=PIECES, example=example, run=run, run_tfx=run_tfx)


@pytest.fixture(scope="session", autouse=True)
def _no_package():
    """As in a run."""
    from components import beam_package

    beam_package.build_where_needed()


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Google's storage, as TensorFlow's own client speaks to it."""
    from tests.component import gcs

    (tmp_path / "tls").mkdir()
    with gcs.served(tmp_path / "tls") as (bucket, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield bucket


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with what Transform wrote of documents."""
    from tests.component import trainings

    folder = tmp_path_factory.mktemp("corpus")
    trainings.write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """A folder with what Transform wrote of labelled sentences."""
    from tests.component import trainings

    folder = tmp_path_factory.mktemp("labelled")
    trainings.write_labelled(folder)
    return folder


@pytest.fixture(scope="session")
def base(corpus, tmp_path_factory):
    """A folder with a base model, and what the Pretrainer told."""
    from tests.component import trainings

    folder = tmp_path_factory.mktemp("base")
    return folder, trainings.pretrained(corpus, folder)


@pytest.fixture
def every_step(monkeypatch):
    """Every step is told, and followed by a checkpoint."""
    monkeypatch.setattr("models.training.training_loop._REPORT_SECONDS", 0.0)
