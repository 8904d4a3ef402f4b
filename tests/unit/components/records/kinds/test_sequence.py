"""Events to questions: against the definition of each split, by brute force."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records import bad_records, values
from components.records.head import Head
from components.records.kinds import catalogue
from components.records.kinds.sequence import Kind
from components.records.record import Counted, LeftOut, Part
from components.records.rows import Bad, Row, RowError
from configs.base import ConfigError
from configs.events import CatalogueData, SequenceData
from schemas import DataError

logs = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("123456"), st.integers(0, 12)), min_size=1, max_size=50
)
_fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source(**options):
    return SequenceData(**{"path": ["a.csv"], "time": "time", **options})


def written(log, header=("user", "item", "time")):
    with Path("a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *log])


def asked(kind):
    """(split, user, history, target, time) of every record, and the figures of all groups."""
    groups, figures, records = dict[str, list[Part]](), Counter[str](), []
    for item in kind.records("a.csv"):
        assert isinstance(item, Part | LeftOut), item
        if isinstance(item, Part):
            groups.setdefault(item.group, []).append(item)
    for parts in groups.values():
        for item in kind.join(parts[::-1]):
            if isinstance(item, Counted):
                figures.update(item.figures)
                continue
            split, record = item
            of = record.features
            history = tuple(each.decode() for each in of["history"])
            (target,), (user,), (time,) = of["target"], of["user"], of["event_time"]
            assert record.line == int(of["origin"][0].decode().rpartition(":")[2])
            records.append((split or kind.split_of(record.key, "path"), user.decode(), history, target.decode(), time))
    return records, figures


def by_hand(log):
    """Each user's events, oldest first, equal times by line."""
    users = dict.fromkeys(user for user, *_ in log)
    return {
        user: sorted((time, line, item) for line, (of, item, time) in enumerate(log) if of == user) for user in users
    }


def question(split, user, events, place):
    return split, user, tuple(item for *_, item in events[:place]), events[place][2], events[place][0]


@_fuzz
@given(logs)
def test_the_last_event_is_for_test_and_the_one_before_it_for_eval(log):
    written(log)
    expected = []
    for user, events in by_hand(log).items():
        if len(events) >= 4:
            expected += [question("train", user, events, len(events) - 3)]
            expected += [question("eval", user, events, len(events) - 2)]
            expected += [question("test", user, events, len(events) - 1)]
        elif len(events) > 1:
            expected += [question("train", user, events, len(events) - 1)]
    found, figures = asked(Kind(source()))
    assert sorted(found) == sorted(expected)
    assert figures["events"] == len(log)
    assert figures["users left out"] == sum(len(events) == 1 for events in by_hand(log).values())


@_fuzz
@given(logs, st.sampled_from([(0.8, 0.9), (0.2, 0.5), ("1970-01-01T00:00:04Z", 9.5)]))
def test_time_divides_what_is_known_from_what_is_asked(log, when):
    written(log)
    times = sorted(time for *_, time in log)
    begin, end = (times[int(share * len(times))] if isinstance(share, float) and share < 1 else None for share in when)
    begin, end = 4 if begin is None else begin, 9.5 if end is None else end
    kind = Kind(source(split={"by": "time", "eval": when[0], "test": when[1]}))
    if begin >= end:
        with pytest.raises(DataError, match=r"\$\.task\.data\.split: test begins at \d+, eval not before: \d+"):
            kind.fitted()
        return
    expected = []
    for user, events in by_hand(log).items():
        before = [place for place, (time, *_) in enumerate(events) if time < begin]
        within = [place for place, (time, *_) in enumerate(events) if begin <= time < end]
        behind = [place for place, (time, *_) in enumerate(events) if time >= end]
        chosen = {"train": before[-1:], "eval": within[:1], "test": behind[:1]}
        expected += [
            question(split, user, events, place) for split, places in chosen.items() for place in places if place
        ]
    found, _ = asked(kind.fitted())
    assert sorted(found) == sorted(expected)
    assert all(time < begin for split, *_, time in found if split == "train")


@_fuzz
@given(logs)
def test_a_user_belongs_to_one_split(log):
    written(log)
    found, _ = asked(Kind(source(split={"by": "user", "eval": 0.3, "test": 0.3})))
    asked_once = {
        user: question("", user, events, len(events) - 1) for user, events in by_hand(log).items() if events[1:]
    }
    assert sorted(("", *rest) for _, *rest in found) == sorted(asked_once.values())


def test_users_are_divided_by_the_shares():
    written([(f"u{n}", item, n) for n in range(2_000) for item in "xy"])
    found, _ = asked(Kind(source(split={"by": "user", "eval": 0.2, "test": 0.1})))
    sizes = Counter(split for split, *_ in found)
    assert sizes["eval"] == pytest.approx(400, abs=72)  # 4 σ
    assert sizes["test"] == pytest.approx(200, abs=54)
    assert sizes.total() == 2_000


