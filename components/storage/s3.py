"""S3 as a file system of TFX's ``fileio``: ``s3://``, and ``minio://``, which is S3 at Kubeflow's own store."""

import fnmatch
import functools
import io
import pathlib
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, ParamSpec, TypeVar, cast

from components.storage import s3_errors
from components.storage.s3_client import SCHEMES, client
from components.storage.s3_errors import Missing, StoreError
from components.storage.s3_place import parse
from components.storage.s3_streams import Reader, Text, Writer

_BUFFER = 1 << 20  # bytes
PAGE = 1000  # objects in an answer, S3's most
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Stat(NamedTuple):
    """What is known of an object: bytes, nanoseconds since 1970, and what S3 calls its content."""

    length: int
    mtime_nsec: int
    etag: str


def _told(call: Callable[Given, Result]) -> Callable[Given, Result]:
    """Turns the client's errors into sentences that name the first argument, an address."""

    @functools.wraps(call)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with s3_errors.explained(str(args[0])):
            return call(*args, **kwargs)

    return wrapped


def _objects(path: str, *, folder: bool = True, limit: int | None = None) -> Iterator[tuple[str, Stat]]:
    """Address and stat of every object below a folder, or whose address begins with ``path``; in order."""
    place = parse(path)
    prefix = f"{place.key.rstrip('/')}/" if folder and place.key else place.key
    pages = (
        client(place.scheme)
        .get_paginator("list_objects_v2")
        .paginate(
            Bucket=place.bucket,
            Prefix=prefix,
            PaginationConfig={"MaxItems": limit, "PageSize": min(limit or PAGE, PAGE)},
        )
    )
    for page in pages:
        for each in page.get("Contents", ()):
            if not each["Key"].endswith("/"):  # consoles make such objects to show a folder
                yield f"{place.scheme}://{place.bucket}/{each['Key']}", _stat(each, each["Size"])


def _stat(told: dict[str, Any], length: int) -> Stat:
    return Stat(length, int(told["LastModified"].timestamp()) * 10**9, told["ETag"].strip('"'))


def _head(path: str) -> Stat | None:
    from botocore.exceptions import ClientError

    place = parse(path)
    if not place.key or place.key.endswith("/"):
        return None
    asked = {"Bucket": place.bucket, "Key": place.key}
    try:
        told = client(place.scheme).head_object(**asked)
    except ClientError as error:
        if s3_errors.status(error) == 404:
            return None
        client(place.scheme).get_object(**asked, Range="bytes=0-0")  # an answer to HEAD has no body that says why
        raise
    return _stat(told, told["ContentLength"])


def _there(path: str) -> None:
    """Raises StoreError if the bucket does not exist. HEAD gives the same answer for a missing bucket and object."""
    next(_objects(path, folder=False, limit=1), None)


