import gzip
import json
import unicodedata

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import schemas
from configs.sources import LabelRanges
from pipeline import cli, loader
from tests.unit.pipeline.start.initializing import ENGLISH, KOREAN, checked, init, table

pytestmark = pytest.mark.usefixtures("folder")


def test_an_english_csv(folder):
    table(folder / "My Reviews.csv", ENGLISH * 30)
    output = init("My Reviews.csv")
    assert "60 records" in output
    assert "UTF-8 · English" in output
    assert "assumed  'text' is the text: its values are the longest" in output
    assert "✓ my-reviews.yaml and schemas/my-reviews.pbtxt: review them" in output
    found = loader.load("my-reviews.yaml")
    assert found.checkpoint == "data/minilm"
    assert found.task.labels == ["bad", "good"]  # the last one counts as positive
    assert found.task.pooling == "mean"  # 30 records a label
    assert (found.task.data.text, found.task.data.label) == ("text", "label")
    assert len((folder / "my-reviews.yaml").read_text().splitlines()) <= 16
    schema = schemas.resolve("classification", path="schemas/my-reviews.pbtxt")
    assert list(schema.string_domain[0].value) == ["bad", "good"]


def test_a_column_of_few_values_is_a_slice_and_closed_in_the_schema(folder):
    rows = [(*row, place) for place in ("book", "film") for row in ENGLISH * 20]
    table(folder / "reviews.csv", rows, ("id", "text", "label", "kind"))
    init("reviews.csv")
    assert loader.load("reviews.yaml").evaluate.slices == ["kind"]
    schema = schemas.load("schemas/reviews.pbtxt")
    assert {domain.name: list(domain.value) for domain in schema.string_domain}["kind"] == ["book", "film"]


def test_a_file_that_is_sorted_by_label_is_seen_whole(folder):
    table(
        folder / "reviews.csv", [(f"{n} was rather dull", "bad") for n in range(22_000)] + [("it shone", "good")] * 3000
    )
    assert "25,000 records" in init("reviews.csv")
    assert loader.load("reviews.yaml").task.labels == ["bad", "good"]


def test_a_value_that_comes_late_is_in_the_closed_schema(folder):
    rows = [(*row, place) for row in ENGLISH * 11_000 for place in ("book",)] + [
        ("late but good", "good", "film")
    ] * 600
    table(folder / "reviews.csv", rows, ("id", "text", "label", "kind"))
    init("reviews.csv")
    domains = {domain.name: list(domain.value) for domain in schemas.load("schemas/reviews.pbtxt").string_domain}
    assert domains["kind"] == ["book", "film"]


@pytest.mark.parametrize(
    ("name", "label", "sentence"),
    [
        ("My Reviews", "label", "--name takes lower-case letters, digits, - and _, at most 63. Received: 'My Reviews'"),
        ("../x", "label", "Received: '../x'"),
        ("r", "text", "--label: column 'text' is the text already"),
    ],
)
def test_what_cannot_work_writes_nothing(folder, name, label, sentence):
    table(folder / "r.csv", ENGLISH * 30)
    assert sentence in init("r.csv", "--name", name, "--text", "text", "--label", label, code=2)
    assert sorted(path.name for path in folder.iterdir()) == ["r.csv"]


def test_a_name_that_globs_would_read_and_rows_that_cannot_be_used(folder):
    """A label that is a large number, a quarter of the rows without one; a file name with brackets; then ``check``."""
    rows = [(f"number {n} of many", "" if n % 4 == 0 else str(n * 40_000)) for n in range(400)]
    table(folder / "big[1].csv", rows)
    init("big[1].csv", "--name", "big")
    found = loader.load("big.yaml").task
    assert found.data.max_bad_share == 0.26
    assert (found.type, found.data.min, found.data.max) == ("regression", 40_000, 15_960_000)
    result = CliRunner().invoke(cli.main, ["check", "big.yaml"])
    assert "✓ big[1].csv: 300 records" in result.output


