import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.base import ConfigError
from configs.yaml.document import Document, inline, read, write


def parse(tmp_path, content):
    file = tmp_path / "x.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-5", 3e-5), ("2e9", 2e9), ("1e-4", 1e-4), (".5", 0.5), ("-0.5", -0.5), ("1.", 1.0), ("-3", -3),
        ("010", 10), ("0x1F", 31), ("no", "no"), ("yes", "yes"), ("off", "off"), ("true", True), ("1_000", "1_000"),
        ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01"), ("'3'", "3"), ("긍정", "긍정"),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2(tmp_path, text, value):
    found = parse(tmp_path, f"a: {text}").values["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bom_and_line_ends(tmp_path, head, end):
    document = parse(tmp_path, head + end.join([b"a: 1", b"b:", b"  - {c: 2}", b""]))
    assert document.values == {"a": 1, "b": [{"c": 2}]}
    assert document.place(("b", 0, "c")) == f"{tmp_path}/x.yaml:3"


def test_keys_without_a_value_are_left_out(tmp_path):
    assert parse(tmp_path, "a:\nb: {c: }\nd: ~\n").values == {"b": {}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "x.yaml:2 $.b.c: stands twice, first on line 2"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3 $.a: stands twice, first on line 1"),
        ("a:\n\tb: 1\n", "indent with blanks, not with tabs"),
        (
            "a: b: c\n",
            "x.yaml:1 is not YAML: mapping values are not allowed here (text that contains ': ' stands in quotes)",
        ),
        ("a: [1\n", "x.yaml:2 is not YAML"),
        ("a: 1\n---\nb: 1\n", "one experiment a file"),
        ("- a\n", "x.yaml:1: expected keys"),
        ("", "x.yaml is empty"),
        (b"a: 1\nb: \xb8\xae\n", "x.yaml:2 is not UTF-8 (byte 0xb8)"),
        (b"a: 1\nb: x\0y\n", "x.yaml:2 holds the control character 0x00"),
        ("a: &b [*b]\n", "inside the value that it repeats"),
        ("a: !!python/object:os.system {}\n", "x.yaml:1 is not YAML"),
    ],
)
def test_faults_name_line_and_cure(tmp_path, content, sentence):
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, content)
    assert sentence in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        read(tmp_path / "none.yaml")


def document(**values):
    return Document("x.yaml", values, {})


def test_override_makes_sections_and_keeps_its_own_place():
    it = document(train={"epochs": 3})
    it.override("train.learning_rate=3e-5")
    it.override("evaluate.slices=[a, b]")
    it.override("evaluate.slices.1=c")
    assert it.values == {"train": {"epochs": 3, "learning_rate": 3e-5}, "evaluate": {"slices": ["a", "c"]}}
    assert it.place(("train", "learning_rate")) == "--set train.learning_rate=3e-5"
    assert it.place(("train", "epochs")) == "x.yaml"


def test_override_without_a_value_takes_the_key_away():
    it = document(checkpoint="x", train={"epochs": 3})
    it.override("checkpoint=")
    it.override("train.epochs=null")
    assert it.values == {"train": {}}


@pytest.mark.parametrize("assignment", ["train", "=3", "a..b=3", "name.x=3", "list.7=3", "list.x=3", "name=[1"])
def test_override_that_leads_nowhere_is_refused(assignment):
    with pytest.raises(ConfigError, match="--set"):
        document(name="n", list=[1]).override(assignment)


def test_what_is_written_is_read_back(tmp_path):
    values = {
        "a": 3e-5,
        "b": "3e-5",
        "c": "no",
        "d": ["1", 1, True, "true", ""],
        "e": {"긍정": "< -0.5"},
        "f": 2_000_000_000,
    }
    assert parse(tmp_path, write(values)).values == values
    assert parse(tmp_path, f"x: {inline(values)}").values == {"x": values}
    assert inline("a: b") == "'a: b'"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.sampled_from(["a\x85b", "\u2028", "\ufeff", "yes", "1e3", "~", "- a", "#", "a: b", "a\nb", ".nan", "1_0"])
    )
)
def test_every_text_is_read_back(tmp_path, texts):
    """Labels too, whatever stands in them: U+0085 ends a line of YAML 1.1."""
    file = tmp_path / "a.yaml"
    for written in (f"labels: {inline(texts)}\n", write({"labels": texts})):
        file.write_text(written, "utf-8")
        assert read(file).values["labels"] == texts
