"""The DAG's shapes, what decides reuse, and how files from outside come in."""

import logging
import pathlib
import shutil
import threading
import uuid

import pytest
import tensorflow as tf

from components import digest
from components.storage import files
from configs.base import ConfigError
from configs.clusters.kubeflow import Kubeflow
from configs.environment import Local
from models import progress
from models.checkpoints import checkpoint
from pipeline import loader
from pipeline.dag import create_pipeline
from pipeline.run import imports, outcome, runner
from pipeline.run.result import RunError

TINY = pathlib.Path(__file__).parents[1] / "data" / "bert_tiny"
TASK = """
name: shape
{start}
task:
  type: classification
  data: {{path: reviews.csv}}
  labels: [bad, good]
{more}
"""
CORPUS = "corpus: {path: text.txt}\npretrain: {steps: 1}\n"
SCRATCH = "vocabulary: {learn: 100}\nencoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}\n"
DATA_NODES = ["ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGate"]
LAST_NODES = ["Resolver", "Evaluator", "ServingValidator", "Pusher"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\nfine,good\npoor,bad\n")
    (tmp_path / "text.txt").write_text("one line\n\nanother line\n")
    return tmp_path


def experiment(text):
    pathlib.Path("shape.yaml").write_text(text)
    return loader.load("shape.yaml")


def nodes(made):
    return [component.id for component in made.components]


def whole():
    return experiment(TASK.format(start=SCRATCH, more=CORPUS))


def test_a_task_and_a_corpus_make_the_whole_dag():
    names = nodes(create_pipeline(whole(), Local()))
    assert set(names) == {
        *DATA_NODES,
        *(f"Corpus{name}" for name in DATA_NODES),
        "VocabularyGen",
        "CorpusTransform",
        "Transform",
        "Pretrainer",
        "Trainer",
        "Resolver",
        "Evaluator",
        "ServingValidator",
        "Pusher",
    }


def test_a_task_alone_starts_from_the_checkpoint():
    made = create_pipeline(experiment(TASK.format(start=f"checkpoint: {TINY}", more="")), Local())
    assert set(nodes(made)) == {
        *DATA_NODES, "Checkpoint", "VocabularyGen", "Transform", "Trainer", *LAST_NODES,
    }  # fmt: skip


def test_a_corpus_alone_is_pretrained_and_pushed():
    made = create_pipeline(experiment(f"name: shape\n{SCRATCH}{CORPUS}"), Local())
    assert set(nodes(made)) == {
        *DATA_NODES, "VocabularyGen", "Transform", "Pretrainer", *LAST_NODES,
    }  # fmt: skip


def test_an_analysis_alone_trains_and_pushes_nothing_and_its_tagged_words_have_a_gate():
    """Where the words lie decides nothing of the Analyzer; what they are reaches it as Examples."""
    (pathlib.Path("tags.conll")).write_text("The AT\njury NN\n\n", "utf-8")
    text = f"name: shape\ncheckpoint: {TINY}\ncorpus: {{path: text.txt}}\nanalyze: "
    made = create_pipeline(experiment(f"{text}{{}}"), Local())
    expected = {*DATA_NODES, "Checkpoint", "VocabularyGen", "Transform", "Analyzer", "Evaluator"}
    assert set(nodes(made)) == expected
    tagged = create_pipeline(
        experiment(f"{text}{{probes: {{pos: {{path: tags.conll}}}}, bless: {{probe_pos: 1}}}}"), Local()
    )
    assert set(nodes(tagged)) == expected | {f"Probe{name}" for name in DATA_NODES}
    analyzers = [{node.id: node for node in each.components}["Analyzer"] for each in (made, tagged)]
    assert analyzers[0].exec_properties == analyzers[1].exec_properties
    assert {node.id for node in analyzers[1].upstream_nodes} >= {"ProbeDataGate", "ProbeExampleGen"}
    exact = create_pipeline(experiment(f"deterministic: true\n{text}{{}}"), Local())
    assert {node.id: node for node in exact.components}["Analyzer"].exec_properties["deterministic"] == 1
    with pytest.raises(ConfigError, match="tasks does not ask for pos"):
        experiment(f"{text}{{probes: {{tasks: [length], pos: {{path: tags.conll}}}}}}")


def test_a_rehearsal_pushes_nothing():
    assert "Pusher" not in nodes(create_pipeline(whole(), Local(), sample=10))


def test_records_to_score_wait_for_both_blessings_and_change_no_other_node():
    start = f"checkpoint: {TINY}"
    before = create_pipeline(experiment(TASK.format(start=start, more="")), Local())
    after = create_pipeline(experiment(TASK.format(start=start, more="score: {path: reviews.csv}")), Local())
    assert set(nodes(after)) - set(nodes(before)) == {"ScoreExampleGen", "BulkInferrer"}
    assert all(properties(before, node) == properties(after, node) for node in nodes(before))
    made = {component.id: component for component in after.components}
    needed = {"Evaluator", "ServingValidator", "Trainer", "ScoreExampleGen"}
    assert {node.id for node in made["BulkInferrer"].upstream_nodes} == needed
    assert outcome.digests(after)["ScoreExampleGen"]


def test_nothing_is_tokenized_before_its_gate():
    made = {component.id: component for component in create_pipeline(whole(), Local()).components}
    assert made["DataGate"] in made["Transform"].upstream_nodes
    assert made["CorpusDataGate"] in made["CorpusTransform"].upstream_nodes
    assert {made["DataGate"], made["CorpusDataGate"]} <= set(made["VocabularyGen"].upstream_nodes)


def properties(made, node):
    return next(component for component in made.components if component.id == node).exec_properties


def test_an_edited_module_runs_its_node_again(monkeypatch):
    text = TASK.format(start=SCRATCH, more=CORPUS + "score: {path: reviews.csv}")
    before = create_pipeline(experiment(text), Local())
    read = pathlib.Path.read_bytes
    # As if every file had been edited.
    monkeypatch.setattr(digest.pathlib.Path, "read_bytes", lambda path: read(path) + b"#" * (path.suffix == ".py"))
    after = create_pipeline(experiment(text), Local())
    same = {node for node in nodes(before) if properties(before, node) == properties(after, node)}
    of_tfx = {f"{kind}{name}" for kind in ("", "Corpus") for name in ("SchemaGen", "ExampleValidator")}
    # The gates take a second; what Resolver and Pusher answer depends on more than their inputs.
    assert same == of_tfx | {"DataGate", "CorpusDataGate", "Resolver", "Pusher"}


def test_thresholds_are_no_reason_to_train_again():
    before = create_pipeline(whole(), Local())
    strict = loader.load("shape.yaml", ["evaluate.bless.accuracy=0.9"])
    after = create_pipeline(strict, Local())
    assert properties(before, "Trainer") == properties(after, "Trainer")
    assert properties(before, "Evaluator") != properties(after, "Evaluator")


def test_an_edited_input_is_another_input(folder):
    before = properties(create_pipeline(whole(), Local()), "ExampleGen")
    (folder / "reviews.csv").write_text("text,label\nfine,good\npoor,bad\nawful,bad\n")
    assert properties(create_pipeline(whole(), Local()), "ExampleGen") != before


def test_a_checkpoint_comes_in_under_its_content(folder):
    copied = shutil.copytree(TINY, folder / "bert")
    made = experiment(TASK.format(start="checkpoint: bert", more=""))
    first = imports.checkpoint(made, Local())
    assert imports.checkpoint(made, Local()) == first
    (copied / "vocab.txt").write_text((copied / "vocab.txt").read_text() + "newpiece\n")
    second = imports.checkpoint(made, Local())
    assert second != first
    assert outcome.digests(create_pipeline(made, Local()))["Checkpoint"] == second.name
    assert imports.start(made, Local()).name == "bert"
    # The first one is as it was: what was trained from it can be explained.
    assert not (first / "Format-Serving/assets.extra/checkpoint/vocab.txt").read_text().endswith("newpiece\n")


def test_a_smaller_start_is_made_once_and_a_larger_one_is_refused(folder):
    shutil.copytree(TINY, folder / Local().pushed("base") / "1/assets.extra/checkpoint")
    start = "checkpoint: {{experiment: base, layers: {0}}}"
    made = experiment(TASK.format(start=start.format(1), more=""))
    found = imports.start(made, Local())
    assert (found.name, checkpoint.read(found.folder).encoder["num_layers"]) == ("base v1, smaller", 1)
    written = [path.stat().st_mtime_ns for path in sorted(found.folder.iterdir())]
    assert imports.start(made, Local()).folder == found.folder
    assert [path.stat().st_mtime_ns for path in sorted(found.folder.iterdir())] == written
    with pytest.raises(ConfigError, match=r"^\$\.checkpoint: layers 9 is more than the 3 of the model"):
        imports.start(experiment(TASK.format(start=start.format(9), more="")), Local())


def test_a_folder_without_a_model_is_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"\$\.checkpoint: empty is no Hugging Face BERT folder"):
        imports.checkpoint(experiment(TASK.format(start="checkpoint: empty", more="")), Local())


