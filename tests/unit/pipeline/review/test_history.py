import dataclasses

import pytest
from click.testing import CliRunner
from filelock import FileLock
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline import cli, loader
from pipeline.inference.predict import newest
from pipeline.review.diff import flips
from pipeline.review.errors import Answer
from pipeline.review.history import changed
from pipeline.run import lineage
from pipeline.run.result import Node, Pushed, RunError, RunResult

YAML = """name: reviews
checkpoint: klue
task: {type: classification, data: {path: data/reviews.csv}, labels: [a, b]}
"""


class Store:
    """MLMD filled as TFX fills it."""

    def __init__(self, folder):
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(folder / lineage.FILE)
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store, self.folder = metadata_store.MetadataStore(config), folder
        self.types = {
            name: self.store.put_context_type(mlmd.ContextType(name=name)) for name in ("node", "pipeline_run")
        }
        self.execution_type = self.store.put_execution_type(mlmd.ExecutionType(name="node"))
        self.artifact_type = self.store.put_artifact_type(mlmd.ArtifactType(name="Thing"))
        self.contexts = {}

    def context(self, kind, name):
        if name not in self.contexts:
            (found,) = self.store.put_contexts([mlmd.Context(type_id=self.types[kind], name=name)])
            self.contexts[name] = found
        return self.contexts[name]

    def node(self, run, node, inputs=(), outputs=(), reused=()):
        """``outputs`` are made; ``reused`` are ids of artifacts that an earlier run made."""
        state = mlmd.Execution.CACHED if reused else mlmd.Execution.COMPLETE
        (execution,) = self.store.put_executions([mlmd.Execution(type_id=self.execution_type, last_known_state=state)])
        uris = [str(self.folder / "artifacts" / node / key / str(execution)) for key in outputs]
        made = self.store.put_artifacts([mlmd.Artifact(type_id=self.artifact_type, uri=uri) for uri in uris])
        events = [(mlmd.Event.OUTPUT, artifact) for artifact in [*made, *reused]]
        events += [(mlmd.Event.INPUT, artifact) for artifact in inputs]
        for kind, artifact in events:
            event = mlmd.Event(execution_id=execution, artifact_id=artifact, type=kind)
            event.path.steps.add().key = "it"
            self.store.put_events([event])
        links = [self.context("node", f"reviews.{node}"), self.context("pipeline_run", run)]
        self.store.put_attributions_and_associations(
            [], [mlmd.Association(execution_id=execution, context_id=link) for link in links]
        )
        return list(made)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs of an experiment: the first one made everything, the second one reused the examples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "runs" / "reviews"
    folder.mkdir(parents=True)
    store = Store(folder)
    examples = store.node("one", "ExampleGen", outputs=["examples"])
    vocabulary = store.node("one", "VocabularyGen", examples, ["vocabulary"])
    base = store.node("one", "Checkpoint", outputs=["result"])
    store.node("one", "Trainer", [*examples, *vocabulary, *base], ["model"])
    store.node("two", "ExampleGen", reused=examples)
    store.node("two", "VocabularyGen", examples, reused=vocabulary)
    store.node("two", "Checkpoint", reused=base)
    store.node("two", "Trainer", [*examples, *vocabulary, *base], ["model"])
    (tmp_path / "x.yaml").write_text(YAML)
    for number, run, verdict, state, rate in (
        (1, "one", "blessed", "ran", "3e-5"),
        (2, "two", "not_blessed", "cached", "1e-4"),
    ):
        place = folder / str(number)
        place.mkdir()
        loader.save_resolved(loader.load("x.yaml", [f"train.learning_rate={rate}"]), place / "experiment.resolved.yaml")
        RunResult(
            name="reviews",
            number=number,
            verdict=verdict,
            started=f"2026-01-0{number}T03:04:05+00:00",
            seconds=312,
            git="3f2c1a",
            pipeline_run=run,
            metrics={"accuracy": 0.87 + number / 100},
            fine_tuned="eval accuracy 0.882 ± 0.013 over 2 seeds, best 0.891 (seed 2) · seeds 1: 0.873, 2: 0.891",
            checkpoint="chat-bert v4",
            data={"ExampleGen": "9e1b77", "Checkpoint": "77c0aa"},
            nodes=[
                Node(node="ExampleGen", state=state, seconds=2),
                Node(node="Trainer", state="ran", seconds=241),
                Node(node="Pusher", state="skipped"),
            ],
            pushed=Pushed(version=1, path="x") if number == 1 else None,
        ).write(place)
    return tmp_path / "runs"


