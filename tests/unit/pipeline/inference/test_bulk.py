"""``tfx-bert predict --input``, on a real model of a few thousand weights."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.storage import s3 as s3_module
from components.storage.s3_errors import StoreError
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.task import dense
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from pipeline import cli
from pipeline.inference import bulk, predict

ROOT = Path(__file__).parents[4]
WORDS = ["a", "good", "bad", "film", "witty", "dull", "plot", "very", "not"]
TOKENIZER = Tokenizer([*SPECIAL, *WORDS], TextRules("bert_uncased"))
ADDED = ["label", "score", "score[no]", "score[yes]"]


def write_model(folder, columns=("text",)):
    keras.utils.set_random_seed(1)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=16, max_positions=32
    )
    task = Task({"labels": ["no", "yes"], "max_length": 16})
    model = task.build(encoder)
    for variable in model.trainable_variables:  # larger: answers that differ from text to text
        variable.assign(variable * 20 if "norm" not in variable.path else variable)
    sample = task.featurize({column: tf.constant(texts(50)) for column in columns}, TOKENIZER)
    inputs = {name: dense(sample)[name] for name in ("token_ids", "segment_ids", "padding_mask")}
    model.trainable_variables[-1].assign(
        -tf.reduce_mean(model(inputs, training=False)["logits"], axis=0)
    )  # both labels
    saved_model.write(
        str(folder),
        family="text",
        model=model,
        the_task=task,
        featurize=lambda record: task.featurize(record, TOKENIZER),
        raw_spec={column: tf.io.FixedLenFeature([], tf.string) for column in columns},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A working folder whose ``runs`` hold a classifier, one of pairs, and a base model."""
    root = tmp_path_factory.mktemp("pushed")
    write_model(root / "runs/reviews/serving_model/reviews/1")
    write_model(root / "runs/pairs/serving_model/pairs/1", ["text", "text_pair"])
    base = root / "runs/base/serving_model/base/1/assets.extra"
    base.mkdir(parents=True)
    (base / "golden.json").write_text('{"inputs": {"text": []}, "outputs": {"pooled": [], "mean": []}, "task": null}')
    run = root / "runs/reviews/1"
    run.mkdir()
    pushed = {"version": 1, "path": "runs/reviews/serving_model/reviews/1"}
    result = {"name": "reviews", "number": 1, "verdict": "blessed", "started": "now", "pushed": pushed}
    (run / "result.json").write_text(json.dumps(result))
    (run / "experiment.resolved.yaml").write_text("task: {data: {text: review, label: sentiment}}\n")
    return root


@pytest.fixture
def folder(runs, tmp_path, monkeypatch):
    (tmp_path / "runs").symlink_to(runs / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path


@pytest.fixture(scope="module")
def ask(runs):
    """What the model itself says of texts, loaded once."""
    answer = predict.load(runs / "runs/reviews/serving_model/reviews/1")

    def scores(texts):
        return answer({"text": texts})["scores"].numpy()

    return scores


@pytest.fixture
def loaded_once(runs, monkeypatch):
    """Loading takes seconds; each test would wait for it."""
    monkeypatch.setattr(bulk.predict, "load", _load)


_LOADED = {}


def _load(folder, original=predict.load):
    place = folder.resolve()
    if place not in _LOADED:
        _LOADED[place] = original(place)
    return _LOADED[place]


pytestmark = pytest.mark.usefixtures("loaded_once")


def tfx_bert(*arguments, model="reviews", code=0):
    result = CliRunner().invoke(cli.main, ["predict", "--model", model, *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def texts(count, seed=0):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(1, 14))) for _ in range(count)]


def write_csv(name, rows, header=("id", "review"), **options):
    with Path(name).open("w", newline="", **options) as file:
        csv.writer(file).writerows([header, *rows])


