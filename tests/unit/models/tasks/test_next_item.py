"""The task of the next item: what is asked, answered and ranked. What it learns: test_next_item_learns.py."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import families, task
from models.export import saved_model
from models.judging import eval_rows
from models.recommendation import baselines, counts, figures, sequences
from models.vocabularies.items import FIRST, Items
from tests.unit.models.conftest import TINY

SHAPE = {
    "num_layers": 2,
    "hidden_dim": 16,
    "num_heads": 2,
    "max_positions": 32,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
NAMES = [f"é{number}" for number in range(60)]
RAW = {"history": tf.io.VarLenFeature(tf.string)}
GOLD = {"target": tf.io.RaggedFeature(tf.string)}


def logs(count=300, seed=4):
    """Histories of 1 to 40 items with repeats and unknown ones, and targets, some unknown and some seen."""
    generator = np.random.default_rng(seed)
    places = [generator.zipf(1.4, generator.integers(1, 40)) % 70 for _ in range(count)]
    histories = [[f"é{place}" for place in each] for each in places]
    return histories, [f"é{each % 64}" for each in generator.zipf(1.3, count)]


def items_of(histories, targets):
    flat = [name for each in (*histories, targets) for name in each]
    counts = {name: flat.count(name) for name in NAMES}
    names = sorted(NAMES, key=lambda name: (-counts[name], name))
    return Items(names, [counts[name] for name in names], [f"Title {name}" for name in names])


HISTORIES, TARGETS = logs()
ITEMS = items_of(HISTORIES, TARGETS)


def record(histories, targets=None):
    made = {
        "history": tf.ragged.constant(
            [[name.encode() for name in each] for each in histories], tf.string, ragged_rank=1
        )
    }
    return made | ({"target": tf.constant(targets)} if targets is not None else {})


def dataset(the_task, histories, targets, items=ITEMS):
    raw = record(histories, targets)
    return tf.data.Dataset.from_tensor_slices({"target": raw["target"], **the_task.featurize(raw, items)})


@functools.cache
def made(objective="causal", **config):
    the_task = task.load("next_item")({"objective": objective, "max_length": 16, "top_k": 20, **config})
    rows = dataset(the_task, HISTORIES[:100], TARGETS[:100])
    the_task = the_task.fitted(the_task.training_rows(rows), dataset(the_task, HISTORIES[100:], TARGETS[100:]), ITEMS)
    keras.utils.set_random_seed(3)
    network = families.load("items").network(SHAPE, ITEMS, None)
    model = the_task.build(network if objective != "counts" else None)
    for variable in model.trainable_variables:  # larger: scores that differ from history to history
        variable.assign(variable * 2 if "norm" not in variable.path else variable)
    return the_task, model


def logits(the_task, model, histories):
    return model(the_task.inputs(the_task.featurize(record(histories), ITEMS)))["logits"].numpy()


@pytest.fixture(params=["causal", "cloze", "counts"])
def example(request):
    return made(request.param)


def test_unknown_items_are_left_out_and_counted(example):
    the_task, _ = example
    features = the_task.featurize(record([["é1", "no", "é2", "é1"], ["no"]], ["é2", "no"]), ITEMS)
    assert [len(each) for each in features["item_ids"].to_list()] == [3, 0]
    assert features["unknown"].numpy().tolist() == [1, 1]
    assert features["target_id"].numpy().tolist() == [ITEMS.names.tolist().index("é2".encode()), 1]
    lengths = [1, 5, 6, 20, 21, 50, 51]
    buckets = the_task.featurize(record([["é1"] * length for length in lengths]), ITEMS)["history_bucket"]
    names = the_task.slices["history_bucket"]
    assert [names.index(each.decode()) for each in buckets.numpy()] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("objective", ["causal", "cloze"])
def test_batches_repeat_themselves_and_start_anywhere(objective):
    the_task, _ = made(objective, passes=2)
    rows = the_task.training_rows(dataset(the_task, HISTORIES[:100], TARGETS[:100])).cache()

    def ids(**kwargs):
        stream = the_task.batches(rows, batch_size=32, seed=5, **kwargs)
        return [[batch[name].numpy().tolist() for name in ("token_ids", "masked_ids")] for batch in stream]

    assert ids(epoch=0) == ids(epoch=0)
    assert ids(epoch=0)[2:] == ids(epoch=0, start_step=2)
    assert ids(epoch=0) != ids(epoch=1)


def test_nothing_behind_a_history_and_its_target_is_trained_on():
    the_task, _ = made("causal")
    rows = the_task.training_rows(dataset(the_task, [["é1", "é2"], ["é3"], ["no"]], ["é3", "no", "é1"]))
    (row,) = rows.as_numpy_iterator()  # of the others one item alone is known
    assert [ITEMS.names[each].decode() for each in row["sequence"]] == ["é1", "é2", "é3"]


def test_train_and_eval_together_hold_each_event_once():
    """By user, time or place: what the splits of tests/unit/components/records/kinds/test_sequence.py are made of."""
    the_task, _ = made("causal")

    def together(train, held_out):
        parts = [
            dataset(the_task, [list(each[:-1]) for each in walks], [each[-1] for each in walks])
            for walks in (train, held_out)
        ]
        rows = the_task.training_rows(the_task.together(*parts))
        return [[ITEMS.names[each].decode() for each in row["sequence"]] for row in rows.as_numpy_iterator()]

    one, other, short = ["é1", "é2", "é3"], ["é1", "é2"], ["é4", "é5"]
    # Eval asks a user of train: two users did the same, the third one is in train alone.
    assert together([one, one, short], [[*one, "é9"], [*one, "é8"]]) == [short, [*one, "é9"], [*one, "é8"]]
    # Eval has users of its own: that one of them began as one of train did means nothing.
    assert together([one, other], [[*other, "é7"], ["é6", "é5", "é4"]]) == [
        one,
        other,
        [*other, "é7"],
        ["é6", "é5", "é4"],
    ]


def test_counts_of_both_splits_are_read_as_eval_chose():
    the_task, model = made("counts")
    rows = the_task.training_rows(dataset(the_task, HISTORIES, TARGETS))
    again = the_task.fitted(rows, dataset(the_task, HISTORIES[:1], TARGETS[:1]), ITEMS)
    wanted = counts.shares(
        counts.followers([row["sequence"] for row in rows.as_numpy_iterator()], ITEMS.size, model.decay.reach)
    )
    assert again._decay == the_task._decay
    assert abs(again._followers - wanted).max() == 0
    assert abs(again._followers - the_task._followers).max() > 0


def test_an_item_that_eval_alone_has_teaches_nothing():
    """It has a title, and no count: its score is fixed in training."""
    items = Items(["a", "b", "cold"], [2, 1, 0], vectors=np.eye(3, dtype=np.float32))
    the_task = task.load("next_item")({"titles": "given"}).fitted(None, None, items)
    raw = record([["a", "cold", "b"]], ["cold"])
    rows = tf.data.Dataset.from_tensor_slices({"target": raw["target"], **the_task.featurize(raw, items)})
    assert [items.names[row["sequence"]].tolist() for row in the_task.training_rows(rows).as_numpy_iterator()] == [
        [b"a", b"b"]
    ]


def test_what_stands_before_max_length_changes_no_score_but_is_excluded(example):
    the_task, model = example
    read = model.decay.window if the_task.config.objective == "counts" else 16
    before, last = NAMES[:9], NAMES[20 : 20 + read]
    np.testing.assert_allclose(logits(the_task, model, [last]), logits(the_task, model, [before + last]), atol=1e-6)
    (answer,) = answered(the_task, model, [before + last])
    assert not set(before) & set(answer)


def test_longer_neighbours_in_a_batch_change_nothing(example):
    the_task, model = example
    alone = np.concatenate([logits(the_task, model, [each]) for each in HISTORIES[:20]])
    np.testing.assert_allclose(alone, logits(the_task, model, HISTORIES[:20]), atol=1e-5)


def test_a_causal_network_does_not_look_ahead():
    the_task, model = made("causal")
    batch = the_task.inputs(the_task.featurize(record([NAMES[:12]]), ITEMS))
    changed = {**batch, "token_ids": tf.tensor_scatter_nd_update(batch["token_ids"], [[0, 7]], [FIRST + 50])}
    places = tf.range(12)
    one, other = (
        model({**each, "masked_indices": places, "masked_ids": places}, training=False) for each in (batch, changed)
    )
    np.testing.assert_array_equal(one["mlm_logits"][:7], other["mlm_logits"][:7])
    assert (abs(one["mlm_logits"][7:] - other["mlm_logits"][7:]).numpy().max(axis=1) > 1e-3).all()
    assert made("cloze")[1].network.encoder.causal is False


def signatures(the_task, model):
    featurize = lambda columns: the_task.featurize(  # noqa: E731
        {name: tf.RaggedTensor.from_sparse(value) for name, value in columns.items()}, ITEMS
    )
    made = saved_model.signatures(families.load("items"), model, the_task, featurize, RAW, GOLD, ITEMS)
    return {name: function for name, (function, _) in made.items()}


def serialized(history, target=None):
    features = {"history": history} | ({"target": [target]} if target else {})
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.encode() for each in values]))
                for name, values in features.items()
            }
        )
    ).SerializeToString()


def answered(the_task, model, histories):
    found = signatures(the_task, model)["serving_default"](tf.constant(["|".join(each) for each in histories]))
    return [[each.decode() for each in row if each] for row in found["items"].numpy()]


def test_what_is_served_are_the_best_of_the_scores(example):
    the_task, model = example
    found = answered(the_task, model, HISTORIES)
    scores = logits(the_task, model, HISTORIES).astype(np.float64)
    for history, answer, row in zip(HISTORIES, found, scores, strict=True):
        if not set(history) & set(NAMES):
            row = np.log(ITEMS.counts + 1e-9)
        allowed = [place for place in range(FIRST, ITEMS.size) if ITEMS.names[place].decode() not in history]
        assert answer == [ITEMS.names[place].decode() for place in sorted(allowed, key=lambda place: -row[place])[:20]]
        assert len(set(answer)) == len(answer)


def test_the_rank_is_the_place_in_the_answer(example):
    objective = example[0].config.objective
    the_task, model = made(objective, top_k=len(NAMES))
    examples = tf.constant([serialized(*each) for each in zip(HISTORIES, TARGETS, strict=True)])
    functions = signatures(the_task, model)
    found = functions["serving_examples"](examples)
    joined = tf.constant(["|".join(each) for each in HISTORIES])
    none = tf.fill([len(HISTORIES)], "")
    listed = functions["recommend"](joined, none, none)["items"].numpy()
    checked = 0
    for history, target, row, rank, best in zip(
        HISTORIES, TARGETS, listed, found["rank"].numpy(), found["best_rank"].numpy(), strict=True
    ):
        if target not in NAMES:
            assert rank == best == 0
        elif target not in history:
            place = 1 + row.tolist().index(target.encode())
            assert best <= place <= rank
            checked += 1
    assert checked > 50
    bare = functions["serving_examples"](tf.constant([serialized(each) for each in HISTORIES]))
    for name, value in functions["serving_default"](joined).items():
        np.testing.assert_array_equal(value, found[name])
        np.testing.assert_array_equal(value, bare[name])


def test_a_mistake_is_told_with_the_title_and_the_place_of_the_right_item(example):
    the_task, model = example
    asked = tf.constant([serialized(["é1"], "é2"), serialized(["é1"], "no")])
    found = {name: value.numpy() for name, value in signatures(the_task, model)["serving_examples"](asked).items()}
    told = [
        the_task.expected({**task.nth(found, place), "target": np.array([name.encode()], object)})
        for place, name in enumerate(["é2", "no"])
    ]
    assert told == [f"é2 Title é2, place {found['rank'][0]}", "no, never seen in train"]
    assert the_task.expected({"target": np.array([b"302"], object)}) == "302"


def test_slices_by_the_target_are_half_ninety_percent_and_the_rest():
    the_task, model = made("causal")
    targets = [ITEMS.names[FIRST].decode(), ITEMS.names[-1].decode(), "no"]
    examples = tf.constant([serialized(["é1"], target) for target in targets])
    bands = signatures(the_task, model)["transform_features"](examples)["target_band"]
    assert bands.numpy().tolist() == [b"head", b"tail", b"new"]


def test_counts_in_the_graph_are_those_of_numpy():
    the_task, model = made("counts")
    place = {name.decode(): index for index, name in enumerate(ITEMS.names)}
    known = [np.array([place[name] for name in each if name in place], int) for each in HISTORIES]
    rows = the_task.training_rows(dataset(the_task, HISTORIES[:100], TARGETS[:100])).as_numpy_iterator()
    followers = counts.followers([row["sequence"] for row in rows], ITEMS.size, model.decay.reach)
    wanted = np.array(
        list(
            counts.scored(
                known, counts.shares(followers), counts.ties(ITEMS.counts), model.decay.window, model.decay.fade
            )
        )
    )[:, FIRST:]
    found = np.exp(logits(the_task, model, HISTORIES)[:, FIRST:])
    asked = np.array([len(each) > 0 for each in known])
    np.testing.assert_allclose(found[asked], wanted[asked], rtol=1e-6, atol=1e-14)
    np.testing.assert_array_equal(
        *(np.argsort(-each[asked], axis=1, kind="stable")[:, :20] for each in (found, wanted))
    )


def test_exclusion_and_candidates():
    the_task, model = made("causal")
    asked = signatures(the_task, model)["recommend"]
    history = tf.constant(["é1|é2"] * 3)
    free = asked(history, tf.constant([""] * 3), tf.constant([""] * 3))["items"].numpy()[0].tolist()
    found = asked(
        history,
        tf.constant([b"|".join(free[:3]), b"no", b""]),
        tf.constant(["", "é7|é1|no|é9|é8", "no"]),
    )
    rows = found["items"].numpy().tolist()
    assert rows[0][:17] == free[3:]
    everything = tf.constant(["|".join(NAMES)] * 3)
    assert asked(history, tf.constant([""] * 3), everything)["items"].numpy()[0].tolist() == free
    assert set(rows[1][:3]) == {"é7".encode(), "é8".encode(), "é9".encode()}
    assert rows[1][3:] == [b""] * 17 == rows[2][3:]
    assert rows[2] == [b""] * 20
    assert found["scores"].numpy()[1, :3].sum() == pytest.approx(1)
    assert found["scores"].numpy()[2].tolist() == [0] * 20


def test_what_decided_are_the_items_without_which_the_first_answer_is_less_likely(example):
    """The loop takes one item after the other out of the history, and keeps what was seen excluded."""
    the_task, model = example[0], example[1]
    functions = signatures(the_task, model)
    history = ["é3", "no", "é1", "é9", "é2", "é9", "é4"]
    histories = ["|".join(history), "", "no", "|".join(["é7", "é5"] * 40)]
    found = {name: value.numpy() for name, value in functions["explain"](tf.constant(histories)).items()}
    plain = functions["serving_default"](tf.constant(histories))
    np.testing.assert_array_equal(found["items"], plain["items"])
    count = (found["item"] != b"").sum(axis=1)
    assert count.tolist() == [6, 0, 0, the_task.read]
    places = [place for place, name in enumerate(history) if name != "no"]
    assert [name.decode() for name in found["item"][0, :6]] == [history[place] for place in places]
    assert [name.decode() for name in found["title"][0, :2]] == ["Title é3", "Title é1"]
    assert found["start"][0, :6].tolist() == places
    assert found["end"][0, :6].tolist() == [place + 1 for place in places]
    assert found["end"][3, count[3] - 1] == 80
    features = the_task.featurize(record([history]), ITEMS)
    allowed = the_task.eligible(features)[0].numpy()

    def shares(asked):
        scores = logits(the_task, model, [asked])[0].astype(np.float64)
        powers = np.where(allowed, np.exp(scores - scores[allowed].max()), 0)
        return powers / powers.sum()

    first = ITEMS.names.tolist().index(found["items"][0, 0])
    effects = [shares(history)[first] - shares(history[:place] + history[place + 1 :])[first] for place in places]
    assert max(map(abs, effects)) > 1e-4
    np.testing.assert_allclose(found["effect"][0, :6], effects, atol=1e-5)


def test_items_are_alike_by_their_vectors_and_histories_score_by_theirs():
    the_task, model = made("causal")
    functions = signatures(the_task, model)
    found = functions["item"](tf.constant(["é3", "no", ""]))
    assert found["known"].numpy().tolist() == [True, False, False]
    table, place = model.network.table().numpy(), ITEMS.names.tolist().index("é3".encode())
    np.testing.assert_array_equal(found["vector"][0], table[place])
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    order = [each for each in np.argsort(-(unit @ unit[place])) if each >= FIRST and each != place]
    assert found["similar"][0].numpy().tolist() == ITEMS.names[order[:20]].tolist()
    assert found["similar"][1].numpy().tolist() == [b""] * 20
    vector = functions["embed"](tf.constant(["é1|é2"]))["vector"]
    wanted = vector.numpy() @ table.T + model.network.head.bias.numpy()
    np.testing.assert_allclose(wanted[:, FIRST:], logits(the_task, model, [["é1", "é2"]])[:, FIRST:], atol=1e-4)


def test_a_settled_model_has_one_table_and_reads_no_title():
    vectors = np.random.default_rng(3).normal(size=(len(NAMES), 24)).astype(np.float32)
    items = Items([each.decode() for each in ITEMS.names[FIRST:]], ITEMS.counts[FIRST:].tolist(), vectors=vectors)
    keras.utils.set_random_seed(5)
    config = {"objective": "causal", "max_length": 8, "titles": "given"}
    the_task = task.load("next_item")(config).fitted(None, None, items)
    family = families.load("items")
    model = the_task.build(family.network(SHAPE, items, None))
    row = the_task.inputs({"item_ids": tf.ragged.constant([[9, 7, 30], []], tf.int64, ragged_rank=1)})

    def titles_read():
        operations = tf.function(lambda: model(row)).get_concrete_function().graph.get_operations()
        return sum(each.type == "Const" and each.outputs[0].shape == vectors.shape for each in operations)

    before, read = model(row), titles_read()
    family.settle(model)
    after = model(row)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert (read, titles_read()) == (1, 0)


def test_cold_start_is_popularity_less_what_is_excluded(example):
    the_task, model = example
    functions = signatures(the_task, model)
    found = functions["serving_default"](tf.constant(["", "no|é99999", "|||", "é1,é2", "é0", "no|é0"]))
    assert [each.decode() for each in found["source"].numpy()] == ["popularity"] * 4 + ["model"] * 2
    assert found["known"].numpy().tolist() == [0, 0, 0, 0, 1, 1]
    assert found["unknown"].numpy().tolist() == [0, 2, 0, 1, 0, 1]  # another separator makes one unknown item
    np.testing.assert_array_equal(found["items"][4], found["items"][5])
    first = ITEMS.names[FIRST:]
    for row in found["items"].numpy()[:4]:
        assert row.tolist() == first[:20].tolist()
    assert found["titles"].numpy()[0, 0] == b"Title " + first[0]
    none = functions["recommend"](tf.constant([""]), tf.constant([b"|".join(first[:2])]), tf.constant([""]))
    assert none["items"].numpy()[0].tolist() == first[2:22].tolist()
    everything = functions["serving_default"](tf.constant(["|".join(NAMES)]))
    assert everything["items"].numpy().tolist() == [[b""] * 20]
    assert everything["scores"].numpy().tolist() == [[0] * 20]


def test_requests_as_people_write_them(example):
    """Blanks around items and empty places mean nothing; of the rest each item is known or unknown, repeats too."""
    the_task, model = example
    functions = signatures(the_task, model)
    asked = {
        "": (0, 0),
        " \t": (0, 0),
        "|||": (0, 0),
        "é1|é2": (2, 0),
        " é1 | é2 ": (2, 0),
        "|é1||é2|": (2, 0),
        "é1|no|é2": (2, 1),
        "é1|é2|é2": (3, 0),
        "É1|é 1": (0, 2),
        "é1;é2": (0, 1),
        "[MASK]|[PAD]": (0, 2),
    }
    found = {name: value.numpy() for name, value in functions["serving_default"](tf.constant(list(asked))).items()}
    assert list(zip(found["known"].tolist(), found["unknown"].tolist(), strict=True)) == list(asked.values())
    assert found["source"].tolist() == [b"model" if known else b"popularity" for known, _ in asked.values()]
    rows = dict(zip(asked, found["items"].tolist(), strict=True))
    assert rows[" é1 | é2 "] == rows["|é1||é2|"] == rows["é1|no|é2"] == rows["é1|é2"]
    assert rows[""] == rows[" \t"] == rows["é1;é2"] == ITEMS.names[FIRST : FIRST + 20].tolist()
    if "item" in functions:
        assert functions["item"](tf.constant([" é1 ", "É1"]))["known"].numpy().tolist() == [True, False]


def test_of_ten_thousand_items_the_last_are_read_and_all_are_excluded(example):
    the_task, model = made(example[0].config.objective, top_k=len(NAMES))
    last = NAMES[30 : 30 + the_task.read]
    history = [*(f"é{number % 30}" for number in range(10_000 - len(last))), *last]
    functions = signatures(the_task, model)
    found = functions["serving_default"](tf.constant(["|".join(history), "|".join(last)]))
    assert found["known"].numpy().tolist() == [10_000, len(last)]
    shown, short = ([name.decode() for name in row if name] for row in found["items"].numpy())
    left = set(NAMES) - set(history)
    assert shown == [name for name in short if name in left]
    assert len(shown) == len(left) > 0


def test_where_people_come_back_what_was_seen_is_answered():
    the_task, model = made("causal", exclude_seen=False, top_k=60)
    (answer,) = answered(the_task, model, [NAMES])
    assert len(answer) == 60


def test_the_eval_split_is_judged_as_the_evaluator_judges(example):
    the_task, model = example
    split = eval_rows.batches(the_task, dataset(the_task, HISTORIES, TARGETS), 64)
    rows = eval_rows.of_split(the_task, model, split)()
    assert rows.shape == (300, len(the_task.row_metric_names))
    found = the_task.figures(rows)
    assert next(iter(found.values)) == the_task.metrics[0].name == "ndcg_10"
    assert set(found.values) == {metric.name for metric in the_task.metrics}
    assert found.values["new"] == np.mean([target not in NAMES for target in TARGETS])
    assert the_task.headline(rows) == the_task.choose(rows) == found.values["ndcg_10"]
    assert set(the_task.figures(rows[:0]).values) == set(found.values)


def test_trivial_is_the_popularity_baseline():
    """Of all items, and counts of the train split: the model's own are of these records."""
    the_task, model = made("causal")
    train = [
        {"history": np.array([name] * int(count - 1), object), "target": np.array([name], object)}
        for name, count in zip(ITEMS.names[FIRST:], ITEMS.counts[FIRST:], strict=True)
        if count
    ]
    test = [{"history": np.array([each.encode() for each in history], object)} for history in HISTORIES]
    answers = baselines.answers("popularity", train, test, exclude_seen=True)
    own = eval_rows.of_split(the_task, model, eval_rows.batches(the_task, dataset(the_task, HISTORIES, TARGETS), 64))()
    rows = np.array([figures.row_of(answer, target.encode()) for answer, target in zip(answers, TARGETS, strict=True)])
    np.testing.assert_array_equal(rows[:, 0], own[:, 2])


