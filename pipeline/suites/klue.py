"""KLUE (Park et al. 2021), version 1.1: its folders, keys and figures, and what its authors published.

Five of its eight tasks: relation extraction, dependency parsing and dialogue state tracking need heads that are not
here. Lengths are those of KLUE-baseline's ``run_all.sh``.
"""

from typing import Any

from pipeline.suites.suite import Entry, Figure, Suite


def _files(folder: str, ending: str = "json") -> dict[str, Any]:
    return {"path": f"{folder}/{folder}_train.{ending}", "test": [f"{folder}/{folder}_dev.{ending}"]}


SUITE = Suite(
    "klue",
    (
        Entry(
            "YNAT",
            {
                "type": "classification",
                "data": {**_files("ynat-v1.1"), "text": "title"},
                "labels": ["정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠"],
            },
            (Figure("macro F1", "f1", (85.73, 81.55)),),
        ),
        Entry(
            "STS",
            {
                "type": "regression",
                "data": {
                    **_files("klue-sts-v1.1"),
                    **{"text": "sentence1", "text_pair": "sentence2", "label": "labels.real-label"},
                },
                "threshold": 3.0,
            },
            (Figure("Pearson", "pearson", (90.85, 84.66)), Figure("F1", "f1", (82.84, 76.00))),
        ),
        Entry(
            "NLI",
            {
                "type": "classification",
                "data": {
                    **_files("klue-nli-v1.1"),
                    **{"text": "premise", "text_pair": "hypothesis", "label": "gold_label"},
                },
                "labels": ["contradiction", "entailment", "neutral"],
            },
            (Figure("accuracy", "accuracy", (81.63, 73.20)),),
        ),
        Entry(
            "NER",
            {
                "type": "token_classification",
                "data": {**_files("klue-ner-v1.1", "tsv"), "format": "conll", "unit": "character"},
                "labels": ["PS", "LC", "OG", "DT", "TI", "QT"],
                "max_length": 510,
            },
            (
                Figure("entity macro F1", "entity_f1_macro", (83.97, 76.50)),
                Figure("character macro F1", "character_f1_macro", (91.39, 89.23)),
            ),
        ),
        Entry(
            "MRC",
            {
                "type": "question_answering",
                "data": _files("klue-mrc-v1.1"),
                "max_length": 512,
                "no_answer": True,
            },
            (Figure("exact match", "exact", (62.32, 44.66)), Figure("ROUGE-W", "rouge_w", (68.51, 55.92))),
            {"train": {"batch_size": 16}},  # questions, of several windows each
        ),
    ),
    models=("KLUE-BERT-base", "mBERT-base"),
    averages=None,
    notes="dev: the official dev files. The others' figures are those of KLUE's README, which names no split.",
)