def tfx_bert(*arguments):
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_runs_are_listed_oldest_first(runs):
    lines = tfx_bert("runs")
    assert [line.split() for line in lines] == [
        ["reviews/1", "2026-01-01", "03:04", "5:12", "BLESSED", "accuracy", ".880", "v1"],
        ["reviews/2", "2026-01-02", "03:04", "5:12", "NOT", "BLESSED", "accuracy", ".890"],
    ]


def test_show_tells_what_changed_what_was_reused_and_where_it_came_from(runs):
    lines = tfx_bert("show", "reviews")
    assert lines[:7] == [
        "reviews #2 NOT BLESSED · 5:12 · 2026-01-02 03:04 · git 3f2c1a",
        "changed since #1: train.learning_rate 3e-5→1e-4",
        "ExampleGen cached(#1) · Trainer 4:01 · Pusher skipped",
        "accuracy .890",
        "fine-tuned: eval accuracy 0.882 ± 0.013 over 2 seeds, best 0.891 (seed 2) · seeds 1: 0.873, 2: 0.891",
        "lineage: reviews.csv@9e1b → vocabulary → chat-bert v4@77c0 → model (not pushed)",
        "artifacts in runs/reviews/artifacts/: ExampleGen/examples/1 · VocabularyGen/vocabulary/2"
        " · Checkpoint/result/3 · Trainer/model/8",
    ]
    assert tfx_bert("show", "1")[0].startswith("reviews #1 BLESSED")


def test_show_tells_that_a_run_came_to_the_model_that_is_served(runs):
    place = runs / "reviews" / "2"
    same = {"verdict": "blessed", "pushed": None, "serving": 1}
    RunResult.read(place).model_copy(update=same).write(place)
    lines = tfx_bert("show", "reviews")
    assert "lineage: reviews.csv@9e1b → vocabulary → chat-bert v4@77c0 → same as v1" in lines


def test_a_run_that_was_killed_is_not_running(runs):
    place = runs / "reviews" / "3"
    place.mkdir()
    RunResult(name="reviews", number=3, verdict="running", started="2026-01-03T03:04:05+00:00").write(place)
    assert "KILLED" in tfx_bert("runs")[-1]
    with FileLock(runs / "reviews" / ".lock"):
        assert "RUNNING" in tfx_bert("runs")[-1]


def test_a_damaged_run_hides_no_other(runs):
    place = runs / "reviews" / "3"
    place.mkdir()
    (place / "result.json").write_text('{"name": "reviews"')
    lines = tfx_bert("runs")
    assert [line.split()[0] for line in lines] == ["reviews/1", "reviews/2", "!"]
    assert "reviews/3/result.json is damaged" in lines[-1]
    assert tfx_bert("show", "reviews/2")[0].startswith("reviews #2")


def test_lineage_of_a_reused_node_leads_to_the_run_that_made_it(runs):
    found = {each.node: each for each in lineage.executions(runs / "reviews", "two")}
    assert (found["ExampleGen"].cached, found["ExampleGen"].made_in) == (True, "one")
    assert (found["Trainer"].cached, found["Trainer"].made_in) == (False, "two")
    before = [each.node for each in lineage.ancestors(list(found.values()), "Trainer")]
    assert before == ["ExampleGen", "VocabularyGen", "Checkpoint"]
    assert lineage.executions(runs / "reviews", "three") == []


def test_changed_names_added_and_removed_values(tmp_path):
    before, after = tmp_path / "a.yaml", tmp_path / "b.yaml"
    before.write_text("a: {b: 1, c: x}\n")
    after.write_text("a: {b: 2, d: [y]}\n")
    assert changed(before, after) == ["a.b 1→2", "a.c x→(none)", "a.d (none)→[y]"]
    assert changed(before, before) == []


