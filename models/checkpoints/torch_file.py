"""``pytorch_model.bin``: tensors that ``torch.save`` wrote, without torch and without executing what the file says.

A zip archive since torch 1.6: ``data.pkl`` is a pickle of the dictionary, and every storage is a member of its own.
Pickles can name any function of any module to be called. This reader knows the few that tensors need, and no other.
"""

import collections
import math
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from schemas import DataError

_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "DoubleStorage": np.dtype(np.float64),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "BoolStorage": np.dtype(np.bool_),
}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name, each a view of its storage.

    Raises:
      DataError: the file is truncated, written by torch before 1.6, no state dictionary, or names anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            folder = next((name[:-8] for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if folder is None:
                raise DataError(f"{path}: no archive of torch's; fetch the checkpoint again.")
            if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
                raise DataError(f"{path}: written on a big-endian machine; save it with safetensors there.")
            with archive.open(f"{folder}data.pkl") as file:
                state = _Unpickler(file, path, archive, f"{folder}data/").load()
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path}: truncated, damaged or written by torch before 1.6 ({error}); fetch the checkpoint again, or save "
            "it with a newer torch."
        ) from None
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, EOFError, IndexError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); fetch the checkpoint again.") from None
    if not isinstance(state, Mapping):
        raise DataError(f"{path}: expected tensors by name, received {type(state).__name__}; save model.state_dict().")
    return {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: pathlib.Path, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file, encoding="utf-8")
        self._path, self._archive, self._folder = path, archive, folder
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name; whatever else it names is not even looked up."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": _parameter,
        }
        return known.get(f"{module}.{name}") or self._refuse(f"{module}.{name}")

    def persistent_load(self, reference: Any) -> np.ndarray:
        """A storage: its type and the name of its member."""
        _, dtype, key, _, count = reference
        if key not in self._storages:
            self._storages[key] = np.frombuffer(self._archive.read(f"{self._folder}{key}"), dtype, count)
        return self._storages[key]

    def _refuse(self, name: str) -> NoReturn:
        raise DataError(
            f"{self._path}: holds more than tensors: it would call {name}. Nothing was executed; do not load it with "
            "torch either unless you trust its author, who can save model.state_dict() with safetensors."
        )


def _tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> np.ndarray:
    """``torch._utils._rebuild_tensor_v2``; strides count elements. A view may not reach beyond its storage."""
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if not math.prod(shape):
        return np.empty(shape, storage.dtype)
    if min((offset, *shape, *strides)) < 0 or last >= storage.size:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its {storage.size} numbers")
    steps = tuple(stride * storage.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _parameter(value: np.ndarray, *_: Any) -> np.ndarray:
    """``torch._utils._rebuild_parameter``."""
    return value
