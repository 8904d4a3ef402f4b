"""Any file gives records, or one clear sentence that names it, and ``init``, ``check`` and ``run`` agree about it.

``FUZZ_EXAMPLES=5000 python -m pytest -n 0 tests/component/test_any_file.py`` looks longer.
"""

import collections
import csv
import datetime
import decimal
import gzip
import io
import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.records import bad_records, ranges, readers, writers
from components.records.kind import load
from components.records.reading import Bucket, Work
from components.records.record import LeftOut, Part, Record
from components.records.rows import Bad
from configs.base import ConfigError
from configs.sources import AnswerData, Corpus, LabelRanges, LabelsData, NumberData, SpanData, TaskData, Unlabelled
from pipeline import loader
from pipeline.run import sources as kinds
from pipeline.start import preview
from pipeline.start.init import init
from schemas import DataError

KINDS = [
    load(name)
    for name in (
        "classification",
        "multi_label",
        "regression",
        "token_classification",
        "question_answering",
        "corpus",
        "score",
    )
]
_fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- files ---------------------------------------------------------------------------------------------------------

_texts = st.sampled_from(
    [
        "a good film with a great cast",
        "it\u2019s a bad film",
        "영화가 정말 좋다",
        "déjà vu",
        "the film was number 7",
        "긍정",
    ]
)
_labels = st.sampled_from(["good", "bad", "0", "1", "1.0", "5", "-2.5", "true", "nan", "NaN", "", "null", "good, bad"])
_odd = st.sampled_from(
    ["\0", "\ufeff", "\u00a0", "sep=,", "sep=;", '"', "a\nb", "a\tb", "9" * 400, "1e999", "=1", "\u200b", "{", "[", "٣"]
)
_cells = _texts | _labels | _odd | st.text(max_size=5)
_tags = st.sampled_from(["O", "O", "B-PER", "I-PER", "o", "b-per", "PER-B", "B", "I", "PER", "W-LOC", "", "_", "NNP"])
_names = st.sampled_from(
    ["text", "label", "note", "", "text_pair", "labels", "origin", "a.b", "question", "kind\n", "정답"]
)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | _cells
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=5
)


def rows_of(text, label):
    """Mostly such as are right, so that what is odd comes alone."""
    return st.lists(st.tuples(text, label), min_size=1, max_size=30)


