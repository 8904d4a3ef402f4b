"""The page of a model that is seen alone, as on Kubeflow and Vertex: what it carries is shown."""

from components.evaluate.report import report
from components.evaluate.verdict import Check, Verdict
from components.train.provenance import FILE, Provenance

JUDGED = Verdict(
    blessed=True,
    checks=[Check(name="accuracy", value=0.9, relation="≥", bound=0.8, passed=True)],
    metrics={"accuracy": 0.9},
    n=100,
)
MADE = Provenance(
    records={"train": 800, "eval": 90},
    digest="0123456789abcdef",
    base="owner/</svg><script>",
    base_digest="fedcba9876543210",
    rows={"token_ids": {4: 700, 9: 100}},
)


def test_records_their_digest_and_the_base_model_are_on_the_page(tmp_path):
    (tmp_path / FILE).write_text(MADE.model_dump_json())
    found = report.of_model(JUDGED, [], tmp_path)
    assert found.sources[0].counts == {"train": 800, "eval": 90, "test": 100}
    assert found.edges == [("records", "training"), ("base", "training"), ("training", "model")]
    page = report.page(found)
    assert all(f"<h2>{part}</h2>" in page for part in ("Checks", "Figures", "Data", "Lineage"))
    assert page.index("<h2>Data</h2>") < page.index("<h2>Lineage</h2>")
    assert "How long rows are: tokens of 800 rows" in page
    assert {"01234567", "fedcba98"} == {
        digest for digest in ("01234567", "fedcba98", "89abcdef") if f">{digest}<" in page
    }
    assert "<script>" not in page


def test_random_weights_have_no_base_model(tmp_path):
    (tmp_path / FILE).write_text(MADE.model_copy(update={"base": "", "base_digest": ""}).model_dump_json())
    assert [box.id for box in report.of_model(JUDGED, [], tmp_path).boxes] == ["records", "training", "model"]


def test_an_older_model_has_neither_data_nor_lineage(tmp_path):
    page = report.page(report.of_model(JUDGED, [], tmp_path))
    assert "<h2>Data</h2>" not in page
    assert "<h2>Lineage</h2>" not in page


def test_bands_of_a_base_model_are_no_labels():
    figures = {"mlm_loss": 3.0, "mlm_loss[frequent]": 2.0, "perplexity[frequent]": 7.4, "mlm_loss[rare]": 9.0}
    page = report.page(report.of_model(Verdict(blessed=True, checks=[], metrics=figures, n=9), [], None))
    assert "<h3>By frequency</h3>" in page
    assert '<th scope="col">hidden pieces' in page
    assert page.index("<bdi>frequent</bdi>") < page.index("<bdi>rare</bdi>")
    assert "By label" not in page