def test_no_row_that_can_be_used(folder):
    table(folder / "r.csv", [("", "good"), ("", "bad")] * 30)
    cause = "60 × column 'text' is empty, first r.csv:2; name other columns with --text and --label"
    assert f"r.csv: not one row can be used: {cause}" in init("r.csv", "--text", "text", "--label", "label", code=3)


def test_json_truths_and_columns_named_like_features(folder):
    rows = [{"text": f"{n} was a film", "origin": "a", "length_bucket": "b", "spam": n % 2 == 0} for n in range(80)]
    (folder / "r.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    init("r.jsonl", "--label", "spam")
    found = loader.load("r.yaml")
    assert (found.task.labels, found.evaluate.slices) == (["false", "true"], [])


def test_large_numbers_keep_their_digits(folder):
    table(folder / "r.csv", [(f"{n} was a film", str(1_700_000_000 + n)) for n in range(60)])
    output = init("r.csv", "--text", "text", "--label", "label")
    assert "a number from 1700000000 to 1700000059" in output
    assert "ranges: {low: '< 1700000029.5', high: '>= 1700000029.5'}" in output
    assert loader.load("r.yaml").task.data.max == 1_700_000_059


def test_what_it_writes_passes_check(folder):
    table(folder / "reviews.csv", KOREAN * 30, ("번호", "리뷰", "감성"), "cp949")
    init("reviews.csv")
    result = CliRunner().invoke(cli.main, ["check", "reviews.yaml"])
    assert result.exit_code == 0, result.output


def test_nothing_is_overwritten_without_force(folder):
    table(folder / "r.csv", ENGLISH * 3)
    init("r.csv")
    (folder / "r.yaml").write_text("mine")
    assert "r.yaml and schemas/r.pbtxt would be overwritten" in init("r.csv", code=2)
    assert (folder / "r.yaml").read_text() == "mine"
    init("r.csv", "--force")
    assert loader.load("r.yaml").name == "r"
    init("r.csv", "--name", "other")
    assert loader.load("other.yaml").name == "other"


def test_the_labels_that_a_number_could_be_are_told_as_yaml(folder):
    """Edited as the sentence says, the experiment is a classification."""
    table(folder / "r.csv", [(f"{text} {n}", f"{n - 40}.25") for n, (text, _) in enumerate(ENGLISH * 40)])
    told = next(line for line in init("r.csv").splitlines() if "is a number to predict" in line)
    label = "{column: label, ranges: {low: '< 0', high: '>= 0'}}"
    assert told.endswith(f"type: classification, labels: [low, high], label: {label}")
    written = (folder / "r.yaml").read_text().replace("type: regression", "type: classification\n  labels: [low, high]")
    (folder / "r.yaml").write_text(written.replace("label: label, min: -41.0, max: 40.0", f"label: {label}"))
    found = loader.load("r.yaml").task
    assert found.data.label == LabelRanges(column="label", ranges={"low": "< 0", "high": ">= 0"})
    assert "50 % high" in checked("r.yaml")


def test_pairs_slices_and_tabs(folder):
    rows = [
        (f"{a} {n}", f"{b} {n}", "yes" if n % 2 else "no", "news" if n % 3 else "web")
        for n, (a, b) in enumerate(ENGLISH * 60)
    ]
    table(folder / "r.tsv", rows, ("id", "sentence1", "sentence2", "label", "genre"), delimiter="\t")
    assert "sentence1 and sentence2" in init("r.tsv")
    found = loader.load("r.yaml")
    assert (found.task.data.text, found.task.data.text_pair) == ("sentence1", "sentence2")
    assert found.evaluate.slices == ["genre"]
    assert found.task.labels == ["no", "yes"]


def test_gzipped_json_lines_with_numbers_as_labels(folder):
    with gzip.open(folder / "r.jsonl.gz", "wt") as file:
        file.writelines(
            json.dumps({"body": text, "target": int(label == "good")}) + "\n" for text, label in ENGLISH * 10
        )
    init("r.jsonl.gz")
    found = loader.load("r.yaml")
    assert (found.task.data.text, found.task.data.label, found.task.labels) == ("body", "target", ["0", "1"])


def test_one_json_array(folder):
    rows = [{"body": text, "target": label} for text, label in ENGLISH * 10]
    (folder / "r.json").write_text(json.dumps(rows, indent=1))
    init("r.json")
    found = loader.load("r.yaml")
    assert (found.task.data.text, found.task.data.label, found.task.labels) == ("body", "target", ["bad", "good"])


def test_rows_that_cannot_be_used_are_set_aside(folder):
    table(folder / "r.csv", [*ENGLISH * 5, ("", "good")])
    assert "column 'text' is empty: set aside (quarantine)" in init("r.csv")
    assert loader.load("r.yaml").task.data.on_bad_record == "quarantine"


def test_a_line_that_names_the_separator_is_no_header(folder):
    table(folder / "r.csv", ENGLISH * 30)
    (folder / "r.csv").write_text(f"sep=,\n{(folder / 'r.csv').read_text()}")
    assert "60 records" in init("r.csv")
    assert "60 records" in checked("r.yaml")


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_nan_is_no_label(folder, ending):
    labels = [0.0, 1.0, float("nan"), 1.0, 0.0] * 12
    rows = [{"text": f"the film was number {n} of many", "label": label} for n, label in enumerate(labels)]
    if ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "r.parquet")
    elif ending == "jsonl":
        (folder / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        table(folder / "r.csv", [(row["text"], row["label"]) for row in rows])
    assert "12 rows, such as 12 × column 'label' is empty" in init(f"r.{ending}")
    assert loader.load("r.yaml").task.labels == ["0.0", "1.0"]
    assert "48 records" in checked("r.yaml")


def test_columns_that_nobody_asks_for(folder):
    """Without names, or two of a name: Kaggle's SMS spam has ``v1,v2,,,``."""
    rows = [(*row, "a", "b", "", "") for row in ENGLISH * 30]
    table(folder / "r.csv", rows, ("", "text", "label", "note", "note", "", ""))
    init("r.csv")
    assert "60 records" in checked("r.yaml")
    assert "✗ r.csv:1 has 2 columns 'note'; rename all but one" in init("r.csv", "--label", "note", "--force", code=3)


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("r.csv", "text,label\n" + "a good film,pos,\n" * 9, "9 × 3 columns, header has 2, first r.csv:2"),
        ("r.jsonl", '{"text": "a film", "label": "pos"},\n' * 9, "9 × not JSON (Extra data), first r.jsonl:1"),
        ("r.jsonl", "[1]\n[2]\n", "r.jsonl:2 is not JSON (Extra data), and the file begins an array"),
        ("r.jsonl", "{}\n{}\n", "its records have no columns that can be named"),
        ("r.jsonl", '{"text": ["a film"], "label": "x"}\n' * 9, "no column looks like text (label)"),
        ("r.jsonl", '{\n "text": "a film"\n}\n', "r.jsonl is one JSON object; an object a line is expected"),
        ("r.csv", "PK\x03\x04", "r.csv is a ZIP archive, as Excel's workbooks are"),
        ("r.parquet", "text", "r.parquet is not a whole Parquet file"),
        ("r.txt", "a film\n", "r.txt is plain text, without labels"),
        ("r.conll", "EU NNP\nB-ORG\n", "r.conll is words with tags of no scheme that is known"),
        ("r.json", '{"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}', "r.json has one record only"),
        ("r.csv.gz", "text,label\n", "r.csv.gz is not gzip, though its name says so"),
    ],
)
def test_the_cause_is_that_of_the_rows(folder, name, content, cause):
    (folder / name).write_text(content)
    assert cause in init(name, code=3)


