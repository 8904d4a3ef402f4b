"""Bytes of Examples and of TFRecords, against protobuf's and TensorFlow's own."""

import struct
from pathlib import Path

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.records import serialized

_names = st.sampled_from(["text", "text_pair", "label", "labels", "origin", "a", "ab", "B"]) | st.text(max_size=5)
_floats = st.floats(width=32) | st.sampled_from([1e300, -1e300, 0.1, -0.0])
_values = (
    st.lists(st.binary(max_size=300), max_size=3)
    | st.binary(min_size=4000, max_size=20_000).map(lambda value: [value])
    | st.lists(_floats, max_size=40)
    | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)
)


def _example(features: dict[str, list[bytes] | list[float] | list[int]]) -> bytes:
    found = tf.train.Example(features=tf.train.Features())
    for name, values in features.items():
        feature = found.features.feature[name]
        lists = {bytes: feature.bytes_list, float: feature.float_list, int: feature.int64_list}
        if values:
            lists[type(values[0])].value.extend(values)  # type: ignore[attr-defined]
    return bytes(found.SerializeToString(deterministic=True))


@given(st.dictionaries(_names, _values, max_size=5))
def test_an_example_is_as_protobuf_writes_it(features: dict[str, list[bytes] | list[float] | list[int]]) -> None:
    assert serialized.example(features) == _example(features)


def test_records_are_as_tensorflow_writes_them(tmp_path: Path) -> None:
    records = [b"", b"a", b"some bytes" * 1000, struct.pack("<Q", 2**63)]
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for record in records:
            writer.write(record)
    assert b"".join(map(serialized.record, records)) == (tmp_path / "a").read_bytes()