class S3:
    """The functions of ``tfx.dsl.io.filesystem.Filesystem``."""

    SUPPORTED_SCHEMES = list(SCHEMES)

    @staticmethod
    def open(path: str, mode: str = "r") -> IO[Any]:
        """A file: read as it is when it is opened, written whole when it is closed, and not at all after an error."""
        if mode not in ("r", "rb", "w", "wb"):
            raise ValueError(f"objects are read or written whole: r, rb, w or wb. Received: {mode!r}")
        with s3_errors.explained(path):
            raw = io.BufferedReader(Reader(path), _BUFFER) if "r" in mode else Writer(path)
        return cast("IO[Any]", raw if "b" in mode else Text(raw, encoding="utf-8", newline=""))

    @staticmethod
    @_told
    def copy(source: str, target: str, overwrite: bool = False) -> None:
        """Within S3, by the store itself."""
        if not overwrite and S3.exists(target):
            raise StoreError(target, "it is there already")
        here, there = parse(source), parse(target)
        if here.scheme != there.scheme:
            with S3.open(source, "rb") as given, S3.open(target, "wb") as taken:
                shutil.copyfileobj(given, taken, _BUFFER)
            return
        if _head(source) is None:
            raise Missing(source, s3_errors.MISSING)
        with s3_errors.explained(target):
            client(here.scheme).copy({"Bucket": here.bucket, "Key": here.key}, there.bucket, there.key)

    @staticmethod
    @_told
    def exists(path: str) -> bool:
        """Whether there is such an object, or one below it."""
        return _head(path) is not None or S3.isdir(path)

    @staticmethod
    @_told
    def glob(pattern: str) -> list[str]:
        """Addresses that match: ``*`` and ``?`` within a name, ``**`` through folders, ``[a-z]``."""
        if _head(pattern):  # a name may hold what globs read
            return [pattern]
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        if fixed == pattern:
            _there(pattern)
            return []
        wanted = re.compile(_expression(pattern))
        return [path for path, _ in _objects(fixed, folder=False) if wanted.fullmatch(path)]

    @staticmethod
    @_told
    def isdir(path: str) -> bool:
        """Whether an object is below it."""
        return next(_objects(path, limit=2), None) is not None  # the first may be what consoles make of a folder

    @staticmethod
    @_told
    def listdir(path: str) -> list[str]:
        """Names in a folder.

        Raises:
          Missing: there is nothing below it.
        """
        begin = len(f"{path.rstrip('/')}/")
        names = dict.fromkeys(found[begin:].partition("/")[0] for found, _ in _objects(path))
        if not names:
            raise Missing(path, s3_errors.MISSING)
        return list(names)

    @staticmethod
    def makedirs(path: str) -> None:
        """Does nothing: S3 has no folders, only keys with a common prefix."""
        parse(path)

    mkdir = makedirs

    @staticmethod
    @_told
    def remove(path: str) -> None:
        """Removes an object; a missing one is no error."""
        place = parse(path)
        client(place.scheme).delete_object(Bucket=place.bucket, Key=place.key)

    @staticmethod
    def rename(source: str, target: str, overwrite: bool = False) -> None:
        """A copy, then a removal: S3 renames nothing."""
        S3.copy(source, target, overwrite)
        S3.remove(source)

    @staticmethod
    @_told
    def rmtree(path: str) -> None:
        """Removes every object below a folder."""
        for found, _ in list(_objects(path)):
            S3.remove(found)

    @staticmethod
    @_told
    def stat(path: str) -> Stat:
        """What is known of an object.

        Raises:
          Missing: it is not there.
        """
        found = _head(path)
        if found is None:
            _there(path)
            raise Missing(path, s3_errors.MISSING)
        return found

    @staticmethod
    @_told
    def walk(top: str, topdown: bool = True, onerror: Any = None) -> list[tuple[str, list[str], list[str]]]:
        """Folder, folders in it, names in it: for each folder from ``top`` down."""
        del onerror
        found: dict[str, tuple[set[str], list[str]]] = {}
        top = top.rstrip("/")
        for path, _ in _objects(top):
            folder, name = posixpath.split(path)
            found.setdefault(folder, (set(), []))[1].append(name)
            while folder != top:
                folder, below = posixpath.split(folder)
                found.setdefault(folder, (set(), []))[0].add(below)
        walked = [(folder, sorted(folders), names) for folder, (folders, names) in sorted(found.items())]
        return walked if topdown else walked[::-1]


def upload(source: str, target: str) -> None:
    """A file of this machine; it appears whole."""
    with s3_errors.explained(target):
        place = parse(target)
        client(place.scheme).upload_file(source, place.bucket, place.key)


def download(source: str, target: str) -> None:
    """An object to this machine; the file appears whole."""
    part = pathlib.Path(f"{target}.part")
    try:
        with S3.open(source, "rb") as given, part.open("wb") as taken:
            shutil.copyfileobj(given, taken, _BUFFER)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _expression(pattern: str) -> str:
    """A glob as a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^]]+\])", pattern)
    known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(part) or (fnmatch.translate(part)[4:-3] if part.startswith("[") else re.escape(part))
        for part in parts
    )
