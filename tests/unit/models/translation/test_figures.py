import math
import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from models.tasks.translation import Task
from models.translation import figures

PROTECT = (r"%[A-Z0-9_]+%?", r"\$\(?\w+\)?\$?", r"\{[^}]*\}", r"<[^>]+>", r"https?://\S+")


def row(translation, reference, source="?", **options):
    return figures.row(translation, reference, source, **{"truncated": False, "protect": PROTECT, **options})


def rows(pairs, **options):
    return np.array([row(*pair, **options) for pair in pairs]).reshape(len(pairs), len(figures.NAMES))


def value(name, *pairs, **options):
    return figures.figures(rows(pairs, **options)).values[name]


def hostile(count, alphabet):
    """Pairs of an answer and a reference: empty, equal, of one letter, cut, doubled, shuffled, of odd spaces."""
    chance = random.Random(0)
    words = ["".join(chance.choices(alphabet, k=chance.randint(1, 9))) for _ in range(40)]
    for number in range(count):
        reference = chance.choices(words, k=chance.randint(1, 20))
        answer = [
            [],
            reference,
            reference[:1],
            reference[: len(reference) // 2],
            [word for word in reference for _ in range(2)],
            chance.sample(reference, len(reference)),
            [*reference, chance.choice(words)],
            [word[:-1] or word for word in reference],
            chance.choices(words, k=3),
            ["a"],
        ][number % 10]
        between = chance.choice([" ", "  ", "\u00a0", "\u3000", "\t"])
        yield between.join(answer) + chance.choice(["", " ", "\n"]), " ".join(reference)


ALPHABETS = {
    "latin": "aeiourstn.,;:!?'\"-$%&<>()0123456789",
    "hangul": "가나다라마이의는을 .%ABC",
    "kana": "日本語のテスト。、１２ab",
    "emoji": "🙂👩\u200d👧e\u0301é\u202e\x7fﬁ𝒳",
}


@pytest.mark.parametrize("name", ALPHABETS)
def test_the_scores_are_sacrebleus(name):
    pairs = list(hostile(300, ALPHABETS[name]))
    found, answers, references = rows(pairs), *([pair[side] for pair in pairs] for side in (0, 1))
    for part in (slice(None), slice(0, 10), slice(0, 1), slice(7, 8), slice(2, None, 3)):
        values = figures.figures(found[part]).values
        unit = "char" if name in ("hangul", "kana") else "13a"
        bleu = BLEU(tokenize=unit).corpus_score(answers[part], [references[part]])
        assert values["chrf"] == pytest.approx(CHRF().corpus_score(answers[part], [references[part]]).score, abs=1e-9)
        assert values["bleu"] == pytest.approx(bleu.score, abs=1e-9)
        assert values["length_ratio"] == pytest.approx(bleu.ratio, abs=1e-9)
    assert figures.chrf(found) == figures.figures(found).values["chrf"]


def test_a_resample_is_exact():
    """The bootstrap draws rows: their score is that of the drawn pairs."""
    pairs = list(hostile(50, ALPHABETS["latin"]))
    drawn = np.random.default_rng(0).integers(50, size=50)
    answers, references = ([pairs[place][side] for place in drawn] for side in (0, 1))
    assert figures.chrf(rows(pairs)[drawn]) == pytest.approx(CHRF().corpus_score(answers, [references]).score, abs=1e-9)


def test_the_signature_is_sacrebleus():
    words, characters = figures.figures(rows([("a b", "a b")])), figures.figures(rows([("가 나", "가 나")]))
    for found, unit in ((words, "13a"), (characters, "char")):
        bleu = BLEU(tokenize=unit)
        bleu.corpus_score(["a"], [["a"]])
        assert found.computed["bleu"] == f"BLEU|{bleu.get_signature()}"
        assert found.computed["chrf"].startswith("chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


@pytest.mark.parametrize(
    ("pair", "unit"),
    [
        (("a", "Insert"), "13a"),
        (("a", "차트 Writer"), "char"),
        (("a", "表"), "char"),
        (("a", "ตาราง"), "char"),
        (("a", "1"), "13a"),
    ],
)
def test_the_script_of_the_references_decides_what_bleu_counts(pair, unit):
    assert f"tok:{unit}" in figures.figures(rows([pair])).computed["bleu"]


def test_shares_of_answers():
    pairs = [
        ("a b", "a  b ", "x"),
        ("", "a", "x"),
        (" \n", "a", "x"),
        ("x", "a", "x"),
        ("PDF", "PDF", "PDF"),
        ("y", "a", "x"),
    ]
    assert value("exact", *pairs) == pytest.approx(2 / 6)
    assert value("empty", *pairs) == pytest.approx(2 / 6)
    assert value("copied", *pairs) == pytest.approx(1 / 6)
    assert value("truncated", *pairs) == 0
    assert value("truncated", *pairs, truncated=True) == 1


@pytest.mark.parametrize(
    ("answer", "reference", "source", "expected"),
    [
        ("%1개 행", "%1개 행", "%1 rows", (1, 1)),
        ("개 행", "%1개 행", "%1 rows", (1, 0)),
        ("%1 %1", "%1", "%1", (1, 1)),  # one more is none lost
        ("%1", "%1 %1", "%1 %1", (2, 1)),
        ("%10", "%1", "%1", (1, 0)),
        ("%2 %1", "%2, %1", "%1 of %2", (2, 2)),
        ("x", "행", "%1 rows", (0, 0)),  # the reference does not keep it
        ("x", "%2", "%1", (0, 0)),
        ("<b>{가}</b> https://a.kr/?b=1", "<b>{가}</b> https://a.kr/?b=1", "</b> {가} <b> https://a.kr/?b=1", (4, 4)),
        ("a", "b", "c", (0, 0)),
    ],
)
def test_placeholders_that_are_expected_and_kept(answer, reference, source, expected):
    found = dict(zip(figures.NAMES, row(answer, reference, source), strict=True))
    assert (found["expected"], found["kept"]) == expected


def test_placeholders_of_a_corpus():
    assert value("placeholders_kept", ("%1", "%1 %2", "%1 %2"), ("a", "b", "c"), ("%3", "%3", "%3")) == pytest.approx(
        2 / 3
    )
    assert value("placeholders_kept", ("a", "b", "c")) == 1
    assert value("placeholders_kept", ("%1", "%1", "%1"), protect=()) == 1


def test_a_pattern_is_re2s():
    assert figures.placeholders("가 %a é 가", (r"\p{Hangul}", r"%\pL", "x*")) == {"가": 2, "%a": 1}


def test_no_records_have_no_figures():
    found = figures.figures(np.zeros((0, len(figures.NAMES))))
    assert math.isnan(figures.chrf(np.zeros((0, len(figures.NAMES)))))
    assert {name for name, each in found.values.items() if not math.isnan(each)} == {"placeholders_kept"}
    assert found.values.keys() == figures.figures(rows([("a", "b")])).values.keys()


def test_the_task_shows_figures_by_novelty_where_the_nearest_are_known():
    model = rows([("a", "a")])
    nearest = np.array([row("b", "a", similarity=0.9)])
    the_task = Task({})
    assert list(the_task.sections(model, {"copy": nearest})) == []
    assert list(the_task.sections(model, {"nearest": nearest})) == [figures.novelty(model, nearest)]


def test_what_is_read_of_an_answer():
    record = {"target": np.array(["행 %1".encode()], object)}
    answer = {"translation": np.array("행".encode(), object), "source": np.array(b"row %1", object)}
    plain = row("행", "행 %1", "row %1")
    np.testing.assert_array_equal(figures.judged(answer, record, PROTECT), plain)
    known = figures.judged(
        answer | {"truncated": np.array(True), "similarity": np.array(0.5), "score": np.array(-1.0)}, record, PROTECT
    )
    changed = {name: new for name, old, new in zip(figures.NAMES, plain, known, strict=True) if old is not new != old}
    assert changed == {"truncated": 1.0, "similarity": 0.5}


def test_figures_by_novelty():
    pairs = [("a b c", "a b c"), ("a", "z"), ("가", "가"), ("q", "q")]
    nearest = np.array([row(*pair, similarity=value) for pair, value in zip(pairs, (1.0, 0.5, 0.8, 0.1), strict=True)])
    model = rows([("a b c", "a b c"), ("z", "z"), ("나", "가"), ("x", "q")])
    section = figures.novelty(model, nearest)
    assert section.rows == [
        ["like a known one (≥ .8)", "2", pytest.approx(91.6667, abs=1e-4), 100.0],
        ["a little like one (.5–.8)", "1", 100.0, 0.0],
        ["new (< .5)", "1", 0.0, 100.0],
    ]
    assert [row[0] for row in figures.novelty(model[:1], nearest[:1]).rows] == ["like a known one (≥ .8)"]
    assert len(section.head) == 4


def test_more_columns_may_follow():
    one = rows([("a", "a")])
    more = np.concatenate([one, [[7.0]]], axis=1)
    assert figures.figures(more) == figures.figures(one)
