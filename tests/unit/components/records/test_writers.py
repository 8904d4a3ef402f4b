import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records import writers
from components.records.readers import rows
from components.records.rows import Row
from configs.sources import TaskData

# Letters that quoting, line ends and byte-order marks turn on.
TEXT = st.text(st.sampled_from("ab,\"'\\\t\n\r \u2028\x1c\ufeff가"), max_size=6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), pack=st.booleans())
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_what_is_written_reads_back(tmp_path, kind, texts, pack):
    path = tmp_path / f"a.{kind}{'.gz' * pack}"
    written = [{"text": one, "label": two} for one, two in texts]
    if kind == "tsv":
        written = [{name: " ".join(text.split()) + "." for name, text in row.items()} for row in written]
    with writers.lines(path, kind, ["text", "label"], pack=pack) as write:
        for row in written:
            write(row)
    found = list(rows(str(path), TaskData(path=[str(path)]), None))
    assert [row.values for row in found if isinstance(row, Row)] == written


def test_a_tab_has_no_place_in_tsv():
    for text in ("a\tb", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="a tab or a line end in column 'x', which TSV cannot hold"):
            writers.line({"x": text}, "tsv")


def test_cells():
    values = (None, "", True, 1, 0.5, [1, "가"], {"a": None})
    assert [writers.cell(value) for value in values] == ["", "", "true", "1", "0.5", '[1, "가"]', '{"a": null}']
