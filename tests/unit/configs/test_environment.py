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


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--runner=DataflowRunner"], "Dataflow's workers see no folder of this machine; give kind: vertex"),
        (["--runner=PortableRunner", "--job_endpoint=h:1"], "PortableRunner would start its workers in containers"),
        (["--runner=FlinkRunner", "--flink_master=h:8081"], "FlinkRunner would start its workers in containers"),
        (["--runner=SparkRunner", "--environment_type=DOCKER"], "SparkRunner would start its workers in containers"),
    ],
)
def test_runners_whose_workers_see_no_folder_of_this_machine(tmp_path, flags, sentence):
    file = tmp_path / "mine.yaml"
    file.write_text(f"beam_pipeline_args: {flags}\n")
    with pytest.raises(ConfigError, match=rf"mine.yaml:1 \$.beam_pipeline_args: {sentence}"):
        environment.load(str(file))


@pytest.mark.parametrize(
    "flags",
    [
        ["--runner=PrismRunner"],
        ["--runner=FlinkRunner"],
        ["--runner=SparkRunner", "--spark_master_url=local[2]"],
        ["--runner=FlinkRunner", "--flink_master=h:8081", "--environment_type=PROCESS"],
        ["--runner=PortableRunner", "--job_endpoint=h:1", "--environment_type=EXTERNAL", "--environment_config=h:2"],
    ],
)
def test_runners_whose_workers_do(tmp_path, flags):
    file = tmp_path / "mine.yaml"
    file.write_text(f"beam_pipeline_args: {flags}\n")
    assert environment.load(str(file)).beam_pipeline_args == flags


def test_an_unknown_name():
    with pytest.raises(
        ConfigError, match=r"--env: allowed beam\|kubeflow\|local\|vertex, received 'loca', did you mean local\?"
    ):
        environment.load("loca")
