"""Packages of Debian, unpacked without root; and the texts of LibreOffice's message catalogues in one of them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.start.download import FetchError, run

LIBREOFFICE = "libreoffice-l10n-ko"
_ADVICE = "it needs Debian or Ubuntu and its package mirror; the other data does not"
_HANGUL = re.compile("[가-힣]")
# "파일(~F)", "파일(_F)"; then a bare mark in front of a letter, though not inside %FILE_NAME.
_ACCELERATOR = re.compile(r"\s*\([~_]\w\)|~(?=\w)|(?<![\w%$])_(?=\w)")
_KEY = re.compile(r"\(([~_])(\w)\)")


def unpacked(names: Sequence[str], work: Path) -> Path:
    """A folder with the files of packages. apt verifies each against its signed index, and that says the version.

    Raises:
      FetchError: there is no apt, or no such package.
    """
    for name in ("lists/partial", "cache/archives/partial", "deb", "root"):
        (work / name).mkdir(parents=True)
    # Lists of our own: those of the machine may be absent (a container) or stale, and root owns them.
    settings = {
        "Dir::State::lists": (work / "lists").absolute(),
        "Dir::Cache": (work / "cache").absolute(),
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Sandbox::User": "",
    }
    what = " and ".join(names)
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    run([*apt, "update"], what, _ADVICE)
    run([*apt, "download", *names], what, _ADVICE, cwd=work / "deb")
    for package in sorted((work / "deb").glob("*.deb")):
        run(["dpkg-deb", "-x", package, work / "root"], what, _ADVICE)
    return work / "root"


def strings(folder: Path) -> list[str]:
    """The distinct translations with Hangul in the ``.mo`` files below ``folder``: one line, without accelerators."""
    found = (_plain(target) for _, target in _messages(folder))
    return list(dict.fromkeys(text for text in found if _HANGUL.search(text)))


def pairs(folder: Path) -> Iterator[tuple[str, str]]:
    """Each text in the ``.mo`` files below ``folder`` and its translation: a line each, without accelerators."""
    for source, target in _messages(folder):
        if key := _KEY.search(target):  # as in Re_name, 이름 바꾸기(_N)
            source = re.sub(f"{key[1]}(?={key[2]})", "", source, count=1, flags=re.IGNORECASE)
        pair = _plain(source), _plain(target)
        if all(pair) and not any(unicodedata.category(letter) == "Cc" for text in pair for letter in text):
            yield pair


def _messages(folder: Path) -> Iterator[tuple[str, str]]:
    import polib

    catalogues = [polib.mofile(str(path)) for path in sorted(folder.rglob("*.mo"))]
    if not catalogues:
        raise FetchError(f"{LIBREOFFICE} holds no message catalogues.")
    for entry in (entry for catalogue in catalogues for entry in catalogue):
        yield entry.msgid, entry.msgstr
        yield from ((entry.msgid_plural, text) for text in entry.msgstr_plural.values())


def _plain(text: str) -> str:
    return " ".join(_ACCELERATOR.sub("", text).split())