def answer(line, label, predicted):
    return Answer(f"r.csv:{line}", f"text {line}", label, predicted, 0.9 * (label != predicted), 0.9)


def test_flips_say_whether_it_got_better():
    before = [answer(1, "a", "a"), answer(2, "a", "b"), answer(3, "b", "c"), answer(4, "a", "a"), answer(5, "a", "a")]
    after = [answer(1, "a", "b"), answer(2, "a", "a"), answer(3, "b", "a"), answer(4, "a", "a"), answer(9, "a", "a")]
    assert flips(before, after) == "predictions: 3 of 4 flipped · 1 mended · 1 broken  first r.csv:1"
    assert flips(before, before) == "predictions: 0 of 5 flipped · 0 mended · 0 broken"


def test_of_equal_texts_the_first_is_the_first():
    """Two people who did the same, and went on with ``a`` and with ``b``."""
    before, after = (
        [dataclasses.replace(answer(line, label, said), text="50") for line, label in ((1, "a"), (2, "b"))]
        for said in "ab"
    )
    assert flips(before, after) == "predictions: 2 of 2 flipped · 1 mended · 1 broken  first r.csv:1"


def test_flips_say_which_translations_came_nearer():
    def translation(line, written, wrong):
        return Answer(f"r.csv:{line}", f"text {line}", "저장", written, wrong)

    before = [translation(1, "a", 0.9), translation(2, "저", 0.5), translation(3, "b", 0.9), translation(4, "c", 0.9)]
    after = [translation(1, "저", 0.5), translation(2, "x", 0.9), translation(3, "저장", 0.0), translation(4, "c", 0.9)]
    assert flips(before, after) == (
        "predictions: 3 of 4 flipped · 1 mended · 0 broken · 1 nearer · 1 farther  first r.csv:1"
    )


def test_the_newest_model_answers(tmp_path):
    import os

    for age, place in enumerate(("a/serving_model/a/9", "a/serving_model/a/10", "b/serving_model/b/1")):
        (tmp_path / place).mkdir(parents=True)
        os.utime(tmp_path / place, (age, age))
    assert newest(tmp_path, None) == tmp_path / "b/serving_model/b/1"
    assert newest(tmp_path, "a").name == "10"
    assert newest(tmp_path, "a/9").name == "9"
    assert newest(tmp_path, "a/v9").name == "9"
    for missing in ("c", "a/11"):
        with pytest.raises(RunError, match=f"{missing} has no pushed model"):
            newest(tmp_path, missing)


def test_logs_are_the_whole_file_or_the_part_of_a_node(runs):
    (runs / "reviews" / "2" / "run.log").write_text(
        "12:00 I tfx_bert: reviews #2 started in x\n"
        "12:00 I tfx_bert: ExampleGen started\n"
        "12:01 I absl: reading\n"
        "12:02 I tfx_bert: ExampleGen ran · 2.0 s\n"
        "12:02 I tfx_bert: Trainer started\n"
        "12:03 I tfx_bert: epoch 1/1 · step 1/1\n"
        "Traceback: [red]no markup[/red]\n"
    )
    assert len(tfx_bert("logs")) == 7
    assert tfx_bert("logs", "reviews/2", "--node", "ExampleGen") == [
        "12:00 I tfx_bert: ExampleGen started",
        "12:01 I absl: reading",
        "12:02 I tfx_bert: ExampleGen ran · 2.0 s",
    ]
    # A node that was killed wrote no end.
    assert tfx_bert("logs", "--node", "Trainer")[-1] == "Traceback: [red]no markup[/red]"


def test_logs_that_are_not_there_are_said_to_be_missing(runs):
    for arguments, told in (
        (["logs", "reviews/1"], "run.log is not there"),
        (["logs", "--node", "Nobody"], "has no node 'Nobody'; there are ExampleGen, Trainer, Pusher"),
        (["stop"], "is a run of this machine"),
    ):
        result = CliRunner().invoke(cli.main, arguments)
        assert result.exit_code == 1 and told in result.output