@st.composite
def _table(draw, delimiter):
    header = draw(st.just(["text", "label"]) | st.just(["id", "text", "label", "", ""]) | st.lists(_names, max_size=4))
    cell = draw(st.sampled_from([_cells, _texts]))
    body = [
        [draw(_labels if name == "label" else cell) if name in ("text", "label") else "1" for name in header]
        for _ in range(draw(st.integers(0, 20)))
    ]
    if body and draw(st.booleans()):
        body[draw(st.integers(0, len(body) - 1))].extend(draw(st.lists(_cells, max_size=2)))
    first = draw(st.sampled_from(["", "", "", f"sep={delimiter}\n", "sep=;\n", "\n"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    if draw(st.booleans()):
        return first + "".join(delimiter.join(row) + end for row in [header, *body])
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=end).writerows([header, *body])
    return first + buffer.getvalue()


@st.composite
def _objects(draw):
    """Records of every task, or of none."""
    span = st.fixed_dictionaries({"start": st.integers(-1, 9), "end": st.integers(-1, 30), "label": _labels})
    answers = st.fixed_dictionaries(
        {"text": st.lists(_texts, max_size=2), "answer_start": st.lists(st.integers(-1, 3))}
    )
    record = st.fixed_dictionaries(
        {"text": _texts, "label": _labels},
        optional={"labels": st.lists(_labels), "note": _json, "meta": st.fixed_dictionaries({"kind": _labels})},
    )
    spans = st.fixed_dictionaries({"text": _texts, "entities": st.lists(span | st.lists(_scalars), max_size=3)})
    tagged = st.fixed_dictionaries({"text": st.lists(_texts), "entities": st.lists(_tags | st.integers())})
    asked = st.fixed_dictionaries({"question": _texts, "context": _texts, "answers": answers | _json})
    kind = draw(st.sampled_from([record, record, spans, tagged, asked, _json]))
    found = draw(st.lists(kind | _json if draw(st.booleans()) else kind, min_size=1, max_size=20))
    if draw(st.booleans()):
        return "\n".join(map(json.dumps, found))
    return json.dumps(found, indent=draw(st.sampled_from([None, 1])))


@st.composite
def _squad(draw):
    """A file as published, with something else in one place of it."""
    answer = {"text": "film", "answer_start": 7}
    asked = [{"question": "What?", "id": "1", "answers": [answer]}, {"question": "Who?", "is_impossible": True}]
    document = {"data": [{"paragraphs": [{"context": "a good film", "qas": asked * 2}] * 2}], "version": "1"}
    place = copied = json.loads(json.dumps(document))
    while place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
            place[key] = draw(_json)
            break
        place = place[key]
    return json.dumps(copied)


_columned = st.lists(
    st.builds("{}{}{}".format, _cells, st.sampled_from(["\t", " ", "  ", "\tNN\t"]), _tags) | st.just("") | _cells,
    max_size=30,
).map("\n".join)
_plain = st.lists(_cells, max_size=20).map("\n".join)


@st.composite
def _parquet(draw):
    bytes_ = st.binary(max_size=4) | _cells.map(lambda text: text.encode("utf-8", "replace"))
    times = st.integers(-(2**63), 2**63 - 1)
    kinds = [
        (pyarrow.string(), _cells.map(lambda text: text.encode("utf-8", "replace").decode())),
        (pyarrow.string(), _texts),
        (pyarrow.large_string(), _labels),
        (pyarrow.binary(), bytes_),
        (pyarrow.int64(), st.integers(0, 5)),
        (pyarrow.float64(), st.sampled_from([0.0, 1.0, float("nan"), float("inf")])),
        (pyarrow.bool_(), st.booleans()),
        (pyarrow.timestamp("ns", "UTC"), times),
        (pyarrow.date32(), st.integers(-(2**31), 2**31 - 1)),
        (pyarrow.duration("ns"), times),
        (pyarrow.time64("ns"), st.integers(0, 86_399 * 10**9)),
        (pyarrow.decimal128(5, 2), st.just(decimal.Decimal("1.50"))),
        (pyarrow.list_(pyarrow.string()), st.lists(_labels, max_size=2)),
        (pyarrow.struct({"text": pyarrow.string(), "n": pyarrow.binary()}), st.fixed_dictionaries({"text": _texts})),
        (pyarrow.map_(pyarrow.string(), pyarrow.int8()), st.lists(st.tuples(_labels, st.integers(0, 3)), max_size=2)),
        (pyarrow.null(), st.none()),
    ]
    count = draw(st.integers(0, 12))
    names = draw(st.lists(_names, min_size=1, max_size=4) | st.just(["text", "label"]))
    arrays = []
    for _ in names:
        kind, values = draw(st.sampled_from(kinds))
        array = pyarrow.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind)
        plain = pyarrow.types.is_string(kind) or pyarrow.types.is_int64(kind)
        arrays.append(array.dictionary_encode() if plain and draw(st.booleans()) else array)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=names), buffer)
    return buffer.getvalue()


_contents = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".jsonl": _objects(),
    ".json": _objects() | _squad(),
    ".conll": _columned,
    ".txt": _plain,
    ".parquet": _parquet(),
}
_codecs = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "cp949", "cp1252", "gb18030", "cp1251"])


@st.composite
def files(draw):
    """A name and its bytes: right ones, and such as were damaged or misnamed."""
    ending = draw(st.sampled_from(list(_contents)))
    content = draw(_contents[draw(st.sampled_from(list(_contents))) if draw(st.integers(0, 19)) == 0 else ending])
    if isinstance(content, str):
        content = content.encode(draw(_codecs), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 4))
        content = content[:start] + draw(st.binary(max_size=4)) + content[end:]
    packed = draw(st.sampled_from([False, False, False, True]))
    content = gzip.compress(content) if packed else content
    content = content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 19)) == 0 else content
    told = packed != (draw(st.integers(0, 19)) == 0)
    return f"a{ending}{'.gz' * told}", content


