"""What every vocabulary in ``models/vocabularies/`` must do; a new one adds its example here."""

import json
import pathlib
import re

import pytest
import tensorflow as tf

from models import vocabularies
from schemas import DataError

FOLDER = pathlib.Path(vocabularies.__path__[0])
# Of those that can be imported: settings that learn, settings that import, a file, one that lacks pieces.
EXAMPLES = {
    "wordpiece": (
        {"learn": 60, "path": None, "reserve": ["[URL]"], "mode": "uncased_nfc", "replace": []},
        {"learn": None, "path": "vocab.txt", "reserve": [], "mode": None, "replace": []},
        b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlow\nwide\n##er\n",
        "[PAD]\n[UNK]\n",
    ),
}
LEARNED = {
    **{name: settings for name, (settings, *_) in EXAMPLES.items()},
    "items": {"learn": 60, "path": None},
    "tests.toy.letters": {
        "learn": 20,
        "path": None,
        "reserve": [],
        "mode": None,
        "replace": [],
    },  # of a family elsewhere
}
TEXTS = [["low lower lowest", "wide"], [], ["low"] * 3]


def test_every_vocabulary_has_an_example():
    assert sorted(name for name in LEARNED if "." not in name) == sorted(file.stem for file in FOLDER.glob("[!_]*.py"))


@pytest.fixture(params=EXAMPLES)
def example(request):
    return request.param, *EXAMPLES[request.param]


@pytest.fixture(params=LEARNED)
def settings(request):
    return request.param, LEARNED[request.param]


def learned(name, settings, folder, texts=TEXTS, **start):
    folder.mkdir()
    module = vocabularies.load(name)
    module.check(settings)
    return module.learn([tf.constant(each, tf.string) for each in texts], settings, folder, **start)


def test_what_is_learned_is_read_by_its_kind(settings, tmp_path):
    name, settings = settings
    summary = learned(name, settings, tmp_path / "a")
    vocabulary = vocabularies.read(tmp_path / "a")
    assert re.search(r"\d", summary)
    assert "\n" not in summary
    special = [vocabulary.pad_id, vocabulary.unk_id, vocabulary.mask_id]
    assert len(set(special)) == 3
    assert max(special) < vocabulary.size
    learned(name, settings, tmp_path / "b", TEXTS[::-1])
    for file in (tmp_path / "a").iterdir():  # the order of the records decides nothing
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_what_is_imported_stays_as_it_was(example, tmp_path):
    name, _, settings, content, _ = example
    learned(name, settings, tmp_path / "a", imported=content)
    assert vocabularies.read(tmp_path / "a").size == content.count(b"\n")


def test_nothing_to_learn_from_and_a_wrong_file_are_refused(example, tmp_path):
    name, settings, imports, _, lacking = example
    with pytest.raises(DataError, match=r"there is nothing to learn from|no words to learn"):
        learned(name, settings, tmp_path / "a", [[], [" "]])
    with pytest.raises(DataError, match="vocabulary lacks"):
        learned(name, imports, tmp_path / "b", imported=lacking.encode())


def test_a_folder_of_before_kinds_is_wordpiece(tmp_path):
    learned("wordpiece", EXAMPLES["wordpiece"][0], tmp_path / "a")
    rules = json.loads((tmp_path / "a/text.json").read_text())
    assert rules.pop("kind") == "wordpiece"
    before = vocabularies.read(tmp_path / "a")
    (tmp_path / "a/text.json").write_text(json.dumps(rules))
    after = vocabularies.read(tmp_path / "a")
    assert (after.vocabulary, after.rules) == (before.vocabulary, before.rules)


def test_a_module_elsewhere_is_named_by_its_path():
    assert vocabularies.load("models.vocabularies.wordpiece") is vocabularies.load("wordpiece")