def test_figures_by_hand():
    rows = np.zeros((4, 14))
    rows[:, :4] = [[1, 1, 2, 8], [3, 2, 1, 8], [11, 11, 11, 8], [0, 0, 0, 8]]
    rows[:, 4:7] = [[5, 6, 7]] * 4
    found = figures.of(rows).values
    assert found["hit_10"] == found["hit_5"] == 0.5
    assert found["hit_20"] == 0.75
    assert found["ndcg_10"] == pytest.approx((1 + 0.5) / 4)
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 11) / 4)
    assert found["tied"] == found["new"] == 0.25
    assert found["coverage_10"] == 3 / 8
    assert found["popularity_10"] == pytest.approx(np.mean([1, 6 / 7, 5 / 7]))
    assert figures.of(rows).trivial == pytest.approx((1 / np.log2(3) + 1) / 4)


@pytest.mark.parametrize("causal", [False, True])
def test_scores_are_those_of_transformers(causal, tmp_path):
    """``BertForMaskedLM`` and ``BertLMHeadModel`` with positions from the end (tests/golden/make_bert_golden.py)."""
    golden = np.load(TINY.parent / "bert_tiny_items.npz")
    shape = json.loads((TINY / "config.json").read_text())
    items = Items(
        [f"i{number}" for number in range(shape["vocab_size"] - FIRST)], range(shape["vocab_size"] - FIRST, 0, -1)
    )
    family = families.load("items")
    network = family.network(None, items, TINY)
    family.load(TINY, network)
    the_task = task.load("next_item")({"objective": "causal" if causal else "cloze"}).fitted(None, None, items)
    model = the_task.build(network)
    batch = sequences.row(tf.RaggedTensor.from_tensor(golden["token_ids"], lengths=golden["lengths"]))
    found = model(batch)["logits"].numpy()
    wanted = golden["causal" if causal else "cloze"][np.arange(len(found)), golden["lengths"] - 1]
    np.testing.assert_allclose(found[:, FIRST:], wanted[:, FIRST:], atol=1e-5)
    assert (found[:, :FIRST] < -1e8).all()
    family.save(tmp_path / "saved", model, the_task, items)  # and read again
    again = family.network(None, items, tmp_path / "saved")
    family.load(tmp_path / "saved", again)
    np.testing.assert_array_equal(the_task.build(again)(batch)["logits"], found)
    config = json.loads((tmp_path / "saved/config.json").read_text())
    assert config.get("is_decoder", False) == causal