def test_a_model_that_lies_in_a_bucket_is_fetched_and_comes_in_under_its_content(folder):
    """``ram://`` stands for gs://, which needs a key; a cluster's own check would refuse it."""
    cluster = Kubeflow.model_construct(kind="kubeflow", image="i", pipeline_root=f"ram://{uuid.uuid4()}/runs")
    made = experiment(TASK.format(start="checkpoint: {experiment: base}", more=""))
    with pytest.raises(ConfigError, match=r"experiment base has pushed no model to ram://.*/base; run it first"):
        imports.checkpoint(made, cluster)
    pushed = cluster.pushed("base")
    files.copy(str(TINY), f"{pushed}/1/assets.extra/checkpoint")
    with tf.io.gfile.GFile(f"{pushed}/1/saved_model.pb", "w") as file:
        file.write("graph")
    assert imports.start(made, cluster).name == "base v1"
    local = experiment(TASK.format(start=f"checkpoint: {TINY}", more=""))
    assert imports.checkpoint(made, cluster).name == imports.checkpoint(local, Local()).name


def test_an_experiment_that_pushed_nothing_is_named():
    made = experiment(TASK.format(start="checkpoint: {experiment: base}", more=""))
    with pytest.raises(ConfigError, match=r"experiment base has pushed no model to .*; run it first"):
        imports.checkpoint(made, Local())


