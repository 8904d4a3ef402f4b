"""``torch.save``'s files, written by torch (tests/golden/make_bert_golden.py), and pickles that mean harm."""

import collections
import os
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from models.checkpoints import torch_file
from schemas import DataError

DATA = pathlib.Path(__file__).parents[3] / "data"


def test_every_type_and_layout_of_a_tensor_is_read():
    read, expected = torch_file.read(DATA / "tensors.bin"), np.load(DATA / "tensors.npz")
    assert {name: value.dtype for name, value in read.items()} == {
        "float": np.float32,
        "half": np.float16,
        "bfloat": ml_dtypes.bfloat16,
        "double": np.float64,
        "transposed": np.float32,
        "slice": np.float32,
        "scalar": np.float32,
        "empty": np.float32,
        "long": np.int64,
        "int": np.int32,
        "bool": np.bool_,
        "parameter": np.float32,
    }
    for name, value in read.items():
        np.testing.assert_array_equal(value.astype(np.float32), expected[name])
        assert value.shape == expected[name].shape


def write(path, pickled, storage=bytes(16), **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/data/0", storage)
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return path


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Call(os.system, "touch harmed"), "posix.system"),
        (Call(eval, "open('harmed', 'w')"), "__builtin__.eval"),
        ({"weight": Call(getattr, "", "join")}, "__builtin__.getattr"),
        (collections.Counter(), "collections.Counter"),
    ],
)
def test_what_a_pickle_would_call_is_named_and_not_called(thing, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"holds more than tensors: it would call {name}\. Nothing was executed"):
        torch_file.read(write(tmp_path / "pytorch_model.bin", pickle.dumps(thing, protocol=2)))
    assert not (tmp_path / "harmed").exists()


def view(offset, shape, strides, count=4):
    """The pickle of ``{"w": …}``, a view of the storage ``0`` of ``count`` numbers."""

    def part(value):
        return pickle.dumps(value, protocol=2)[2:-1]  # without the protocol and the stop

    storage = b"(" + part("storage") + b"ctorch\nFloatStorage\n" + part("0") + part("cpu") + part(count) + b"tQ"
    rest = b"".join(part(value) for value in (offset, shape, strides, False, collections.OrderedDict()))
    return b"\x80\x02}" + part("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tRs."


NUMBERS = np.arange(4, dtype=np.float32).tobytes()


def test_a_view_is_what_torch_means(tmp_path):
    read = torch_file.read(write(tmp_path / "x.bin", view(1, (2, 2), (1, 1)), NUMBERS))
    assert read["w"].tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    "pickled",
    [
        view(0, (5,), (1,)),
        view(0, (2, 2), (3, 1)),
        view(2, (2,), (-1,)),
        view(-1, (1,), (1,)),
        view(0, (2**62, 4), (2**62, 1)),
        view(0, (4,), (1,), count=5),
        view(0, (4,), (1, 1)),
        view(0, (4,), (1,))[:-20],
    ],
)
def test_no_view_reaches_beyond_its_storage(pickled, tmp_path):
    with pytest.raises(DataError, match=r"x\.bin: damaged \(.+\); fetch the checkpoint again"):
        torch_file.read(write(tmp_path / "x.bin", pickled, NUMBERS))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (DATA / "tensors_before_1_6.bin", "truncated, damaged or written by torch before 1.6"),
        (DATA / "adamw.npz", "no archive of torch"),
    ],
)
def test_other_files_are_refused(file, message):
    with pytest.raises(DataError, match=message):
        torch_file.read(file)


def test_other_contents_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected tensors by name, received list"):
        torch_file.read(write(tmp_path / "x.bin", pickle.dumps([1])))
    with pytest.raises(DataError, match="big-endian"):
        torch_file.read(write(tmp_path / "x.bin", pickle.dumps({}), byteorder=b"big"))
