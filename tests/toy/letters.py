"""A vocabulary of letters: ``letters.json`` holds them in order; the first three ids stand for none."""

import collections
import json

import tensorflow as tf

from schemas import DataError


class Letters:
    pad_id, unk_id, mask_id = range(3)

    def __init__(self, letters):
        self.letters = tuple(letters)
        self.size = 3 + len(self.letters)

    def ids(self, letters):
        """Ragged string (B, None) to ragged int64 (B, None)."""
        same = letters.flat_values[:, None] == tf.constant(self.letters)
        place = tf.argmax(tf.cast(same, tf.int32), axis=1) + 3
        return letters.with_flat_values(tf.where(tf.reduce_any(same, axis=1), place, self.unk_id))


def check(settings):
    if settings["path"]:
        raise ValueError(f"letters are learned. Received: path={settings['path']}")


def learn(texts, settings, folder, *, imported=None, base=None):
    counts = collections.Counter(letter.decode() for text in texts for letter in text.numpy())
    if not counts:
        raise DataError("the train split has no letter: there is nothing to learn from")
    letters = sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[: settings["learn"]])
    (folder / "letters.json").write_text(json.dumps(letters), "utf-8")
    (folder / "text.json").write_text(json.dumps({"kind": __name__}), "utf-8")
    return f"{len(letters)} letters"


def read(folder):
    return Letters(json.loads((folder / "letters.json").read_text("utf-8")))