def test_an_unknown_node_is_answered_with_the_known_ones():
    with pytest.raises(RunError, match=r"no node 'Training'; this experiment's are .*Trainer"):
        runner.run(whole(), Local(), from_nodes=["Training"])


def test_a_failed_run_is_on_record_with_its_sentence(folder):
    (folder / "reviews.csv").write_text("text,label\nfine,good\npoor,mediocre\n")
    from pipeline.run.result import RunResult
    from schemas import DataError

    with pytest.raises(DataError, match="label 'mediocre'"):
        runner.run(whole(), Local(), to_nodes=["ExampleGen"])
    recorded = RunResult.read(folder / "runs/shape/1")
    assert recorded.verdict == "failed"
    assert "label 'mediocre'" in recorded.error
    assert {node.node: node.state for node in recorded.nodes}["ExampleGen"] == "failed"
    assert not (folder / "runs/shape/tmp").exists()


def test_a_node_that_ends_drops_its_own_checkpoints_and_those_of_no_other_thread(folder):
    notes = runner._Notes(["Trainer", "Transform"])

    def told(*events):
        for event in events:
            notes.handle(logging.makeLogRecord({"event": event, "thread": threading.get_ident()}))

    places = [folder / "training", folder / "with another seed"]
    for state, kept in (("failed", True), ("ran", False)):
        told(progress.NodeStarted("Trainer"))
        for place in places:
            place.mkdir(exist_ok=True)
            told(progress.Checkpoints(str(place)))
        beside = threading.Thread(
            target=told, args=(progress.NodeStarted("Transform"), progress.NodeFinished("Transform", "ran", 1.0))
        )
        beside.start()
        beside.join()
        assert all(place.exists() for place in places)
        told(progress.Summary("accuracy"), progress.NodeFinished("Trainer", state, 1.0))
        assert [place.exists() for place in places] == [kept, kept]
    assert [(node.node, node.state, node.summary) for node in notes.nodes()] == [
        ("Trainer", "ran", "accuracy"),
        ("Transform", "ran", ""),
    ]