def test_parquet_of_bytes_and_structs(folder):
    rows = [{"doc": {"text": text.encode()}, "label": label.encode()} for text, label in ENGLISH * 30]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "r.parquet")
    init("r.parquet")
    found = loader.load("r.yaml").task
    assert (found.data.text, found.labels) == ("doc.text", ["bad", "good"])
    assert "60 records" in checked("r.yaml")


def test_a_slice_costs_no_record(folder):
    rows = [
        {"text": f"{text} {n}", "label": label, "kind": "ab"[n % 2]} for n, (text, label) in enumerate(ENGLISH * 60)
    ]
    del rows[3]["kind"], rows[90]["kind"]
    (folder / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    init("r.jsonl")
    found = loader.load("r.yaml")
    assert (found.evaluate.slices, found.task.data.on_bad_record) == ([], "fail")
    assert "kind'" in checked("r.yaml", "--set", "evaluate.slices=[kind]", code=3)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("35412", ["1", "2", "3", "4", "5"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["no", "yes", "maybe"], ["maybe", "no", "yes"]),
        (["yes", "no"], ["no", "yes"]),
        (["1", "0"], ["0", "1"]),
    ],
)
def test_the_order_of_labels(folder, values, labels):
    table(folder / "r.csv", [(f"the film was number {n}", value) for n, value in enumerate([*values] * 9)])
    init("r.csv")
    assert loader.load("r.yaml").task.labels == labels


