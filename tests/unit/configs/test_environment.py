import pytest

from configs import environment
from configs.base import ConfigError


@pytest.mark.parametrize("name", ["local", "beam"])
def test_shipped_environments(name):
    found = environment.load(name)
    assert found.orchestrator == name
    assert found.beam_pipeline_args == ["--direct_running_mode=in_memory"]
    assert found.runs == "runs"


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("runs: /big/disk\ncheckpoint_root: /fast/disk\n")
    found = environment.load(str(file))
    assert str(found.pushed("x")) == "/big/disk/x/serving_model/x"
    # Never the experiment's own folder, wherever the root is: what is through is removed below it.
    assert found.checkpoints("x") == "/fast/disk/x/checkpoints"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "kind: kubeflaw\n",
            r"mine.yaml:1 \$.kind: allowed local\|kubeflow\|vertex, received 'kubeflaw', did you mean kubeflow\?",
        ),
        (
            "orchestrator: bean\n",
            r"mine.yaml:1 \$.orchestrator: allowed local\|beam, received 'bean', did you mean beam\?",
        ),
        ("run: x\n", r"\$.run: unknown key, did you mean runs\?"),
    ],
)
def test_faults(tmp_path, text, sentence):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        environment.load(str(file))


def test_an_unknown_name():
    with pytest.raises(
        ConfigError, match=r"--env: allowed beam\|kubeflow\|local\|vertex, received 'loca', did you mean local\?"
    ):
        environment.load("loca")
