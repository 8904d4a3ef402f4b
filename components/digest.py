"""Digests that decide whether a node is cached: of its files, and of its source code.

TFX compares neither the code behind a dotted path nor files edited in place, so these digests are node properties.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import pathlib
from collections.abc import Iterable
from typing import Any

_PACKAGES = ("components", "configs", "models", "schemas")
_CHUNK = 1 << 20  # bytes a read


def of_files(patterns: Iterable[str], **values: Any) -> str:
    """SHA-256 (hex) over the content of every file that matches, in name order, and over ``values`` as JSON.

    Names stay out: a re-run writes the same records under another address.
    """
    import tensorflow as tf

    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for pattern in patterns:
        for name in sorted(tf.io.gfile.glob(pattern)):
            with tf.io.gfile.GFile(name, "rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()


def of_text(text: str) -> str:
    """SHA-256 (hex, 32 digits) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_folder(folder: str | pathlib.Path) -> str:
    """SHA-256 (hex) over the relative names and contents of a folder's files, wherever it is."""
    from components.storage import files

    digest = hashlib.sha256()
    for name in files.below(str(folder)):
        digest.update(name.encode() + b"\0" + _content(f"{folder}/{name}").digest())
    return digest.hexdigest()


def _content(path: str) -> "hashlib._Hash":
    from components.storage.files import fileio

    digest = hashlib.sha256()
    with fileio.open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest


def of_source(*modules: str) -> str:
    """SHA-256 (hex, 16 digits) over the source of ``modules`` and of every module of ours that they import."""
    digest = hashlib.sha256()
    for name in sorted(imported(*modules)):
        digest.update(name.encode() + b"\0" + _file(name).read_bytes())
    return digest.hexdigest()[:16]


def imported(*modules: str) -> set[str]:
    """``modules`` and every module of ours that they import, directly or not, inside functions too.

    A module outside of our packages, such as a record kind of somebody else's, brings its own package with it.
    """
    packages = {*_PACKAGES, *(name.partition(".")[0] for name in modules)}
    names: set[str] = set()
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name not in names:
            names.add(name)
            pending += [each for each in _imports(name) if each.partition(".")[0] in packages and _exists(each)]
    return names


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    """The modules that ``module`` names in its imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(sorted(names))


def _exists(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # `name` is a class or function of a module
        return False
    return spec is not None and spec.origin is not None


def _file(name: str) -> pathlib.Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {name}")
    return pathlib.Path(spec.origin)
