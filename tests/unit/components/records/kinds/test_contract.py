"""What every record kind keeps: those of this folder, and one that lives elsewhere."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

import components.records.kinds
import schemas
from components.records.kind import load
from components.records.record import Counted, LeftOut, Part, Record, key
from models import task
from pipeline.loader import task_types

# Options of the section, and rows of JSON Lines that make one record.
ROWS = {
    "classification": ({}, [{"text": "good", "label": "x"}]),
    "multi_label": ({}, [{"text": "good", "labels": ["x", "y"]}]),
    "regression": ({}, [{"text": "good", "label": 2.5}]),
    "similarity": ({}, [{"text": "good", "text_pair": "fine", "label": 4}]),
    "token_classification": ({}, [{"text": "Ada here", "entities": [[0, 3, "PER"]]}]),
    "question_answering": (
        {},
        [{"question": "who?", "context": "Ada", "answers": {"text": ["Ada"], "answer_start": [0]}}],
    ),
    "corpus": (
        {"document": "room", "order": "at"},
        [{"room": 1, "at": 2, "text": "second"}, {"room": 1, "at": 1, "text": "first"}],
    ),
    "score": ({}, [{"text": "good"}]),
    "teacher_texts": ({}, [{"text": "good"}]),
    "sequence": ({"time": "at"}, [{"user": "u", "item": f"i{time}", "at": time} for time in (3, 1, 4, 2)]),
    "histories": ({"time": "at"}, [{"user": "u", "item": f"i{n}", "at": n} for n in range(3)]),
    "catalogue": ({}, [{"item": "i1", "title": "Heat"}]),
    "parallel": ({}, [{"text": "good", "target": "gut"}, {"text": "good", "target": "gut"}]),
    "tests.component.events": ({}, [{"user": "u", "item": f"i{time}", "time": time} for time in (3, 1, 4, 2)]),
}
# Records without the right answer go to no gate.
UNCHECKED = {"score", "teacher_texts", "histories"}
TYPES = {schema_pb2.BYTES: bytes, schema_pb2.INT: int, schema_pb2.FLOAT: float}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=ROWS)
def kind(request):
    return made(request.param, ROWS[request.param][1])


def made(name, rows):
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return load(name)(load(name).data(path=["a.jsonl"], **ROWS[name][0]))


def records(kind):
    items = list(kind.records("a.jsonl"))
    if not kind.grouped:
        return [(None, item) for item in items]
    assert all(isinstance(item, Part) for item in items), items
    return [item for item in kind.join(items) if not isinstance(item, Counted)]


def test_every_kind_is_held_to_the_contract():
    folder = Path(components.records.kinds.__path__[0])
    assert {path.stem for path in folder.glob("[!_]*.py")} == {name for name in ROWS if "." not in name}


def test_a_kind_is_found_by_its_name(kind):
    assert load(kind.name) is type(kind)
    assert set(kind.data.keys) <= kind.data.model_fields.keys()


def test_its_records_are_what_its_schema_says(kind):
    found = records(kind)
    assert found
    for _, record in found:
        assert isinstance(record, Record)
        assert set(record.features) <= set(kind.features())
        if kind.name in UNCHECKED:
            continue
        schema = {feature.name: feature.type for feature in kind.schema().feature}
        assert set(record.features) == schema.keys()
        for name, values in record.features.items():
            assert values
            assert all(type(value) is TYPES[schema[name]] for value in values), name


def test_what_it_says_is_gold_is_what_its_tasks_are_judged_by():
    for name in task_types():
        the_task = task.load(name)
        assert set(the_task.gold) == set(load(the_task.schema).gold), name


def test_a_worker_gets_it_as_it_is(kind):
    assert records(pickle.loads(pickle.dumps(kind))) == records(kind)


def test_a_key_has_one_split_and_every_split_its_share(kind):
    assert sum(kind.shares.values()) == pytest.approx(1)
    splits = [kind.split_of(key([str(number)]), "path") for number in range(2_000)]
    assert splits == [kind.split_of(key([str(number)]), "path") for number in range(2_000)]
    for split, share in kind.shares.items():
        assert splits.count(split) == pytest.approx(2_000 * share, abs=80)  # more than 4 σ


def test_a_group_is_joined_whatever_order_its_rows_come_in(kind):
    if kind.grouped:
        forward, name = records(kind), kind.name
        backward = records(made(name, ROWS[name][1][::-1]))
        content = [[{**record.features, "origin": ()} for _, record in found] for found in (forward, backward)]
        assert content[0] == content[1]
        assert {split for split, _ in forward} <= {None, *kind.shares}


def test_a_person_reads_what_it_is(kind):
    assert kind.noun.isalpha()
    assert kind.columns == [name for _, name in kind.source.columns]
    assert type(kind)(kind.source, slices=["city"]).columns == [*kind.columns, "city"]


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x", "0.7", "PER"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize("name", ROWS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.data())
def test_every_row_is_a_record_or_has_a_reason(name, data):
    columns = made(name, ROWS[name][1]).columns
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, _values)), min_size=1, max_size=3))
    found = list(made(name, rows).records("a.jsonl"))
    assert len(found) == len(rows)
    assert all(isinstance(item, Record | Part | LeftOut) or item.reason.isprintable() for item in found)


def test_a_schema_lies_beside_a_kind_that_lives_elsewhere():
    assert [feature.name for feature in schemas.load("tests.component.events").feature] == ["items", "next", "origin"]
    with pytest.raises(schemas.DataError, match=r"there is no schema .*nowhere\.pbtxt"):
        schemas.load("nowhere")
