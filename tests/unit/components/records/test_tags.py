"""Schemes of tags: what is written in one is read back, and what is in none is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.records.rows import RowError
from components.records.tags import spans, trimmed

# Place of a span's only word, of its first, of those between, of its last.
SCHEMES = {
    "IOB2": "BBII",
    "IOE2": "EIIE",
    "BIOES": "SBIE",
    "BILOU": "UBIL",
    "BMES": "SBME",
    "BMEWO": "WBME",
}
FORMS = {
    "prefix": ("{place}-{label}", "O"),
    "underscore": ("{place}_{label}", "O"),
    "suffix": ("{label}-{place}", "O"),
    "underscore behind": ("{label}_{place}", "O"),
    "small": ("{place}-{label}", "o"),
    "untyped": ("{place}", "O"),
    "small, untyped": ("{place}", "o"),
}
# Words outside of spans, and spans of some words with a label.
_pieces = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["", "", "PER", "LOC", "GPE-NOM", "ORG_NAME"])), max_size=8
)


def written(pieces, scheme, form):
    """Words, their tags, and the spans in words."""
    pattern, outside = FORMS[form]
    alone, first, between, last = SCHEMES[scheme]
    tags, found = list[str](), []
    for length, label in pieces:
        if not label:
            tags += [outside] * length
            continue
        found.append((len(tags), len(tags) + length, label if "untyped" not in form else "_"))
        places = [alone] if length == 1 else [first, *[between] * (length - 2), last]
        tags += [pattern.format(place=place.lower() if outside == "o" else place, label=label) for place in places]
    return [f"w{number}" for number in range(len(tags))], tags, found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", SCHEMES)
@given(pieces=_pieces)
def test_spans_come_back_from_every_scheme(scheme, form, pieces):
    words, tags, expected = written(pieces, scheme, form)
    text = " ".join(words)
    found = [(text[start:end].split(), label) for start, end, label in spans(words, tags, " ", "BIO")]
    assert found == [(words[start:end], label) for start, end, label in expected]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("I-PER I-PER O I-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),  # IOB1: B stands between neighbours only
        ("I-PER B-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")]),
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),  # another label is another span, as in conlleval
        ("B-I I-I", [(0, 2, "I")]),  # the place is in front where both ends look like one
        ("I-B I-B", [(0, 2, "B")]),
        ("O O", []),
    ],
)
def test_rules_of_seqeval(tags, expected):
    tags = tags.split()
    words = ["ab"] * len(tags)
    assert spans(words, tags, " ", "BIO") == [(3 * start, 3 * end - 1, label) for start, end, label in expected]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("PER PER O", "tag 'PER' says no B or I beside its label; task.scheme: word labels words by tags"),  # IO
        ("NNP VBZ", "tag 'NNP' says no B"),
        ("B-PER NNP", "tag 'NNP' says no B"),
        ("_ _", "tag '_' says no B"),  # the last column of CoNLL-U
        ("B- O", "tag 'B-' says no B"),
        ("B:PER O", "tag 'B:PER' says no B"),
        ("BB_O_PER O", "tag 'BB_O_PER' says no B"),
        ("B-PER PER-I", "tags of no one scheme: 'B-PER', 'PER-I'"),
        ("B-PER I", "tags of no one scheme: 'B-PER', 'I'"),
        ("b-per O", "tags of no one scheme: 'O', 'b-per'"),
        ("B-PER o", "tags of no one scheme: 'B-PER', 'o'"),
        ("hepatitis-b O", "tags of no one scheme: 'O', 'hepatitis-b'"),
        (f"{'x' * 40} O", f"tag '{'x' * 30}…' says no B"),
    ],
)
def test_tags_of_no_scheme_are_refused(tags, reason):
    tags = tags.split()
    with pytest.raises(RowError, match=f"^{re.escape(reason)}"):
        spans(["w"] * len(tags), tags, " ", "BIO")


def test_numbers_are_no_tags():
    with pytest.raises(RowError, match="tags are numbers, and must be their names"):
        spans(["a", "b"], [3, 0], " ", "BIO")


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0, 5), (0, 4)),
        ((13, 18), (14, 18)),
        ((4, 14), (5, 13)),
        ((18, 21), (18, 19)),  # a no-break space, and one of no width
        ((0, 4), (0, 4)),
    ],
)
def test_blanks_at_the_ends_of_a_span(span, expected):
    text = "Anna lives in Oslo\u2026\u00a0\u200b"
    assert trimmed((*span, "X"), text) == (*expected, "X")


def test_a_span_of_blanks():
    with pytest.raises(RowError, match="a span of white space alone"):
        trimmed((1, 3, "X"), "a \tb")
