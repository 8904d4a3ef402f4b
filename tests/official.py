"""Tiny folders in the official layout of GLUE and of KLUE: columns, headers and quirks of the published files."""

import json
import pathlib
import random

WORDS = ["a", "good", "film", "is", "not", '"bad"', "to", "see", "again", "he", "said", "so"]
KOREAN = ["그", "영화는", "정말", "좋다", "어제", "서울에서", "'다시'", "보았다", "그리고", "아니다"]
GENRES = {
    "train": ["fiction", "government", "slate", "telephone", "travel"],
    "dev_matched": ["fiction", "government", "slate", "telephone", "travel"],
    "dev_mismatched": ["facetoface", "letters", "nineeleven", "oup", "verbatim"],
}
NLI = ["contradiction", "entailment", "neutral"]
ENTAILED = ["not_entailment", "entailment"]


def _sentences(count, words, seed):
    """Distinct ones."""
    chance, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        found[" ".join(chance.choices(words, k=chance.randint(4, 9)))] = None
    return list(found)


def _tsv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in ([header, *rows] if header else rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def glue(root: pathlib.Path, count: int = 40) -> None:
    """All nine tasks, ``count`` records a file."""
    for split in ("train", "dev"):
        first, second = (_sentences(count, WORDS, f"{split}{which}") for which in "ab")
        pairs = list(zip(range(count), first, second, strict=True))
        both = [n % 2 for n in range(count)]
        _tsv(
            root / f"CoLA/{split}.tsv",
            None,
            [("gj04", y, "*" * (1 - y), a) for (_, a, _), y in zip(pairs, both, strict=True)],
        )
        _tsv(
            root / f"SST-2/{split}.tsv",
            ("sentence", "label"),
            [(a + " ", y) for (_, a, _), y in zip(pairs, both, strict=True)],
        )
        _tsv(
            root / f"MRPC/{split}.tsv",
            ("\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
            [(y, n, n + 1, a, b) for (n, a, b), y in zip(pairs, both, strict=True)],
        )
        _tsv(
            root / f"STS-B/{split}.tsv",
            (
                "index",
                "genre",
                "filename",
                "year",
                "old_index",
                "source1",
                "source2",
                "sentence1",
                "sentence2",
                "score",
            ),
            [(n, "main-news", "headlines", 2013, n, "none", "none", a, b, f"{n % 11 / 2:.3f}") for n, a, b in pairs],
        )
        _tsv(
            root / f"QQP/{split}.tsv",
            ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
            [
                *((n, 2 * n, 2 * n + 1, a, b, y) for (n, a, b), y in zip(pairs, both, strict=True)),
                (count, 1, 2, "cut short"),
            ],
        )
        for index, name in enumerate(("QNLI", "RTE", "WNLI")):
            columns = ("question", "sentence") if name == "QNLI" else ("sentence1", "sentence2")
            labels = both if name == "WNLI" else [ENTAILED[y] for y in both]
            _tsv(
                root / f"{name}/{split}.tsv",
                ("index", *columns, "label"),
                [(n, f"{a} {index}", b, y) for (n, a, b), y in zip(pairs, labels, strict=True)],
            )
    for split, genres in GENRES.items():
        first, second = (_sentences(count, WORDS, f"{split}{which}") for which in "ab")
        votes = [f"label{number}" for number in range(1, 2 if split == "train" else 6)]
        parses = [f"sentence{n}{kind}" for kind in ("_binary_parse", "_parse", "") for n in (1, 2)]
        rows = [
            (n, n, n, genres[n % 5], "( )", "( )", "(ROOT )", "(ROOT )", a, b, *([NLI[n % 3]] * (len(votes) + 1)))
            for n, (a, b) in enumerate(zip(first, second, strict=True))
        ]
        _tsv(root / f"MNLI/{split}.tsv", ("index", "promptID", "pairID", "genre", *parses, *votes, "gold_label"), rows)


def _json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=4), "utf-8")