# Lines of which most are right: what stands in a file that is read in ranges.
_LINES = {
    ".csv": [
        *(b"a good film,good\n", "déjà vu,bad\n".encode(), b'"two\nlines, ""and"" more",good\n', b'"",bad\n', b"\n"),
        *(b"only one\n", b"nul\0,good\n", b"text,label\n", b",\n", b" \n"),
    ],
    ".tsv": [b"a good film\tgood\n", b'"a bad one\tbad\n', b"\n", b"only one\n", b"text\tlabel\n"],
    ".jsonl": [
        *(b'{"text": "a film", "label": "good"}\n', b'{"text": "b", "label": 1}\n', b"\n", b"{\n", b"[1]\n"),
        *(b'{"text": "\\ud800", "label": "bad"}\n', b'{"text": "a"}\n', b'{"text": ["a"], "entities": ["O"]}\n'),
    ],
    ".conll": [b"Ada B-PER\n", b"was O\n", b"\n", b"\n", b"# a\n", b"-DOCSTART- O\n", b"\t\n", b"one\n", b"a\tO\n"],
    ".txt": [b"one\n", b"two and three\n", b"\n", b"\n", b" \n", "\u3000\n".encode(), b"nul\0\n", "déjà\n".encode()],
}
# And what ends the cutting, or all of it.
_BREAKS = [
    b"\r",
    b'"',
    b'a "b" c,good\n',
    b'"a"b,good\n',
    b"caf\xe9,good\n",
    b"\xb0\xa1\n",
    b"\xef\xbb\xbf",
    b"x" * 300,
]


@st.composite
def long_files(draw):
    """A name and its bytes: such as are cut in places, and some that are not, or only to a point."""
    ending = draw(st.sampled_from([*_LINES, ".parquet"]))
    if ending == ".parquet":
        texts = draw(st.lists(_texts | _cells.map(lambda text: text.encode("utf-8", "replace").decode()), min_size=1))
        table = pyarrow.table({"text": texts, "label": [f"{n % 2}" for n in range(len(texts))]})
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, row_group_size=draw(st.integers(1, 9)))
        return f"a{ending}", buffer.getvalue()
    lines = draw(st.lists(st.sampled_from(_LINES[ending]), min_size=10, max_size=60))
    if ending in (".csv", ".tsv") and draw(st.integers(0, 5)):
        lines[0] = b"text,label\n" if ending == ".csv" else b"text\tlabel\n"
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(_BREAKS)))
    return f"a{ending}", b"".join(lines).replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n"])))


@st.composite
def tables(draw):
    """A table that ``init`` can read, but for a few rows: texts, labels, other columns."""
    labels = draw(st.lists(_labels | _cells, min_size=2, max_size=4, unique=True) | st.just(["1", "2.5", "-3"]))
    others = draw(st.lists(_names.filter(lambda name: name not in ("text", "label")), max_size=2, unique=True))
    count = draw(st.integers(4, 40))
    rows = [
        {
            "text": f"{draw(_texts)}, number {n}",
            "label": draw(st.sampled_from(labels)),
            **dict.fromkeys(others, "ab"[n % 2]),
        }
        for n in range(count)
    ]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.sampled_from(rows))
        row[draw(st.sampled_from(list(row)))] = draw(_cells)
    ending = draw(st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]))
    if ending == ".parquet":
        clean = [{name: cell.encode("utf-8", "replace").decode() for name, cell in row.items()} for row in rows]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(clean), buffer)
        return f"a{ending}", buffer.getvalue()
    if ending.startswith(".json"):
        lines = [json.dumps(row) for row in rows]
        text = "\n".join(lines) if draw(st.booleans()) else f"[{','.join(lines)}]"
    else:
        written = io.StringIO()
        table = csv.writer(written, delimiter="," if ending == ".csv" else "\t")
        table.writerows([rows[0], *(row.values() for row in rows)])
        text = draw(st.sampled_from(["", "", "sep=,\n"])) + written.getvalue()
    content = text.encode(draw(_codecs), "replace")
    return (f"a{ending}.gz", gzip.compress(content)) if draw(st.booleans()) else (f"a{ending}", content)


# --- what holds for them -------------------------------------------------------------------------------------------

_spans = {"conll": "conll", "tsv": "conll", "jsonl": "jsonl", "parquet": "parquet"}
_asked = {"jsonl": "jsonl", "parquet": "parquet"}


def sources(name, encoding):
    """Every kind of record that a file of this name can be read as."""
    kind = name.removesuffix(".gz").rpartition(".")[2].replace("json", "jsonl").replace("jsonll", "jsonl")
    common = {"path": [name], "encoding": encoding}
    if kind == "txt":
        return [Corpus(**common), Corpus(**common, document="file", sentences="split")]
    found = []
    if kind in ("csv", "tsv", "jsonl", "parquet"):
        found += [TaskData(**common), LabelsData(**common), NumberData(**common, min=0.0), Unlabelled(**common)]
        found += [TaskData(**common, label=LabelRanges(column="label", ranges={"a": "< 1", "b": ">= 1"}))]
        found += [Corpus(**common, document="label", order="note"), Corpus(**common, sentences="split")]
    if kind in ("csv", "tsv"):
        found += [TaskData(**common, header=["text", "label"])]
    if kind in _spans:
        found += [SpanData(**common, format=_spans[kind], scheme=scheme) for scheme in ("BIO", "word")]
        found += [SpanData(**common, format=_spans[kind], unit="character")]
    if kind in _asked:
        found += [AnswerData(**common, format=_asked[kind])]
    if ".json" in name:
        found += [AnswerData(**common, format="squad")]
    return found