@_fuzz
@given(logs, st.sampled_from(["last", "time", "user"]))
def test_no_train_row_holds_what_eval_or_test_ask_for(log, by):
    """An event is known by its place in the file: its item holds the line."""
    log = [(user, f"{item}-{line}", time) for line, (user, item, time) in enumerate(log)]
    written(log)
    kind = Kind(source(split={"by": by}))
    try:
        found, _ = asked(kind.fitted())
    except DataError:
        return  # all events of one time
    order = {user: [item for *_, item in events] for user, events in by_hand(log).items()}
    held_out = {user: order[user].index(target) for split, user, _, target, _ in found if split == "eval"}
    for split, user, history, target, _ in found:
        assert list(history) == order[user][: order[user].index(target)]
        if split == "train" and by != "user":
            assert order[user].index(target) < held_out.get(user, len(log))
    targets = [(user, target) for _, user, _, target, _ in found]
    assert len(set(targets)) == len(targets)


def test_of_repeated_items_the_last_one_counts_where_that_is_asked_for():
    written([("a", "1", 1), ("a", "2", 2), ("a", "1", 3), ("a", "1", 3), ("a", "3", 4)])
    assert asked(Kind(source()))[0][-1] == ("test", "a", ("1", "2", "1", "1"), "3", 4)
    assert asked(Kind(source(repeats="last")))[0] == [("train", "a", ("2", "1"), "3", 4)]


def test_of_a_bot_the_last_events_count():
    written([("bot", f"i{n}", n) for n in range(12_000)] + [("a", "1", 1), ("a", "2", 2)])
    found, figures = asked(Kind(source()))
    test = next(record for record in found if record[0] == "test")
    assert (len(test[2]), test[2][0], test[3]) == (9_999, "i2000", "i11999")
    assert (figures["users cut"], figures["events"]) == (1, 10_002)


def test_without_a_time_the_rows_are_in_order():
    written([("a", "3"), ("b", "9"), ("a", "1"), ("b", "8")], header=("user", "item"))
    found, _ = asked(Kind(source(time=None)))
    assert found == [("train", "a", ("3",), "1", 0), ("train", "b", ("9",), "8", 0)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("881250949", 881250949),
        ("881250949.5", 881250949.5),
        ("1714566600000000001", 1714566600000000001),
        ("2024-05-01", 1714521600),
        ("2024-05-01T12:30:00Z", 1714566600),
        ("2024-05-01 12:30:00+09:00", 1714534200),
        ("2024-05-01T12:30", 1714566600),
        ("2024-05-01 12:30:00.250 UTC", 1714566600.25),
        ("20240501T123000", 1714566600),
    ],
)
def test_a_time_is_a_number_or_iso_8601(text, seconds):
    assert values.time_of({"t": text}, "t") == seconds


@pytest.mark.parametrize("text", ["", "nan", "yesterday", "1/5/2024", "9" * 25, "2024-13-01", "inf"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(
        RowError, match=r"^column 't' is (empty|neither a number nor a time such as 2024-05-01 or 2024-05-01T)"
    ):
        values.time_of({"t": text}, "t")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"user": "u", "item": "a|b", "time": "1"}, "column 'item' holds |, which separates the items of a request"),
        ({"user": "u", "item": "a\nb", "time": "1"}, "column 'item' holds a line end"),
        ({"user": "u", "item": "a\0b", "time": "1"}, "NUL byte in column 'item'"),
        ({"user": " ", "item": "a", "time": "1"}, "column 'user' is empty"),
        ({"user": "u", "item": None, "time": "1"}, "column 'item' is empty"),
        ({"user": "u", "item": ["a"], "time": "1"}, "column 'item' is a list, one value is expected"),
        ({"user": "u", "item": "a", "time": "soon"}, "column 'time' is neither a number nor a time such as 2024"),
    ],
)
def test_a_row_that_is_no_event_says_why(row, reason):
    with pytest.raises(RowError) as caught:
        Kind(source()).read("a.csv", Row(2, row))
    assert str(caught.value).startswith(reason)


def test_whole_numbers_are_ids_however_a_table_keeps_them():
    part = Kind(source()).read("a.parquet", Row(1, {"user": 7.0, "item": 302.0, "time": 1}))
    assert (part.group, part.content) == ("7", ("302",))


def test_rows_that_are_no_events_are_left_out():
    rows = [{"user": "u", "item": "a", "time": 1, "rating": rating} for rating in ("5", "4", "3.5", "good")]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kind = Kind(source(path=["a.jsonl"], keep={"column": "rating", "range": ">= 4"}))
    assert [type(item) for item in kind.records("a.jsonl")] == [Part, Part, LeftOut, Bad]
    kind = Kind(source(path=["a.jsonl"], keep={"column": "rating", "values": ["good", "5"]}))
    assert [type(item) for item in kind.records("a.jsonl")] == [Part, LeftOut, LeftOut, Part]