def klue(root: pathlib.Path, count: int = 40) -> None:
    """The five tasks that are read, ``count`` records a file."""
    topics = ["정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠"]
    for split in ("train", "dev"):
        first, second = (_sentences(count, KOREAN, f"{split}{which}") for which in "ab")
        pairs = list(zip(range(count), first, second, strict=True))
        _json(
            root / f"ynat-v1.1/ynat-v1.1_{split}.json",
            [
                {
                    "guid": f"ynat-v1_{split}_{n:05d}",
                    "title": a,
                    "label": topics[n % 7],
                    "annotations": {"annotators": ["01"], "annotations": {"first-scope": [topics[n % 7]]}},
                    "url": "https://example.org",
                    "date": "2016.06.30. 오전 10:36",
                }
                for n, a, _ in pairs
            ],
        )
        _json(
            root / f"klue-sts-v1.1/klue-sts-v1.1_{split}.json",
            [
                {
                    "guid": f"klue-sts-v1_{split}_{n:05d}",
                    "source": "airbnb-rtt",
                    "sentence1": a,
                    "sentence2": b,
                    "labels": {"label": n % 6 + 0.1, "real-label": n % 6 * 5 / 6, "binary-label": int(n % 6 > 3)},
                    "annotations": {"agreement": "0:0:0:2:5:0", "annotators": ["17"], "annotations": [4]},
                }
                for n, a, b in pairs
            ],
        )
        _json(
            root / f"klue-nli-v1.1/klue-nli-v1.1_{split}.json",
            [
                {
                    "guid": f"klue-nli-v1_{split}_{n:05d}",
                    "source": "airbnb",
                    "premise": a,
                    "hypothesis": b,
                    "gold_label": NLI[n % 3],
                    "author": NLI[n % 3],
                    **{f"label{vote}": NLI[n % 3] for vote in range(2, 6)},
                }
                for n, a, b in pairs
            ],
        )
        _ner(root / f"klue-ner-v1.1/klue-ner-v1.1_{split}.tsv", first)
        _json(
            root / f"klue-mrc-v1.1/klue-mrc-v1.1_{split}.json",
            {
                "version": "KLUE-MRC_v1.1",
                "data": [
                    {
                        "title": "제목",
                        "source": "wikipedia",
                        "news_category": None,
                        "paragraphs": [{"context": f"{a} {b}", "qas": [_question(split, n, a)]}],
                    }
                    for n, a, b in pairs
                ],
            },
        )


def _ner(path, texts):
    """The first word of each sentence is a span, its last character aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = ["## 토큰, 레이블 구분자 : \\t\n## 컬럼명 : CHAR\tNE_TAG"]
    for n, text in enumerate(texts):
        label, end = ["PS", "LC", "OG", "DT", "TI", "QT"][n % 6], max(1, text.index(" ") - 1)
        tags = [f"B-{label}", *[f"I-{label}"] * (end - 1), *["O"] * (len(text) - end)]
        marked = f"## klue-ner-v1_dev_{n:05d}-nsmc\t<{text[:end]}:{label}>{text[end:]}"
        blocks.append("\n".join([marked, *(f"{letter}\t{tag}" for letter, tag in zip(text, tags, strict=True))]))
    path.write_text(f"{blocks[0]}\n" + "\n\n".join(blocks[1:]) + "\n", "utf-8")


def _question(split, n, text):
    answer = {"text": text.split()[-1], "answer_start": text.rindex(text.split()[-1])}
    impossible = n % 4 == 3
    return {
        "question": f"{text.split()[0]} {n}?",
        "guid": f"klue-mrc-v1_{split}_{n:05d}",
        "question_type": 3 if impossible else 1,
        "is_impossible": impossible,
        "answers": [] if impossible else [answer],
        **({"plausible_answers": [answer]} if impossible else {}),
    }
