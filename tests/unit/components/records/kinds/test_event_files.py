"""Files of events as people have them: a literal answer for each oddity. Splits are test_sequence.py's matter."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from components.records import kind
from components.records.head import Head
from components.records.kinds.sequence import Kind
from components.records.record import Counted, LeftOut, Part
from components.records.rows import Bad
from configs.events import SequenceData, UnlabelledEvents

HEADER = ("user", "item", "time")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def histories(rows, **options):
    """By split and user: history, target and time of each record; the figures of all groups; what was bad."""
    with Path("a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    source, groups, bad = Kind(SequenceData(**{"path": ["a.csv"], "time": "time", **options})), {}, []
    for item in source.records("a.csv"):
        assert not isinstance(item, LeftOut)
        if isinstance(item, Bad):
            bad.append((item.line, item.reason))
        else:
            groups.setdefault(item.group, []).append(item)
    found, figures = {}, Counter()
    for parts in groups.values():
        for item in source.join(parts):
            if isinstance(item, Counted):
                figures.update(item.figures)
                continue
            split, record = item
            of = {name: [v.decode() if isinstance(v, bytes) else v for v in x] for name, x in record.features.items()}
            found[split, *of["user"]] = (of["history"], *of["target"], *of["event_time"])
    return found, figures, bad


def test_times_of_three_formats_in_one_column_are_one_order():
    """Half past twelve UTC and the three seconds behind it: a number, ISO 8601 with two zones, BigQuery's way."""
    found, figures, bad = histories(
        [
            ("a", "third", "2024-05-01 21:30:02+09:00"),
            ("a", "fourth", "2024-05-01 12:30:03 UTC"),
            ("a", "first", "1714566600"),
            ("a", "second", "2024-05-01T12:30:01Z"),
        ]
    )
    assert found == {
        ("train", "a"): (["first"], "second", 1714566601),
        ("eval", "a"): (["first", "second"], "third", 1714566602),
        ("test", "a"): (["first", "second", "third"], "fourth", 1714566603),
    }
    assert (figures["of one time"], bad) == (0, [])


def test_unsorted_equal_and_repeated_rows():
    """Events of one time keep the order of the rows; a row that stands twice is two events, unless repeats: last."""
    rows = [("a", "x", 9), ("a", "late", 5), ("a", "y", 1), ("a", "later", 5), ("a", "y", 1), ("a", "latest", 5)]
    found, figures, _ = histories(rows)
    assert found["test", "a"] == (["y", "y", "late", "later", "latest"], "x", 9)
    assert found["eval", "a"] == (["y", "y", "late", "later"], "latest", 5)
    assert (figures["of one time"], figures["neighbours"]) == (3, 5)
    found, _, _ = histories(rows, repeats="last")
    assert found["test", "a"] == (["y", "late", "later", "latest"], "x", 9)


def test_ids_that_differ_in_case_or_inner_blanks_are_different_items():
    """Blanks around an id mean nothing: a request has none either."""
    found, _, _ = histories([("a", "Ab", 1), ("a", " ab ", 2), ("a", "ab", 3), ("a", "a b", 4), ("a", "AB", 5)])
    assert found["test", "a"] == (["Ab", "ab", "ab", "a b"], "AB", 5)


def test_an_item_with_the_separator_is_bad_and_the_user_keeps_the_rest():
    found, figures, bad = histories([("a", "1", 1), ("a", "2|3", 2), ("a", "4", 3), ("a", "|", 4)])
    assert found == {("train", "a"): (["1"], "4", 3)}
    reason = "column 'item' holds |, which separates the items of a request"
    assert bad == [(3, reason), (5, reason)]
    assert figures["events"] == 2


@pytest.mark.parametrize(("count", "kept", "cut"), [(10_000, 10_000, 0), (10_001, 10_000, 1)])
def test_a_user_of_ten_thousand_events_is_read_whole(count, kept, cut):
    found, figures, _ = histories([("a", f"i{n}", n) for n in range(count)])
    history, target, time = found["test", "a"]
    assert (len(history), history[0], target, time) == (kept - 1, f"i{count - kept}", f"i{count - 1}", count - 1)
    assert (figures["events"], figures["users cut"]) == (kept, cut)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("a", "1", 1), ("a", "2", 2)], "all events are of one user; check the column 'user'"),
        ([("a", "1", 1), ("b", "1", 2)], "all events are of one item; check the column 'item'"),
        ([("a", "1", 1), ("b", "2", 2)], None),
    ],
)
def test_what_check_says_of_one_user_or_one_item(rows, sentence):
    source, head = Kind(SequenceData(path=["a.csv"], time="time")), Head()
    for line, (user, item, time) in enumerate(rows, 2):
        source.add(Part(user, time, "a.csv", line, (item,)), head)
    assert source.lacking(head) == sentence


def test_of_2000_logs_every_event_is_asked_for_at_most_once_and_no_history_holds_it():
    """Equal times, repeats, users of one event: by the definition of ``by: last``, from the events themselves."""
    chance, source = random.Random(5), Kind(SequenceData(path=["a.csv"], time="time"))
    sizes = Counter()
    for _ in range(2_000):
        count = chance.randint(1, 12)
        parts = [Part("u", chance.randint(0, 4), "a.csv", line, (chance.choice("123"),)) for line in range(count)]
        events = sorted(parts, key=lambda part: (part.order, part.line))
        chance.shuffle(parts)
        records = [item for item in source.join(parts) if not isinstance(item, Counted)]
        wanted = {1: {}, 2: {"train": 1}, 3: {"train": 2}}.get(
            count, {"train": count - 3, "eval": count - 2, "test": count - 1}
        )
        assert {split: record.line for split, record in records} == {
            split: events[place].line for split, place in wanted.items()
        }
        for split, record in records:
            before = [part.content[0].encode() for part in events[: wanted[split]]]
            assert record.features["history"] == before
            assert record.features["target"] == [events[wanted[split]].content[0].encode()]
            sizes[split] += 1
    assert sizes["test"] == sizes["eval"] > 1_000
    assert sizes["train"] > sizes["test"]


def test_events_to_be_answered_are_read_alike():
    """``score:`` has the same sorting, cut and bad rows; the last event is part of the history."""
    rows = [("a", "2", "2024-05-02"), ("a", "1", "2024-05-01"), ("a", "3", "2024-05-03"), ("b", "9|9", "2024-05-03")]
    with Path("a.jsonl").open("w") as file:
        file.writelines(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows)
    source = kind.load("histories")(UnlabelledEvents(path=["a.jsonl"], time="time", max_events=4))
    *parts, bad = source.records("a.jsonl")
    assert (bad.line, bad.reason) == (4, "column 'item' holds |, which separates the items of a request")
    ((split, record),) = source.join(parts)
    assert (split, record.features["history"], record.features["origin"]) == (
        "score",
        [b"1", b"2", b"3"],
        [b"a.jsonl:3"],
    )