def told(error, name):
    """One sentence that names the file; the lines below it are a cure, or where rows are bad."""
    first, *more = str(error).split("\n")
    assert name in str(error), error
    assert first.isprintable(), first
    assert all(line.startswith("  ") for line in more), error


@_fuzz
@given(files(), st.sampled_from(["utf-8", "utf-8", "utf-16", "cp949", "cp1252", "gb18030"]))
def test_every_reader_gives_records_or_one_sentence(file, encoding):
    name, content = file
    Path(name).write_bytes(content)
    for source in sources(name, encoding):
        (kind,) = (kind for kind in KINDS if kind.data is type(source))
        try:
            for record in kind(source).records(name):
                assert isinstance(record, Bad | LeftOut) or record.file == name
                if isinstance(record, Bad):
                    assert record.reason.isprintable()
            kind(source).check()
        except (DataError, ConfigError) as error:
            told(error, name)


def whole(kind, name):
    """Examples by split, bad rows, faults and the number of rows of a file that is read at a stretch, row by row."""
    found, bad, faults, rows, groups = collections.defaultdict(list), [], [], 0, collections.defaultdict(list)
    records = []
    try:
        for item in kind.records(name):
            rows += 1
            if isinstance(item, Record):
                records.append(item)
            elif isinstance(item, Bad):
                bad.append([item.file, item.line, item.reason])
            elif isinstance(item, Part):
                groups[item.group].append(item)
    except DataError as error:
        faults.append(str(error))
    records += [record for parts in groups.values() for _, record in kind.join(parts)]
    for record in records:
        found[kind.split_of(record.key, "path")].append(example(record.features))
    return found, bad, faults, rows


def example(features):
    """As protobuf writes it."""
    found = tf.train.Example()
    for name, values in features.items():
        feature = found.features.feature[name]
        if values:
            lists = {bytes: feature.bytes_list, float: feature.float_list, int: feature.int64_list}
            lists[type(values[0])].value.extend(values)
    return found.SerializeToString(deterministic=True)


def in_ranges(kind, size):
    """The same, of ranges of about ``size`` bytes."""
    found, bad, faults, rows, parts = collections.defaultdict(list), [], [], 0, collections.defaultdict(list)
    work = Work(kind, buckets=3)
    blocks = [block for chunk in ranges.chunks(kind, size) for block in blocks_of(work, chunk, size)]
    for block in blocks:
        for bucket, each in block.parts.items():
            parts[bucket].append((block.number, each))
    blocks += [work.block((Bucket(number, tuple(each)), ())) for number, each in parts.items()]
    for block in blocks:
        rows += block.records
        for split, packed in block.examples.items():
            found[split] += unframed(gzip.decompress(packed))
        for of, *values in map(json.loads, block.notes.splitlines()):
            bad += [values] * (of == "bad")
            faults += values * (of == "fault")
    return found, bad, faults, rows


def blocks_of(work, chunk, size):
    return work.blocks((chunk, ()), size) if chunk.streamed else [work.block((chunk, ()))]


def unframed(data):
    """What TFRecords hold: a length of 8 bytes, a checksum of 4, the record, a checksum of 4."""
    stream = io.BytesIO(data)
    while head := stream.read(12):
        yield stream.read(int.from_bytes(head[:8], "little"))
        stream.read(4)


@_fuzz
@given(
    long_files() | long_files() | files(),
    st.sampled_from(["utf-8", "utf-8", "utf-8", "cp1252", "utf-16", "cp949"]),
    st.integers(1, 400),
)
def test_ranges_of_a_file_give_what_the_whole_file_gives(file, encoding, size):
    """Records, splits, order, origins, bad rows with their reasons, faults: bytes as protobuf writes them."""
    name, content = file
    Path(name).write_bytes(content)
    for source in sources(name, encoding):
        kind = next(kind for kind in KINDS if kind.data is type(source))(source)
        expected, found = whole(kind, name), in_ranges(kind, size)
        if kind.grouped:  # a group is in the bucket of its name
            expected, found = (({split: sorted(each) for split, each in r.items()}, *m) for r, *m in (expected, found))
        assert found == expected


