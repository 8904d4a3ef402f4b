"""Events and a catalogue in CSV files, from ``tfx-bert init`` to an answer over REST: counts, which train fast."""

import csv
import pathlib

import numpy as np
import pytest

from tests.e2e.tiny import result, states, tfx_bert
from tests.serving.conftest import started

pytestmark = pytest.mark.e2e
USERS, ITEMS, STEP = 80, 24, 5


def write(folder):
    """Each item is followed by the fifth behind it, nine times out of ten; the rows are in no order."""
    chance = np.random.default_rng(7)
    rows = []
    for user in range(USERS):
        item = chance.integers(ITEMS)
        for day in range(1, 9):
            rows.append((f"user {user}", f"i{item}", f"2024-05-{day:02} 12:30:00 UTC"))
            item = (item + STEP) % ITEMS if chance.random() < 0.9 else chance.integers(ITEMS)
    with (folder / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("customer_id", "sku", "bought_at"), *(rows[n] for n in chance.permutation(len(rows)))]
        )
    with (folder / "products.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sku", "name"), *((f"i{n}", f"Product {n}") for n in range(ITEMS - 1))])


def test_events_become_a_model_that_says_what_comes_next(tmp_path):
    write(tmp_path)
    told = tfx_bert(tmp_path, "init", "--data", "shop.csv", "--catalogue", "products.csv")
    assert "'bought_at' says when" in told
    assert "'name' of products.csv says what the items are called" in told
    told = tfx_bert(
        tmp_path,
        "run",
        "shop.yaml",
        "--set",
        "task.objective=counts",
        "--set",
        "encoder=",
        "--set",
        "score={path: shop.csv}",
        "--set",
        "try=[i3|i8, {sku: i13}]",
    )
    assert '"i3|i8" → Product 13' in told
    assert '"i13" → Product 18' in told
    assert "80 scored" in told
    assert "80 users · 640 events · 80 train · 80 eval · 80 test · 0 bad" in told
    run = result(tmp_path, "shop", 1)
    assert (run.verdict, run.pushed.version) == ("blessed", 1)
    assert set(states(run).values()) == {"ran"}
    assert run.metrics["ndcg_10"] > 0.6
    with started(tmp_path, "--model", f"shop={pathlib.Path(run.pushed.path).parent}") as client:
        client.ready()
        asked = {"instances": ["i3|i8", "i13", "no such item"]}
        status, answer = client.post("/v1/models/shop:predict", asked)
        assert status == 200
        first, second, unknown = answer["predictions"]
        assert (first["items"][0], first["titles"][0], first["source"]) == ("i13", "Product 13", "model")
        assert second["items"][0] == "i18"
        assert not {"i3", "i8"} & set(first["items"])
        assert (unknown["source"], unknown["known"], unknown["unknown"]) == ("popularity", 0, 1)
    (tmp_path / "people.csv").write_text("who,history\nada,i1|i6\nbob,\n")
    tfx_bert(tmp_path, "predict", "--input", "people.csv", "--output", "next.csv")
    rows = list(csv.DictReader((tmp_path / "next.csv").open()))
    assert [row["items"].partition("|")[0] for row in rows][:1] == ["i11"]
    assert [row["source"] for row in rows] == ["model", "popularity"]
    assert "  shop.csv:" in tfx_bert(tmp_path, "errors", "-n", "2")