def test_a_slice_is_that_of_the_target():
    rows = [{"user": "u", "item": f"i{n}", "time": n, "shop": f"s{n}"} for n in range(2)]
    kind = Kind(source(), slices=["shop"])
    ((_, record),) = list(kind.join([kind.read("a.jsonl", Row(n, row)) for n, row in enumerate(rows, 1)]))[1:]
    assert (record.features["shop"], record.features["target"]) == ([b"s1"], [b"i1"])


def judged(log, **options):
    written(log)
    kind = Kind(source(**options))
    found, figures = asked(kind)
    report = bad_records.Report(len(log), records=Counter((split, "") for split, *_ in found), figures=figures)
    kind.judge(report, "bad.csv")
    return kind.line(report)


SOUND = [(user, item, time) for user in "abc" for time, item in enumerate("12345")]


def test_a_person_reads_what_was_read():
    assert (
        judged(SOUND) == "3 users · 15 events · 3 train · 3 eval · 3 test · 0 bad · 0% of neighbours share their time"
    )
    told = judged([*SOUND, ("d", "1", 1), ("e", "1", 7), ("e", "2", 7)])
    assert told.endswith("4 train · 3 eval · 3 test · 0 bad · 1 user left out · 8% of neighbours share their time")


def test_equal_times_and_bots_are_told(monkeypatch):
    told = []
    monkeypatch.setattr("models.progress.emit", lambda event: told.append(str(event)))
    judged([(user, item, int(item) // 2) for user in "abc" for item in "12345"])
    assert told == ["50% of neighbouring events share their time: their order is that of the file"]
    told.clear()
    judged([*SOUND, *(("bot", str(n), n) for n in range(10_001))])
    assert told == ["1 user has more than 10,000 events: the last ones are kept"]


def test_events_whose_order_means_nothing_are_told_before_a_run():
    draws = random.Random(1)
    for names, says in (("unordered", True), ("ordered", False)):
        walks = [[draws.randrange(50)] for _ in range(120)]
        for walk in walks:
            walk += [draws.randrange(50) if says else (walk[0] + 7 * n) % 50 for n in range(1, 12)]
        written([(f"{names}{n}", item, at) for n, walk in enumerate(walks) for at, item in enumerate(walk)])
        kind, head = Kind(source()), Head()
        for part in kind.records("a.csv"):
            kind.add(part, head)
        remark = kind.remark(head)
        assert (remark or "").startswith("the order of a user's events does not matter for the next item") == says


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ([("a", item, item) for item in range(9)], "a.csv: all events are of one user; check the column 'user'"),
        (
            [(user, "1", time) for user in "abc" for time in range(5)],
            "a.csv: no user has two items one after the other",
        ),
        (
            [(user, item, 5) for user in "abc" for item in "12345"],
            "a.csv: all events of a user have one time; check the",
        ),
        (
            [*SOUND, *((user, "1", 1) for user in "defg")],
            "a.csv: 4 of 7 users have too few events to be asked for one;",
        ),
        (
            [(user, item, item) for user in "abc" for item in "123"],
            "a.csv: the eval split is empty (3 users, 9 events, 0 rows left out); by: last",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(log, sentence):
    with pytest.raises(DataError) as caught:
        judged(log)
    assert str(caught.value).startswith(sentence)


def test_a_time_that_cannot_be_read_is_refused_before_a_run():
    written(SOUND)
    with pytest.raises(ConfigError, match=r"\$\.task\.data\.split\.eval: 'May' is no time; write it as 2024-05-01"):
        Kind(source(split={"by": "time", "eval": "May"})).check()


def test_a_catalogue_says_each_title_once():
    kind = catalogue.Kind(CatalogueData(path=["c.csv"], about=["genre", "year"]))
    rows = [
        {"item": 1.0, "title": " Heat \n (1995)", "genre": "Crime", "year": ""},
        {"item": "1", "title": "Heat (1995)", "genre": " Crime", "year": None},
        {"item": "1", "title": "Heat (1995)", "genre": "Crime", "year": 1995},
    ]
    one, same, other = (kind.read("c.csv", Row(line, row)) for line, row in enumerate(rows, 1))
    ((_, record),) = kind.join([same, one])
    about = b"Heat (1995), Crime"
    assert record.features == {"item": [b"1"], "title": [b"Heat (1995)"], "about": [about], "origin": [b"c.csv:1"]}
    with pytest.raises(RowError, match="an item with several texts in 'title', 'genre', 'year'"):
        list(kind.join([one, other]))
    assert isinstance(kind.read("c.csv", Row(9, {"item": "2", "title": "", "genre": "", "year": ""})), LeftOut)
