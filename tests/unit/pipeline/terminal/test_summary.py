import io
import pathlib

import pytest
from rich.console import Console

from components.evaluate.verdict import Check, Reference, Slice
from pipeline import loader
from pipeline.run.result import Pushed, RunResult
from pipeline.terminal import summary
from pipeline.terminal.numbers import clock, plain, scientific, share, size

BLESSED = RunResult(
    name="sentiment",
    number=1,
    verdict="blessed",
    started="2026-01-02T03:04:05+00:00",
    seconds=408,
    metrics={"accuracy": 0.881, "f1": 0.879, "recall[negative]": 0.9},
    trivial=0.505,
    weakest=Slice(name="1-8 words", value=0.842, n=191),
    checks=[Check(name="accuracy", value=0.881, relation="≥", bound=0.87, passed=True)],
    pushed=Pushed(version=1, path="runs/sentiment/serving_model/sentiment/1"),
    serving=1,
    tried=['"a gorgeous film" → positive .98', '"dull" → negative .91'],
)
CHECKS = [
    Check(name="accuracy", value=0.874, relation="≥", bound=0.87, passed=True),
    Check(name="recall[부정]", value=0.611, relation="≥", bound=0.7, passed=False, n=312),
    Check(name="change from v1", value=-0.002, relation="≥", bound=-0.01, passed=True),
]


def told(result, experiment="sentiment", root=pathlib.Path("nowhere")):
    out = io.StringIO()
    summary.verdict(Console(file=out, width=80, color_system=None), result, loader.load(experiment), root)
    return out.getvalue().splitlines()


def test_a_training_that_may_end_early_took_at_most_its_epochs():
    assert summary.trained_on(loader.load("movies")) == "from nothing → at most 200 epochs on data/ml-100k.inter"


def test_blessed():
    assert told(BLESSED) == [
        "BLESSED, pushed v1 in 6:48",
        "trained: from data/minilm → 100 steps of MLM + NSP on data/movie_dialogues.csv → "
        "2 epochs on data/movie_reviews.csv",
        "accuracy .881 ≥ .870 · f1 .879 · majority .505 · weakest: 1-8 words .842 (n=191)",
        "model: runs/sentiment/serving_model/sentiment/1",
        '"a gorgeous film" → positive .98',
        '"dull" → negative .91',
        'Next:  tfx-bert predict "…" | tfx-bert errors | tfx-bert show',
        "Yours: tfx-bert init --data reviews.csv",
    ]


def test_the_report_is_named_where_there_is_one(tmp_path):
    (tmp_path / "sentiment" / "1").mkdir(parents=True)
    (tmp_path / "sentiment" / "1" / "report.html").touch()
    assert f"report: {tmp_path}/sentiment/1/report.html" in told(BLESSED, root=tmp_path)


COMPARED = {
    "baselines": [Reference(name="majority", value=0.512), Reference(name="tfidf", value=0.8123), Reference(name="x")],
    "intervals": {"accuracy": (0.861, 0.901), "change": (-0.03, 0.028)},
}


def test_baselines_and_intervals_stand_beside_the_figures():
    compared = BLESSED.model_copy(update=COMPARED)
    assert told(compared)[2] == (
        "accuracy .881 ≥ .870 ±.020 · f1 .879 · majority .512 · tfidf .812 · x none · weakest: 1-8 words .842 (n=191)"
    )
    refused = compared.model_copy(update={"verdict": "not_blessed", "checks": CHECKS})
    assert told(refused)[2:6] == [
        "✓ accuracy        .874 ≥ .870 ±.020",
        "✗ recall[부정]    .611 ≥ .700  n=312",
        "✓ change from v1  −.002 ≥ −.010 ±.029",
        "majority .512 · tfidf .812 · x none",
    ]
    assert RunResult.model_validate_json(compared.model_dump_json()) == compared


def test_not_blessed_names_metric_value_threshold_and_count():
    refused = BLESSED.model_copy(
        update={
            "verdict": "not_blessed",
            "checks": CHECKS,
            "pushed": None,
            "number": 2,
            "most_missed": ("부정", "중립"),
        }
    )
    lines = told(refused)
    assert lines[0] == "NOT BLESSED: 1 of 3 failed; v1 unchanged (exit 4)"
    assert lines[2:5] == [
        "✓ accuracy        .874 ≥ .870",
        "✗ recall[부정]    .611 ≥ .700  n=312",
        "✓ change from v1  −.002 ≥ −.010",
    ]
    assert lines[-1] == "Most missed 부정 became 중립 → tfx-bert errors sentiment/2"


def test_a_base_model_is_a_start_for_others():
    result = BLESSED.model_copy(update={"name": "korean", "metrics": {"mlm_loss": 5.1}, "checks": [], "tried": []})
    lines = told(result, "korean")
    assert lines[1] == "trained: from nothing → 400 steps of MLM on data/libreoffice_ko.jsonl"
    assert lines[-1] == "Next:  checkpoint: {experiment: korean} in another experiment starts from it"


@pytest.mark.parametrize(
    ("update", "headline"),
    [
        ({"verdict": "blessed", "pushed": None}, "BLESSED; same as v1, nothing pushed (6:48)"),
        ({"verdict": "done", "sample": 200}, "DONE: 200 records went through every node in 6:48; nothing pushed"),
        ({"verdict": "done"}, "DONE in 6:48; nothing to bless or push"),
        ({"verdict": "not_blessed", "serving": None, "checks": CHECKS}, "NOT BLESSED: 1 of 3 failed (exit 4)"),
    ],
)
def test_headlines(update, headline):
    assert told(BLESSED.model_copy(update=update))[0] == headline


def test_figures():
    assert [plain(value) for value in (0.881, 0.0, -0.002, -0.0001, 1.0, 3.1234, 12.34, float("nan"))] == [
        ".881", ".000", "−.002", ".000", "1.00", "3.12", "12.3", "none",
    ]  # fmt: skip
    assert [clock(seconds) for seconds in (0, 59.6, 408, 3723)] == ["0:00", "1:00", "6:48", "1:02:03"]
    assert [size(count) for count in (10, 84_000_000, 2.1e9)] == ["10 B", "84 MB", "2.1 GB"]
    assert (share(0.61), scientific(2.1e-5), scientific(0.0)) == ("61 %", "2.1e-5", "0.0e0")


def test_warnings_stand_below_the_figures():
    shown = BLESSED.model_copy(update={"warnings": ["Hardly ever found on the test split: neutral (0 of 13)"]})
    assert told(shown)[3] == "! Hardly ever found on the test split: neutral (0 of 13)"


def test_how_figures_were_computed():
    shown = BLESSED.model_copy(update={"computed": {"chrf": "chrF2|nrefs:1|version:2.6.0"}})
    assert told(shown)[3] == "chrF2|nrefs:1|version:2.6.0"
