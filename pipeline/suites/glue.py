"""GLUE (Wang et al. 2018): its folders, columns and figures, and what Devlin et al. 2019 published."""

from typing import Any

from pipeline.suites.suite import Entry, Figure, Suite

# MultiNLI's genres (Williams et al. 2018): the first five are those of the train file.
_MATCHED = ("fiction", "government", "slate", "telephone", "travel")
_MISMATCHED = ("facetoface", "letters", "nineeleven", "oup", "verbatim")


def _genres(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"genre: {name}" for name in names)


def _entry(
    name: str,
    *figures: Figure,
    labels: tuple[str, ...] = ("0", "1"),
    dev: tuple[str, ...] = ("dev",),
    slices: tuple[str, ...] = (),
    **columns: Any,
) -> Entry:
    """A classification; TSV, where a quote is a letter."""
    data = {"path": f"{name}/train.tsv", "test": [f"{name}/{file}.tsv" for file in dev], **columns}
    task = {"type": "classification", "data": data, "labels": list(labels)}
    return Entry(name, task, figures, {"evaluate": {"slices": list(slices)}})


def _accuracy(base: float | None, large: float | None) -> Figure:
    return Figure("accuracy", "accuracy", (base, large))


SUITE = Suite(
    "glue",
    (
        _entry(
            "CoLA",
            Figure("MCC", "mcc", (52.1, 60.5)),
            header=["source", "label", "mark", "sentence"],
            text="sentence",
        ),
        _entry("SST-2", _accuracy(93.5, 94.9), text="sentence"),
        _entry(
            "MRPC",
            Figure("F1", "f1", (88.9, 89.3)),
            _accuracy(None, None),
            text="#1 String",
            text_pair="#2 String",
            label="Quality",
        ),
        Entry(
            "STS-B",
            {
                "type": "regression",
                "data": {
                    **{"path": "STS-B/train.tsv", "test": ["STS-B/dev.tsv"]},
                    **{"text": "sentence1", "text_pair": "sentence2", "label": "score", "min": 0.0, "max": 5.0},
                },
            },
            (Figure("Pearson", "pearson", (None, None)), Figure("Spearman", "spearman", (85.8, 86.5))),
        ),
        _entry(
            "QQP",
            Figure("F1", "f1", (71.2, 72.1)),
            _accuracy(None, None),
            text="question1",
            text_pair="question2",
            label="is_duplicate",
        ),
        _entry(
            "MNLI",
            Figure("accuracy, m", "accuracy", (84.6, 86.7), _genres(_MATCHED)),
            Figure("accuracy, mm", "accuracy", (83.4, 85.9), _genres(_MISMATCHED)),
            labels=("contradiction", "entailment", "neutral"),
            dev=("dev_matched", "dev_mismatched"),
            slices=("genre",),
            text="sentence1",
            text_pair="sentence2",
            label="gold_label",
        ),
        _entry(
            "QNLI",
            _accuracy(90.5, 92.7),
            labels=("not_entailment", "entailment"),
            text="question",
            text_pair="sentence",
        ),
        _entry(
            "RTE",
            _accuracy(66.4, 70.1),
            labels=("not_entailment", "entailment"),
            text="sentence1",
            text_pair="sentence2",
        ),
        _entry("WNLI", _accuracy(None, None), text="sentence1", text_pair="sentence2"),
    ),
    models=("BERT-base", "BERT-large"),
    averages=(79.6, 82.1),
    notes="dev: the official dev files. BERT's figures are of the test files (Devlin et al. 2019, table 1), and its "
    "average is over its nine figures, without WNLI; ours is GLUE's, of each task's mean.",
)