def read_csv(name):
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def right(rows, given, ask, text="review"):
    """Each row is the given one, with the model's own answer to its text."""
    assert [{name: value for name, value in row.items() if name not in ADDED} for row in rows] == given
    expected = ask([row[text] for row in given])
    found = np.array([[float(row["score[no]"]), float(row["score[yes]"])] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [row["label"] for row in rows] == [["no", "yes"][place] for place in expected.argmax(1)]
    assert [float(row["score"]) for row in rows] == found.max(1).tolist()


def test_rows_columns_and_order_stay_and_the_answers_are_the_models(folder, ask, capfd):
    given = [{"id": str(number), "review": text} for number, text in enumerate(texts(100))]
    write_csv("new.csv", [row.values() for row in given])
    tfx_bert("--input", "new.csv", "--output", "out.csv")
    output = capfd.readouterr().out
    rows = read_csv("out.csv")
    assert list(rows[0]) == ["id", "review", *ADDED]
    assert len({row["label"] for row in rows}) == 2
    right(rows, given, ask)
    counts = {label: sum(row["label"] == label for row in rows) for label in ("no", "yes")}
    assert re.fullmatch(r"out\.csv: 100 rows · (\d+ (no|yes) · ){2}0 bad · 0:\d\d\n", output), output
    assert f"{counts['yes']} yes" in output
    assert sorted(path.name for path in folder.iterdir()) == ["new.csv", "out.csv", "runs"]


@pytest.mark.parametrize("target", ["out.csv", "out.csv.gz", "out.tsv", "out.jsonl", "out.jsonl.gz", "out.parquet"])
@pytest.mark.parametrize("origin", ["new.csv", "new.tsv.gz", "new.jsonl", "new.parquet"])
def test_every_format_into_every_other(folder, ask, origin, target):
    given = [{"id": f"{number} ,x", "review": text} for number, text in enumerate(texts(5))]
    if origin == "new.csv":
        write_csv(origin, [row.values() for row in given])
    elif origin == "new.tsv.gz":
        Path(origin).write_bytes(
            gzip.compress("".join("\t".join(row) + "\n" for row in [given[0], *(r.values() for r in given)]).encode())
        )
    elif origin == "new.jsonl":
        Path(origin).write_text("".join(json.dumps(row) + "\n" for row in given))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(given), origin)
    tfx_bert("--input", origin, "--output", target)
    if target == "out.parquet":
        rows = pyarrow.parquet.read_table(target).to_pylist()
    elif ".jsonl" in target:
        opened = gzip.open if target.endswith("gz") else open
        with opened(target, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
    elif target == "out.tsv":
        with Path(target).open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    else:
        rows = read_csv(target)
    right(rows, given, ask)


def test_types_stay_where_the_format_has_them(folder):
    when = pyarrow.array([1_600_000_000_123_456_789] * 2, pyarrow.timestamp("ns", "UTC"))
    columns = {
        "text": ["good", "bad"],
        "when": when,
        "n": pyarrow.array([1, None], pyarrow.int32()),
        "raw": [b"\0", b""],
    }
    table = pyarrow.table({**columns, "tags": [["a"], []]})
    pyarrow.parquet.write_table(table, "new.parquet")
    tfx_bert("--input", "new.parquet", "--output", "out.parquet")
    found = pyarrow.parquet.read_table("out.parquet")
    assert found.select(table.column_names).equals(table)
    assert [str(field.type) for field in found.schema][-4:] == ["string", "float", "float", "float"]
    Path("new.jsonl").write_text(
        '{"text": "good", "n": 1, "x": 1, "mixed": true, "deep": {"a": [1]}}\n'
        '{"text": "bad", "n": null, "x": 0.5, "mixed": "b", "deep": null}\n'
    )
    tfx_bert("--input", "new.jsonl", "--output", "out.parquet")
    found = pyarrow.parquet.read_table("out.parquet")
    assert [str(field.type) for field in found.schema][:5] == ["string", "int64", "double", "string", "string"]
    assert found.select(["n", "x", "mixed", "deep"]).to_pylist() == [
        {"n": 1, "x": 1.0, "mixed": "true", "deep": '{"a": [1]}'},
        {"n": None, "x": 0.5, "mixed": "b", "deep": None},
    ]
    tfx_bert("--input", "new.jsonl", "--output", "out.jsonl")
    first = json.loads(Path("out.jsonl").read_text().splitlines()[0])
    assert (first["n"], first["mixed"], first["deep"]) == (1, True, {"a": [1]})


def test_what_a_format_cannot_hold_is_a_bad_record(folder):
    Path("new.jsonl").write_text(
        '{"text": "good", "x": 1}\n{"text": "bad", "more": 1}\n{"text": "a\\tb"}\n'
        '{"text": "a", "x": NaN}\n{"text": "a", "score": 1}\n'
    )
    output = tfx_bert("--input", "new.jsonl", "--output", "out.tsv", code=3)
    assert "3 of 5 rows bad; on_bad_record: fail" in output  # TSV holds nan
    assert "key 'more', which the first record has not" in output
    assert "a tab or a line end in column 'text', which TSV cannot hold  first new.jsonl:3" in output
    assert "column 'score' is one of the answers' too" in output
    assert "NaN or an infinite number, which JSON cannot hold" in tfx_bert(
        "--input", "new.jsonl", "--output", "out.jsonl", code=3
    )
    pyarrow.parquet.write_table(pyarrow.table({"text": ["good"], "raw": [b"\xff"]}), "new.parquet")
    for target in ("out.csv", "out.jsonl"):
        assert "1  bytes, which only Parquet can hold  first new.parquet:1" in tfx_bert(
            "--input", "new.parquet", "--output", target, code=3
        )


def test_an_encoding_is_asked_for_and_found(folder, ask):
    write_csv("new.csv", [("1", "좋은 영화 film")], encoding="cp949")
    assert "it decodes as CP949.\n  Fix --encoding: cp949" in tfx_bert(
        "--input", "new.csv", "--output", "o.csv", code=3
    )
    tfx_bert("--input", "new.csv", "--output", "o.csv", "--encoding", "cp949")
    right(read_csv("o.csv"), [{"id": "1", "review": "좋은 영화 film"}], ask)


def test_the_text_column(folder, ask):
    given = [{"id": "1", "words": "good film"}]
    write_csv("new.csv", [given[0].values()], ("id", "words"))
    paths = ("--input", "new.csv", "--output", "out.csv")
    assert (
        "✗ new.csv has no column 'review' or 'text'; name the one to read with --text: it has 'id', 'words'.   (exit 3)"
        in tfx_bert(*paths, code=3)
    )
    refused = tfx_bert(*paths, "--text", "word", code=3)
    assert "new.csv:1 has no column 'word', which --text names; did you mean 'words'?" in refused
    tfx_bert(*paths, "--text", "words")
    right(read_csv("out.csv"), given, ask, "words")
    write_csv("new.csv", [("1", "good film")], ("id", "text"))
    tfx_bert(*paths)
    right(read_csv("out.csv"), [{"id": "1", "text": "good film"}], ask, "text")


def test_names_that_collide_are_refused_and_can_be_given_another_beginning(folder):
    write_csv("new.csv", [("good", "yes", "1")], ("review", "label", "score[no]"))
    paths = ("--input", "new.csv", "--output", "out.csv")
    refused = tfx_bert(*paths, code=3)
    assert "✗ new.csv has a column 'label' already, and the answers need that name; give theirs another" in refused
    assert "beginning: --prefix bert_" in refused
    assert not Path("out.csv").exists()
    tfx_bert(*paths, "--prefix", "bert_")
    assert list(read_csv("out.csv")[0]) == ["review", "label", "score[no]", *(f"bert_{name}" for name in ADDED)]


def test_bad_rows_stop_before_the_first_answer(folder):
    Path("new.csv").write_bytes(b"id,review\n1,good\n2,\n3\n4,b\xe4d\n5,  \n6,film\n")
    output = tfx_bert("--input", "new.csv", "--output", "out.csv", code=3)
    assert output == (
        "✗ 4 of 6 rows bad; on_bad_record: fail\n"
        "  2  column 'review' is empty  first new.csv:3\n"
        "  1  1 columns, header has 2   first new.csv:4\n"
        "  1  not UTF-8 (byte 0xe4)     first new.csv:5\n"
        "  Is the file in another encoding? --encoding: cp1252 (Western European), cp1250, cp1251 (Cyrillic), "
        "cp932 (Japanese), gb18030 (Chinese) …\n"
        "  All: out.csv.bad_records.csv\n"
        "  Fix them, or --on-bad-record quarantine --max-bad-share 0.667   (exit 3)\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["new.csv", "out.csv.bad_records.csv", "runs"]


def test_quarantine_sets_bad_rows_aside_with_their_place(folder, ask, capfd):
    Path("new.csv").write_bytes(b"id,review\n1,good\n2,\n3\n4,b\xe4d\n5,  \n6,film\n")
    paths = ("--input", "new.csv", "--output", "out.csv", "--on-bad-record", "quarantine")
    assert "max_bad_share: 0.05" in tfx_bert(*paths, code=3)
    tfx_bert(*paths, "--max-bad-share", ".667")
    output = capfd.readouterr().out
    assert "out.csv: 2 rows" in output
    assert "4 bad: out.csv.bad_records.csv" in output
    right(read_csv("out.csv"), [{"id": "1", "review": "good"}, {"id": "6", "review": "film"}], ask)
    assert [(row["line"], row["reason"]) for row in read_csv("out.csv.bad_records.csv")] == [
        ("3", "column 'review' is empty"),
        ("4", "1 columns, header has 2"),
        ("5", "not UTF-8 (byte 0xe4)"),
        ("6", "column 'review' is empty"),
    ]
    write_csv("new.csv", [("1", "good")])
    tfx_bert(*paths)
    assert not Path("out.csv.bad_records.csv").exists()  # of the earlier file


def test_pairs_take_two_columns(folder):
    write_csv("new.csv", [("good film", "bad plot"), ("bad plot", "good film")], ("a", "text_pair"))
    paths = ("--input", "new.csv", "--output", "out.csv")
    assert "new.csv has no column 'text'; name the one to read with --text" in tfx_bert(*paths, model="pairs", code=3)
    tfx_bert(*paths, "--text", "a", model="pairs")
    there, back = read_csv("out.csv")
    assert there["score"] != back["score"]
    assert "--text-pair: " in tfx_bert(*paths, "--text", "a", "--text-pair", "a", code=2)


def test_models_files_and_options_that_cannot_be(folder):
    write_csv("new.csv", [("1", "good")])
    paths = ("--input", "new.csv", "--output", "out.csv")
    assert "is a base model: start an experiment from it" in tfx_bert(*paths, model="base", code=1)
    assert "none has no pushed model" in tfx_bert(*paths, model="none", code=1)
    for output in ("out.txt", "out", "out.parquet.gz"):
        assert f"--output: {output} must end in .csv" in tfx_bert("--input", "new.csv", "--output", output, code=2)
    assert "new.csv is the input" in tfx_bert("--input", "new.csv", "--output", "new.csv", code=2)
    assert "there is no folder far" in tfx_bert("--input", "new.csv", "--output", "far/out.csv", code=2)
    for arguments in (["--input", "new.csv"], [*paths, "hello"], ["--prefix", "x", "hello"]):
        assert "--input and --output go together" in tfx_bert(*arguments, code=2)


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl.gz", "out.parquet"])
@pytest.mark.parametrize("torn", [0, 7, 200], ids=["whole", "a torn line", "lines of no whole batch"])
def test_stopped_it_goes_on_to_the_same_bytes(folder, monkeypatch, target, torn):
    write_csv("new.csv", list(enumerate(texts(150))))
    paths = ("--input", "new.csv", "--output", target)
    tfx_bert(*paths)
    whole = Path(target).read_bytes()
    Path(target).unlink()
    asked = []

    def load(folder):
        answer = _load(folder)

        def counted(arguments):
            if len(asked) == 3:
                raise KeyboardInterrupt
            asked.append(arguments)
            return answer(arguments)

        return counted

    monkeypatch.setattr(bulk.predict, "load", load)
    stopped = tfx_bert(*paths, code=130)
    assert "interrupted after 96 of 150 rows; the same command goes on from there   (exit 130)" in stopped
    assert not Path(target).exists()
    partial = Path(f"{target}.partial")
    partial.write_bytes(partial.read_bytes()[: -torn or None])
    asked.clear()
    tfx_bert(*paths)
    # Batches of 32: the last two of 96 kept rows, or the last three where the third was torn.
    assert [len(each["text"]) for each in asked] == [32] * bool(torn) + [32, 22]
    assert Path(target).read_bytes() == whole
    assert not list(folder.glob("*.partial")) + list(folder.glob("*.whole"))


def test_another_input_model_or_column_does_not_go_on(folder):
    write_csv("new.csv", [("1", "good"), ("2", "bad")])
    Path("out.csv.partial").write_text(
        json.dumps({"input": "1", "model": "2", "set of options": {}, "choice of rows": {"usable": 2, "batch": 32}})
        + "\n"
    )
    refused = tfx_bert("--input", "new.csv", "--output", "out.csv", code=1)
    assert (
        "✗ out.csv.partial is an unfinished answer with another input and another model and another set of options"
        in refused
    )
    assert "remove it to begin again, or name another --output" in refused
    assert Path("out.csv.partial").is_file()
    Path("out.csv.partial").write_text('{"input": "1", "mod')  # killed within its first line
    tfx_bert("--input", "new.csv", "--output", "out.csv")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.sampled_from(["", "good", "very bad film", 'a, "witty"\nplot', "not " * 20]), min_size=1, max_size=40
    ),
    batch=st.integers(1, 45),
)
def test_row_i_belongs_to_record_i_whatever_the_batch(folder, ask, rows, batch):
    """Records of equal text too: each carries its number, and the answer to its own text."""
    write_csv("new.csv", list(enumerate(rows)))
    given = [{"id": str(number), "review": text} for number, text in enumerate(rows) if text]
    before, bulk._BATCH = bulk._BATCH, batch
    try:
        arguments = ("--input", "new.csv", "--output", "out.csv", "--on-bad-record", "quarantine", "--max-bad-share", 1)
        tfx_bert(*arguments, code=0 if given else 3)
    finally:
        bulk._BATCH = before
    if given:
        right(read_csv("out.csv"), given, ask)
        Path("out.csv").unlink()


# --- whole processes -----------------------------------------------------------------------------------------------

MEASURED = (
    "import resource; from pipeline.cli import main; main(standalone_mode=False); "
    "open('peak', 'w').write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
)


def process(*arguments):
    command = [sys.executable, "-c", MEASURED, "predict", "--model", "reviews", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(folder):
    write_csv("new.csv", list(enumerate(texts(10_000))))
    paths, partial = ("--input", "new.csv", "--output", "out.csv"), Path("out.csv.partial")
    running, deadline = process(*paths), time.monotonic() + 60
    while not partial.exists() or partial.stat().st_size < 50_000:
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not Path("out.csv").exists()
    kept = partial.read_bytes().count(b"\n") - 1
    assert 500 < kept < 10_000
    running = process(*paths)
    assert running.wait() == 0, running.stdout.read()
    resumed = Path("out.csv").read_bytes()
    tfx_bert(*paths)
    assert Path("out.csv").read_bytes() == resumed


def test_ten_times_the_rows_take_the_same_memory(folder):
    peaks = []
    for count in (2_000, 20_000):
        write_csv("new.csv", list(enumerate(texts(count))))
        running = process("--input", "new.csv", "--output", f"out{count}.csv")
        assert running.wait() == 0, running.stdout.read()
        peaks.append(int(Path("peak").read_text()))
    assert peaks[1] < 1.2 * peaks[0], peaks


# --- addresses -------------------------------------------------------------------------------------------------------


def test_a_file_in_s3_is_answered_into_s3(folder, ask, s3, monkeypatch):
    given = [{"id": str(number), "review": text} for number, text in enumerate(texts(40))]
    write_csv("new.csv", [*(row.values() for row in given), ("41", "")])
    s3.upload_file("new.csv", "bucket", "in/new.csv")
    Path("new.csv").unlink()
    command = (
        "--input",
        "s3://bucket/in/new.csv",
        "--output",
        "s3://bucket/out/new.csv",
        "--on-bad-record",
        "quarantine",
    )
    upload = refused(monkeypatch)
    tfx_bert(*command, code=1)
    monkeypatch.setattr(s3_module, "upload", upload)
    tfx_bert(*command)
    s3.download_file("bucket", "out/new.csv", "out.csv")
    right(read_csv("out.csv"), given, ask)
    bad = s3.get_object(Bucket="bucket", Key="out/new.csv.bad_records.csv")["Body"].read().decode()
    assert "new.csv,42,column 'review' is empty" in bad
    assert not list((folder / "runs/.predict").iterdir())


def refused(monkeypatch):
    """Nothing may be written; gives what wrote before."""
    upload = s3_module.upload

    def refuse(source, target):
        raise StoreError(target, "no permission")

    monkeypatch.setattr(s3_module, "upload", refuse)
    return upload


def test_an_address_that_cannot_be_read_is_one_sentence(folder, s3):
    printed = CliRunner().invoke(cli.main, ["predict", "--input", "s3://bucket/in.csv", "--output", "out.csv"])
    assert printed.exit_code == 1
    assert "✗ s3://bucket/in.csv: there is no such object" in printed.output
