"""What the pages of Kubeflow and Vertex show of a verdict."""

import html.parser
import json

import pytest
from google.protobuf import json_format
from kfp import dsl
from kfp.dsl import executor as kfp_executor
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

from components import artifacts
from components.evaluate import platform_pages
from components.evaluate.report import report
from components.evaluate.verdict import Check, Reference, Slice, Verdict
from configs import environment
from models.figures import Section
from pipeline import loader
from pipeline.cluster import compile as compiler

HOSTILE = ["<script>alert(1)</script>", '" onmouseover="alert(1)', "&lt;b&gt;"]
CHECKS = [
    Check(name="accuracy", value=0.871, relation="≥", bound=0.9, passed=False),
    Check(name="recall[good]", relation="≥", bound=0.5, passed=False, n=0),
    Check(name="change", value=-0.002, relation="≥", bound=-0.01, passed=True),
]
FIGURES = {"accuracy": 0.871, "f1": 0.5, "calibration": float("inf"), "recall[good]": 0.75}
REFUSED = Verdict(
    blessed=False,
    checks=CHECKS,
    metrics=FIGURES,
    n=1200,
    trivial=0.5,
    slices=[Slice(name="genre: 드라마", value=0.9, n=40)],
    baseline="gs://bucket/before",
)
BLESSED = Verdict(blessed=True, checks=CHECKS[2:], metrics={"accuracy": 0.871}, n=7)
PRETRAINED = Verdict(
    blessed=True,
    checks=[Check(name="mlm_loss", value=4.5, relation="≤", bound=5.0, passed=True, n=100)],
    metrics={"mlm_loss": 4.5, "mlm_accuracy": 0.25},
    n=100,
)


def confusion(labels, counts):
    rows = [[label, *row] for label, row in zip(labels, counts, strict=True)]
    return Section("Confusion", ["label ╲ answer", *labels], rows, "heat")


CURVE = [(1.0, 1.0, 0.0), (0.25, 1.0, 0.5), (0.0, 0.0, 1.0)]
SECTIONS = [
    confusion(["bad", "good"], [[5, 1], [0, 1]]),
    Section("ROC", ["false positives", "recall", "threshold"], CURVE, "lines"),
]


class Read(html.parser.HTMLParser):
    """The cells of a page by row, and its tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.headline, self._inside = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("header", "table"):
            self._inside = tag

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data):
        if self._inside == "header":
            self.headline += data
        elif self._inside == "table" and self.rows:
            self.rows[-1][-1] += data.strip("\n")


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """What the KFP SDK makes of what the node's container writes down, from the types that the compiler writes."""
    titles = {
        kind.TYPE_NAME: f"components.artifacts.{kind.__name__}"
        for kind in (artifacts.Metrics, artifacts.ClassificationMetrics, artifacts.HTML)
    }
    for title, path in titles.items():  # pipeline.cluster.container does this
        monkeypatch.setitem(compiler_utils.TITLE_TO_CLASS_PATH, title, path)

    def written(found, sections=()):
        given = pipeline_spec_pb2.ExecutorInput()
        for name, kind in platform_pages.OUTPUTS.items():
            if sections or name != "classification":
                made = given.outputs.artifacts[name].artifacts.add(uri=str(tmp_path / "task" / name))
                made.type.schema_title = kind.type.TYPE_NAME
        outputs = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(given.outputs.artifacts, {})
        platform_pages.write(outputs, found, sections)
        told = kubeflow_v2_entrypoint_utils.translate_executor_output(outputs, {})
        found = {}
        for name, made in told.items():
            (runtime,) = json_format.MessageToDict(made)["artifacts"]
            title = given.outputs.artifacts[name].artifacts[0].type.schema_title
            found[name] = kfp_executor.create_artifact_instance(runtime | {"type": {"schemaTitle": title}})
        return found

    return written


def test_the_verdict_of_a_classifier(shown):
    found = shown(REFUSED, SECTIONS)
    assert {name: type(made) for name, made in found.items()} == {
        "metrics": dsl.Metrics,
        "classification": dsl.ClassificationMetrics,
        "report": dsl.HTML,
    }
    # Numbers only, none of single labels, none that JSON lacks.
    assert found["metrics"].metadata == {
        "blessed": 0.0,
        "failed_checks": 2.0,
        "records": 1200.0,
        "accuracy": 0.871,
        "f1": 0.5,
    }
    assert found["classification"].metadata == {
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": "bad"}, {"displayName": "good"}],
            "rows": [{"row": [5.0, 1.0]}, {"row": [0.0, 1.0]}],
        },
        "confidenceMetrics": [
            {"confidenceThreshold": 0.0, "recall": 1.0, "falsePositiveRate": 1.0},
            {"confidenceThreshold": 0.5, "recall": 1.0, "falsePositiveRate": 0.25},
            {"confidenceThreshold": 1.0, "recall": 0.0, "falsePositiveRate": 0.0},
        ],
    }
    with open(found["report"].uri, encoding="utf-8") as file:  # noqa: PTH123 (the URI names the file)
        page = Read(file.read())
    assert page.headline == "Not blessedaccuracy 0.871 on 1,200 records · 1 of 3 checks passed"
    for row in (
        ["accuracy", "0.871", "≥ 0.900", "", "✗ failed"],
        ["recall[good]", "none", "≥ 0.500", "0", "✗ failed"],
        ["change", "−0.002", "≥ −0.010", "", "✓ passed"],
        ["genre: 드라마", "0.900", "40", ""],
        ["label ╲ answer", "bad", "good"],
        ["bad", "5", "1"],
    ):
        assert row in page.rows


