"""Items, such as films or articles: every item of the train split is an id, the most frequent ones first.

A folder holds ``items.json`` (names, how often each occurs, titles), ``text.json``, which names this kind, and with a
text model ``title_vectors.npy``.
"""

import collections
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models import progress
from models.vocabularies import RULES
from schemas import DataError

# Between the items of a history that is asked: no item holds it.
SEPARATOR = "|"
# The first ids are those of BERT's special pieces: [PAD], [UNK], [CLS], [SEP], [MASK].
FIRST = 5
_FILE, _VECTORS = "items.json", "title_vectors.npy"
_BUCKETS = 2**62  # of the hash: as good as all of its 64 bits, and within int64
_BATCH = 256  # texts that a text model reads at once
_UNTITLED = (b"", b"")


class Items:
    """Names of items to ids, in the graph: without a table, so that no signature has to be initialised.

    Args:
      names: of the items, in the order of their ids.
      counts: how often each occurs in the train split.
      titles: of each item; empty where it has none.
      vectors: float32 (I, T), of the titles; None without a text model.

    Attributes:
      size: V, the special pieces included; I is V - ``FIRST``.
      pad_id, unk_id, mask_id: ids that stand for no item, for an unknown one, for a hidden one.
      names, titles: bytes (V,), empty for special pieces.
      counts: int64 (V,).
      vectors: as given.
    """

    pad_id, unk_id, mask_id = 0, 1, 4

    def __init__(
        self, names: Sequence[str], counts: Sequence[int], titles: Sequence[str] = (), vectors: np.ndarray | None = None
    ) -> None:
        titles = titles or [""] * len(names)
        self.names, self.titles = (
            np.array([b""] * FIRST + [each.encode() for each in values], object) for values in (names, titles)
        )
        self.counts, self.vectors = np.array([0] * FIRST + list(counts), np.int64), vectors
        self.size = len(self.names)
        hashes = _hashes(self.names[FIRST:])
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]

    def ids(self, names: Any) -> Any:
        """String (N,) to int64 (N,); ``unk_id`` for what is no item."""
        import tensorflow as tf

        hashes = tf.strings.to_hash_bucket_fast(names, _BUCKETS)
        place = tf.minimum(tf.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found = tf.gather(self._order + FIRST, place)
        return tf.where(tf.gather(self._hashes, place) == hashes, found, self.unk_id)

    @property
    def bands(self) -> np.ndarray:
        """Of each id, int (V,): 0 for the items that make up half of all events, 1 up to 90 %, 2 for the others."""
        before = np.cumsum(self.counts) - self.counts
        found: np.ndarray = np.digitize(before / max(self.counts.sum(), 1), (0.5, 0.9))
        return found


def _hashes(names: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    with tf.init_scope():  # Transform reads a vocabulary while it traces
        hashes: np.ndarray = tf.strings.to_hash_bucket_fast(tf.constant(names, tf.string), _BUCKETS).numpy()
    return hashes


def check(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for settings that mean nothing to items: they are learned from the events."""
    if settings["path"]:
        raise ValueError(f"items are learned from the events: remove path. Received: path={settings['path']}")


def learn(
    texts: Iterable[Any],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    imported: bytes | None = None,
    base: Path | None = None,
    side: Iterable[Mapping[str, Any]] | None = None,
) -> str:
    """Writes the items' files; see ``models.vocabularies.Module.learn``.

    Args:
      texts: string tensors (N,), an element for each event of the train split.
      settings: ``learn``: at most so many items, the most frequent ones; None for all.
      folder: exists.
      imported: None.
      base: a text model, a Hugging Face folder: titles get vectors, and items of the catalogue without an event ids.
      side: the catalogue: ``item``, ``title`` and ``about``, what a text model reads, string tensors (N,), by batches.

    Returns:
      Items, events, and how many items make up half of these.

    Raises:
      DataError: there is no event.
    """
    del imported
    counts = collections.Counter[bytes]()
    for batch in texts:
        counts.update(name for name in batch.numpy().tolist() if name.strip())
    if not counts:
        raise DataError("the train split has no item: there is nothing to learn from")
    known = {item: told for item, *told in itertools.chain.from_iterable(map(_titled, side or ()))}
    if base:
        counts.update(dict.fromkeys(known.keys() - counts.keys(), 0))
    names = sorted(counts, key=lambda name: (-counts[name], name))[: settings["learn"]]
    hashes = _hashes(np.array(names, object))
    if len(np.unique(hashes)) < len(names):
        raise DataError("two items have the same hash of 62 bits: rename one of the two")
    _notice_likeness(names)
    if side is not None and (untitled := sum(name not in known for name in names)):
        told = f"{untitled:,} of {len(names):,} items are not in the catalogue, so answers show no title for them"
        progress.emit(progress.Notice(told))
    titles, texts = ([known.get(name, _UNTITLED)[place].decode() for name in names] for place in (0, 1))
    kept: dict[str, Any] = {
        "items": [name.decode() for name in names],
        "counts": [counts[name] for name in names],
        "titles": titles,
    }
    (folder / _FILE).write_text(json.dumps(kept, ensure_ascii=False), "utf-8")
    (folder / RULES).write_text(json.dumps({"kind": "items"}), "utf-8")
    if base:
        np.save(folder / _VECTORS, text_vectors(base, texts))
    return _summary(np.array(kept["counts"]))


def read(folder: Path) -> Items:
    """The items that ``learn`` wrote into ``folder``."""
    kept = json.loads((folder / _FILE).read_text("utf-8"))
    vectors = np.load(folder / _VECTORS) if (folder / _VECTORS).exists() else None
    return Items(kept["items"], kept["counts"], kept["titles"], vectors)


def text_vectors(base: Path, texts: Sequence[str]) -> np.ndarray:
    """Means of a text model's last layer over a text's tokens: float32 (I, T), of length 1; 0 for an empty text."""
    import tensorflow as tf

    from models.bert import heads
    from models.bert.encoder import BertEncoder
    from models.checkpoints import checkpoint
    from models.text import tokenization

    kept = checkpoint.read(base)
    tokenizer = tokenization.Tokenizer(kept.vocabulary, tokenization.TextRules.load(kept.rules))
    encoder = BertEncoder(**kept.encoder)
    checkpoint.load(base, encoder)
    vectors = []
    for start in range(0, len(texts), _BATCH):
        batch = tf.constant(list(texts[start : start + _BATCH]))
        ids = tokenizer.tokenize(batch)
        rows, segments = tokenization.single(ids, tokenizer.cls_id, tokenizer.sep_id, encoder.max_positions)
        mask = tf.sequence_mask(rows.row_lengths())
        out = encoder.padding_free(rows.to_tensor(), segments.to_tensor(), mask)
        there = tf.cast(tf.strings.length(batch) > 0, tf.float32)
        vectors.append((tf.math.l2_normalize(heads.mean(out["sequence"], mask), axis=1) * there[:, None]).numpy())
    return np.concatenate(vectors)


def _titled(batch: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes, bytes]]:
    return zip(*(batch[name].numpy().tolist() for name in ("item", "title", "about")), strict=True)


def _notice_likeness(names: Sequence[bytes]) -> None:
    """Says how many items differ from another one in case or blanks only: mostly they are the same item."""
    alike = collections.Counter("".join(name.decode().casefold().split()) for name in names)
    if count := sum(number for number in alike.values() if number > 1):
        progress.emit(
            progress.Notice(
                f"{count:,} items differ from another one in case or blanks only, and count as different items; "
                "write each item in one way"
            )
        )


def _summary(counts: np.ndarray) -> str:
    half = 1 + int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    cold = f" · {int((counts == 0).sum()):,} without an event" if not counts.all() else ""
    return f"{len(counts):,} items · {counts.sum():,} events, half of them of {half:,} items{cold}"