_ROWS = b"".join(b"text %d,%d\n" % (n, n % 2) for n in range(20))


@pytest.mark.parametrize(
    ("name", "content", "encoding", "pieces"),
    {
        "lines": ("a.csv", b"text,label\n" + _ROWS, "utf-8", 5),
        "a header longer than a range": ("a.csv", b"text,label," + b"x" * 60 + b"\n" + _ROWS, "utf-8", 1),
        "lines of Windows": ("a.csv", b"text,label\n".replace(b"\n", b"\r\n") + _ROWS, "utf-8", 5),
        "a line feed inside quotes": ("a.csv", b'text,label\n"one\n\ntwo, ""three""\n",1\n' + _ROWS, "utf-8", 5),
        "a quote inside a field": ("a.csv", b"text,label\n" + _ROWS + b'5" disk,1\n6" disk,0\n' + _ROWS, "utf-8", 5),
        "a quote that stays open": ("a.csv", b"text,label\n" + _ROWS + b'"never closed,1\n' + _ROWS, "utf-8", 6),
        "a carriage return": ("a.csv", b"text,label\n" + _ROWS + b"a\rb,1\n" + _ROWS, "utf-8", 5),
        "bytes of another encoding": (
            "a.csv",
            b"text,label\n" + _ROWS + "좋은 영화,1\n".encode("cp949") * 9,
            "utf-8",
            1,
        ),
        "bytes of no encoding": (
            "a.csv",
            b"text,label\n" + _ROWS + b"\xff\xfe\x80,1\n\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9,1\n",
            "utf-8",
            5,
        ),
        "sentences of a document": ("a.txt", b"one\ntwo\n\nthree\nfour\nfive\nsix\n\n\nseven\n" * 6, "utf-8", 6),
        "words of a sentence": ("a.conll", b"one O\ntwo O\n\nthree B-X\nfour I-X\nfive O\n\n" * 6, "utf-8", 5),
        "objects": ("a.jsonl", b'{"text": "a", "label": "1"}\n{"text": 2}\n' * 9, "utf-8", 8),
    }.values(),
)
def test_ranges_of_a_file_that_is_hard_to_cut(name, content, encoding, pieces):
    """Each rule of ``ranges`` has a file that is read otherwise without it."""
    Path(name).write_bytes(content)
    counts = set()
    for source in sources(name, encoding):
        kind = next(kind for kind in KINDS if kind.data is type(source))(source)
        counts.add(len(ranges.cut(name, kind, 50)))
        assert in_ranges(kind, 50) == whole(kind, name)
    assert pieces in counts, counts


@_fuzz
@given(files())
def test_every_row_can_be_copied_or_is_refused(file):
    """As ``predict --input`` does: all columns, to every format."""
    name, content = file
    Path(name).write_bytes(content)
    try:
        for row in readers.rows(name, Unlabelled(path=[name]), None):
            for kind in ("csv", "tsv", "jsonl") if not isinstance(row, Bad) else ():
                try:
                    writers.line(row.values, kind)
                except ValueError as refused:
                    assert not isinstance(refused, UnicodeError), refused
    except (DataError, ConfigError) as error:
        told(error, name)


@_fuzz
@given(tables() | tables() | files())
def test_init_check_and_run_agree(file):
    name, content = file
    Path(name).write_bytes(content)
    try:
        init(name, "a", None, None, None, None, True)
    except (DataError, ConfigError) as error:
        told(error, name)
        return
    experiment = loader.load("a.yaml")
    task, kind = experiment.task, kinds.of(experiment)["task"]
    found = preview.look(kind)
    report = bad_records.Report()
    for chunk in ranges.chunks(kind):
        for note in Work(kind).block((chunk, ())).notes.splitlines():
            of, *values = json.loads(note)
            bad_records.count(report, of, values)
    assert found.exact
    assert report.records.total() == found.records
    if task.type in ("classification", "multi_label"):
        assert found.labels.keys() == set(task.labels)


def test_times_are_among_the_values():
    """What the strategies draw is what Parquet gives: a day, and a day that Python has not."""
    pyarrow.parquet.write_table(pyarrow.table({"day": pyarrow.array([0, 2**31 - 1], pyarrow.date32())}), "a.parquet")
    found = [row.values["day"] for row in readers.rows("a.parquet", TaskData(path=["a.parquet"]), ["day"])]
    assert found[0] in (datetime.date(1970, 1, 1), "1970-01-01")
    assert isinstance(found[1], str)