def test_numbers_most_of_which_are_the_smallest(folder):
    """The cut that is told leaves no side empty."""
    table(folder / "r.csv", [(f"the film was number {n}", str(max(0, n - 80) * 1.5)) for n in range(160)])
    assert "ranges: {low: '< 1.5', high: '>= 1.5'}" in init("r.csv", "--label", "label")


def test_the_person_knows_better(folder):
    table(folder / "r.csv", [(a, b, a) for a, b in ENGLISH * 5], ("id", "text", "label", "original"))
    init("r.csv", "--text", "original")
    assert loader.load("r.yaml").task.data.text == "original"
    assert "--text: allowed id|text|label|original, received 'orginal', did you mean original?" in init(
        "r.csv", "--text", "orginal", "--force", code=2
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "r.csv is empty"),
        ("text,label\n", "r.csv holds no record below its header"),
        ("text;label\na;b\n", "separates its columns by semicolons"),
        ("text,text,label\na,b,c\n", "r.csv:1 has 2 columns 'text'"),
        ("text,label\nfoo bar,1\nbar foo,1\n", "column 'label' has one value only"),
        ("id,number\n1,2\n3,4\n", "no column looks like text (id, number); name it with --text"),
    ],
)
def test_files_that_nothing_can_be_learned_from(folder, content, sentence):
    (folder / "r.csv").write_text(content)
    assert sentence in init("r.csv", code=3)
    assert not (folder / "r.yaml").exists()


def test_no_such_file():
    assert init("none.csv", code=3) == "✗ none.csv: no such file   (exit 3)\n"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["긍정", unicodedata.normalize("NFD", "긍정"), "부정"], True),
        (["Good", "good", "bad"], True),
        (["1", "1.0", "0"], True),
        (["1", "2", "10"], False),
    ],
)
def test_labels_that_differ_only_in_spelling_are_told(folder, labels, told):
    rows = [(ENGLISH[n % 2][0] + f" {n}", labels[n % 3]) for n in range(60)]
    table(folder / "x.csv", rows)
    assert ("are different labels, though only their spelling differs" in init("x.csv")) is told


def test_texts_with_their_translations(folder):
    english = [
        ("the chart", "a row of values", "insert a cell below", "chart")[n % 4] + f" {n * 37}" for n in range(80)
    ]
    korean = [("그 차트", "값의 한 행", "아래에 셀 하나 삽입", "차트")[n % 4] + f" {n * 37}" for n in range(80)]
    table(folder / "ui.tsv", [*zip(korean, english, strict=True), ("", "x")], ("no", "ko", "en"), delimiter="\t")
    output = init("ui.tsv")
    assert "ui.tsv: 80 pairs" in output
    assert "100 % Latin → Hangul" in output
    assert "bad    1 rows, such as 1 × column 'ko' is empty: set aside (quarantine)" in output
    assert "assumed  'en' is the text and 'ko' its translation" in output
    assert "✓ ui.yaml: review it" in output
    found = loader.load("ui.yaml")
    assert (found.task.type, found.task.data.text, found.task.data.target) == ("translation", "en", "ko")
    assert found.task.data.on_bad_record == "quarantine"
    assert found.evaluate.bless.beats == ["copy", "nearest"]
    assert "80 pairs" in checked("ui.yaml")
