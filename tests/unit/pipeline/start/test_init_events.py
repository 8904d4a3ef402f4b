"""``tfx-bert init`` and ``check`` on files of events."""

import csv
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import cli, loader

EVENTS = [(f"u{n % 40}", f"i{n * 7 % 31}", 1_700_000_000 + n) for n in range(400)]


pytestmark = pytest.mark.usefixtures("folder")


def command(*arguments, code=0):
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.output


def table(name, header, rows, delimiter=","):
    with Path(name).open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


@pytest.mark.parametrize(
    "header",
    [
        ("userId", "movieId", "timestamp"),
        ("user_id:token", "item_id:token", "timestamp:float"),
        ("customer", "sku", "created_at"),
        ("session_id", "product id", "date"),
        ("reviewerID", "parent_asin", "unixReviewTime"),
    ],
)
def test_columns_are_found_by_what_they_are_called(header):
    table("log.csv", ("rating", *header), [(5, *event) for event in EVENTS])
    output = command("init", "--data", "log.csv")
    assert "log.csv: 400 events · 40 users of 10 to 10 events, median 10 · 31 items, 0 of them once" in output
    data = loader.load("log.yaml").task.data
    assert (data.user, data.item, data.time) == header
    assert "every row is an event, whatever 'rating' says" in output
    assert "400 events" in command("check", "log.yaml")


def test_recboles_files_bring_their_titles():
    table("ml.inter", ("user_id:token", "item_id:token", "timestamp:float"), EVENTS, "\t")
    titles = [(f"i{n}", f"Film {n}", 1990 + n) for n in range(31)]
    table("ml.item", ("item_id:token", "movie_title:token_seq", "release_year:token"), titles, "\t")
    assert "'movie_title:token_seq' of ml.item says what the items are called" in command("init", "--data", "ml.inter")
    data = loader.load("ml.yaml").task.data
    assert (data.format, data.catalogue.path, data.catalogue.format) == ("tsv", ["ml.item"], "tsv")
    assert "✓ ml.item: 31 items" in command("check", "ml.yaml")


def test_without_a_time_the_rows_are_in_order():
    rows = [{"user": user, "item": item, "day": "monday"} for user, item, _ in EVENTS]
    Path("log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "no column says when; the rows are taken to be in order" in command("init", "--data", "log.jsonl")
    assert loader.load("log.yaml").task.data.time is None
    table("late.csv", ("user", "item", "time"), [(user, item, "noon") for user, item, _ in EVENTS])
    assert "'time' is no time that can be read" in command("init", "--data", "late.csv")
    assert loader.load("late.yaml").task.data.time is None


def test_texts_stay_texts_and_options_decide():
    words = ["the", "plot", "of", "this", "film", "is", "as", "good", "as", "it", "was", "in", "the", "book"]
    chance = random.Random(1)
    rows = [(*event[:2], " ".join(chance.sample(words, 10)), "pn"[n % 2]) for n, event in enumerate(EVENTS)]
    table("reviews.csv", ("user", "item", "review", "label"), rows)
    command("init", "--data", "reviews.csv")
    assert loader.load("reviews.yaml").task.type == "classification"
    command("init", "--data", "reviews.csv", "--name", "next", "--user", "user", "--item", "item")
    assert loader.load("next.yaml").task.type == "next_item"


def test_options_that_do_not_fit_are_named():
    table("log.csv", ("who", "what", "when"), EVENTS)
    assert "--user: allowed who|what|when, received 'whom', did you mean who?" in command(
        "init", "--data", "log.csv", "--user", "whom", "--item", "what", code=2
    )
    assert "name who with --user and what with --item" in command("init", "--data", "log.csv", "--user", "who", code=2)
    assert "--text and --label are of texts" in command(
        *("init", "--data", "log.csv", "--text", "what", "--user", "who"), code=2
    )
    table("names.csv", ("id", "name"), [("i1", "Heat")])
    assert "--catalogue: names.csv has no column 'what', as the events have; allowed id|name" in command(
        *("init", "--data", "log.csv", "--user", "who", "--item", "what", "--catalogue", "names.csv"), code=2
    )


def test_bad_rows_and_likeness_are_told():
    rows = [*EVENTS, ("u1", "a|b", 5), ("u1", "I1", 6), ("u1", " i1", 7)]
    table("log.csv", ("user", "item", "time"), rows)
    assert "1 rows, such as 1 × column 'item' holds |" in command("init", "--data", "log.csv")
    assert loader.load("log.yaml").task.data.on_bad_record == "quarantine"
    assert "2 items differ from another one in case or blanks only" in command("check", "log.yaml")
    table("one.csv", ("user", "item", "time"), [("u", item, time) for _, item, time in EVENTS])
    assert "all events are of one user; check the column 'user'" in command("init", "--data", "one.csv", code=3)


def test_columns_separated_by_colons_are_told():
    Path("ratings.dat").write_text("".join(f"{user}::{item}::5::{time}\n" for user, item, time in EVENTS))
    assert "separates its columns by '::'; write them with tabs" in command("init", "--data", "ratings.dat", code=3)
