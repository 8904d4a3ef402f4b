"""The histogram of row lengths: every row is in one bin, and bins are round."""

import re

import pytest

from components.evaluate.report import data


def bins(counts):
    made = data._histogram("token_ids", counts)
    return {
        name: int(rows.replace(",", ""))
        for name, rows in re.findall(r'<th scope="row"><bdi>([^<]*)</bdi><td>([\d,]*)', made)
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({3: 2, 1: 1, 5: 4}, {"1": 1, "2": 0, "3": 2, "4": 0, "5": 4}),
        ({12: 1, 12_000: 5}, {f"{1 + 1000 * n:,} – {1000 * (n + 1):,}": 0 for n in range(12)}),
        ({0: 7, 14: 1}, {"1 – 2": 7, "3 – 4": 0, "5 – 6": 0, "7 – 8": 0, "9 – 10": 0, "11 – 12": 0, "13 – 14": 1}),
        ({128: 3}, {"121 – 140": 3}),
        ({0: 2}, {"1": 2}),
    ],
)
def test_bins_are_round_and_hold_all_rows(counts, expected):
    found = bins(counts)
    if 12_000 in counts:
        expected |= {"1 – 1,000": 1, "11,001 – 12,000": 5}
    assert found == expected
    assert sum(found.values()) == sum(counts.values())


def test_a_source_says_how_long_its_rows_are():
    shown = data.sources([data.Source("task", rows={"token_ids": {4: 1200, 9: 34}, "other": {}})])
    assert "How long rows are: tokens of 1,234 rows of the train split" in shown
    assert shown.count("<caption>") == 1