def test_the_verdict_of_a_model_that_is_blessed(shown):
    found = shown(BLESSED, SECTIONS)
    assert found["metrics"].metadata == {"blessed": 1.0, "failed_checks": 0.0, "records": 7.0, "accuracy": 0.871}
    assert (
        Read(report.page(report.of_model(BLESSED, (), None))).headline
        == "Blessedaccuracy 0.871 on 7 records · 1 of 1 checks passed"
    )
    computed = BLESSED.model_copy(update={"computed": {"chrf": "chrF2|<nrefs>:1"}})
    assert "chrF2|&lt;nrefs&gt;:1" in report.page(report.of_model(computed, (), None))


def test_the_verdict_of_pretraining_has_no_classes(shown):
    found = shown(PRETRAINED)
    assert found.keys() == {"metrics", "report"}
    assert found["metrics"].metadata["mlm_loss"] == 4.5
    assert ["mlm_loss", "4.500", "≤ 5.000", "100", "✓ passed"] in Read(
        report.page(report.of_model(PRETRAINED, (), None))
    ).rows


def test_a_matrix_that_nobody_could_read_is_left_out(shown):
    labels = [str(number) for number in range(101)]
    counts = [[3 if (row, place) == (7, 100) else 0 for place in range(101)] for row in range(101)]
    found = shown(BLESSED, [confusion(labels, counts)])
    assert found["classification"].metadata == {}
    with open(found["report"].uri, encoding="utf-8") as file:  # noqa: PTH123 (the URI names the file)
        page = Read(file.read())
    assert ["7", "100", "3"] in page.rows
    assert max(map(len, page.rows)) < 10


def test_the_largest_matrix_fits_into_an_artifact(shown):
    """Vertex takes 200 kB of metadata."""
    found = shown(BLESSED, [confusion([f"label {number}" for number in range(100)], [[1_000_000] * 100] * 100)])
    assert len(json.dumps(found["classification"].metadata)) < 200_000


def test_texts_of_others_are_texts():
    checks = [Check(name=f"recall[{HOSTILE[0]}]", value=1.0, relation="≥", bound=0.5, passed=True)]
    found = Verdict(
        blessed=True,
        checks=checks,
        metrics={"accuracy": 1.0, f"precision[{HOSTILE[1]}]": 1.0},
        n=3,
        slices=[Slice(name=f"genre: {HOSTILE[0]}", value=1.0, n=3)],
        baseline=HOSTILE[0],
    )
    curve = Section("ROC", ["false positives", HOSTILE[1], "threshold"], CURVE, "lines")
    sections = [confusion(HOSTILE, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]), curve]
    sections.append(Section("Labels", ["label", HOSTILE[2]], [[HOSTILE[0], 0.5]]))
    page = Read(report.page(report.of_model(found, sections, None)))
    allowed = {
        "svg",
        "path",
        "html",
        "meta",
        "title",
        "style",
        "main",
        "header",
        "section",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
    }
    allowed |= {"table", "thead", "tbody", "tr", "th", "td", "b", "bdi", "span", "figure", "figcaption", "details"}
    assert {tag for tag, _ in page.tags} <= allowed | {"summary"}
    assert {name for _, attributes in page.tags for name in attributes} <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "style", "tabindex"),
        *("viewbox", "preserveaspectratio", "role", "aria-label", "aria-hidden", "d"),
    }
    assert ["label ╲ answer", *HOSTILE] in page.rows
    assert [HOSTILE[1], "1.000"] in page.rows
    assert [HOSTILE[0], "0.500"] in page.rows


def test_baselines_and_intervals_are_rows_of_the_page():
    majority = Reference(name="majority", value=0.512, difference=0.359, low=0.301, high=0.412)
    constant = Reference(name=HOSTILE[0], metrics={"mse": 1.0})
    found = REFUSED.model_copy(update={"baselines": [majority, constant], "intervals": {"accuracy": (0.85, 0.892)}})
    rows = Read(report.page(report.of_model(found, (), None))).rows
    assert ["majority", "0.512", "0.359", "0.301 … 0.412"] in rows
    assert [HOSTILE[0], "none", "none", ""] in rows
    assert ["figure", "model", "95 % interval", "majority", HOSTILE[0]] in rows
    assert ["accuracy", "0.871", "0.850 … 0.892", "0.512", "–"] in rows


def test_kubeflow_is_told_its_own_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one line\n\nanother line\n")
    (tmp_path / "base.yaml").write_text(
        "name: base\nvocabulary: {learn: 100}\nencoder: {num_layers: 1, hidden_dim: 8, num_heads: 1}\n"
        "corpus: {path: text.txt}\npretrain: {steps: 1}\n"
    )
    spec = compiler.compiled(loader.load("base.yaml"), environment.load("kubeflow")).pipeline
    made = spec["components"]["Evaluator"]["outputDefinitions"]["artifacts"]
    assert {name: each["artifactType"].get("schemaTitle") for name, each in made.items()} == {
        "metrics": "system.Metrics",
        "report": "system.HTML",
        "evaluation": None,
        "blessing": None,
    }
    assert made["metrics"]["artifactType"] == {"schemaTitle": "system.Metrics", "schemaVersion": "0.0.1"}
