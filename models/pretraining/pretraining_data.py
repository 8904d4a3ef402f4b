"""Pretraining batches from tokenized documents: pairs or windows, packing, masks (Devlin et al. 2019, appendix A.1).

A stream: documents → pieces of at most ``max_length`` tokens → shuffled blocks of rows → batches → masks. Memory holds
one block, whatever the corpus. All randomness is a function of (seed, epoch, block) or (seed, step).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import tensorflow as tf

from models.pretraining import bucketing, packing
from models.pretraining.masking import Ids, Masking, mask
from models.text import tokenization
from models.training import reading
from schemas import DataError

__all__ = ["Corpus", "Ids", "Objective", "Recipe", "batches", "held_out", "segments", "windows"]

Objective = Literal["mlm", "nsp", "sop"]

# Documents tokenized at once, and pieces shuffled together: about 10 MB of tokens at length 128.
_DOCUMENTS = 64
_BLOCK = 8192
# Draws for a sentence of another document; a corpus of two equal documents fails all of them once in 256 rows.
_TRIES = 8
_TRAIN, _MASKS, _HELD_OUT = range(3)  # streams of random numbers


class Corpus:
    """Featurizer of documents.

    Args:
      config: nothing is read from it.
    """

    family, kept_columns = "text", ()

    def __init__(self, config: Mapping[str, Any]):
        del config

    def featurize(self, record: Mapping[str, Any], tokenizer: tokenization.Tokenizer) -> dict[str, Any]:
        """``sentences`` ragged string (N, None) -> ``token_ids`` ragged int64 (N, sentences, tokens), none special."""
        sentences = record["sentences"]
        return {"token_ids": sentences.with_flat_values(tokenizer.tokenize(sentences.flat_values))}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What batches look like.

    Attributes:
      ids: of the vocabulary.
      objectives: with ``nsp`` or ``sop`` a row is a pair of segments, else a document or a window of one.
      batch_size: rows, B; with ``batch_tokens`` at most.
      batch_tokens: tokens of a batch, padding included, at most: rows of about one length are together; not packed.
      max_length: tokens a row, special ones included.
      mask_share: of the tokens.
      masking: what is hidden together.
      pack: several documents in one row of exactly ``max_length``; ``mlm`` only.
      jit_compile: as many ``masked_ids`` in every training batch, with -1 behind the masked tokens: XLA compiles each
        shape anew. Packed only.
      seed: of everything random here.

    Raises:
      ValueError: these cannot go together.
    """

    ids: Ids
    objectives: Sequence[Objective]
    batch_size: int
    max_length: int
    mask_share: float = 0.15
    masking: Masking = "token"
    pack: bool = False
    batch_tokens: int | None = None
    jit_compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if {"nsp", "sop"} <= set(self.objectives):
            raise ValueError(f"a pair has one label, of nsp or of sop. Received: objectives={self.objectives}")
        if self.pack and self.pairs:
            raise ValueError("pack joins unrelated texts in one row: it goes with objectives [mlm] only")
        if self.max_length < 8:
            raise ValueError(f"max_length must be at least 8 tokens. Received: max_length={self.max_length}")

    @property
    def pairs(self) -> bool:
        """Whether a row is a pair of segments."""
        return "nsp" in self.objectives or "sop" in self.objectives

    @classmethod
    def of(cls, settings: Mapping[str, Any], ids: Ids, seed: int) -> Self:
        """From the YAML's ``pretrain`` section."""
        names = {field.name for field in dataclasses.fields(cls)} & settings.keys()
        return cls(ids=ids, seed=seed, **{name: settings[name] for name in names})


def batches(
    files: Sequence[str],
    feature_spec: Mapping[str, Any],
    recipe: Recipe,
    start_step: int = 0,
    phases: Sequence[tuple[int, int]] = (),
) -> tf.data.Dataset:
    """Training batches without end, the same for the same arguments.

    Args:
      files: TFRecords (gzip) that Transform wrote with ``Corpus``.
      feature_spec: of their features.
      recipe: of the batches.
      start_step: the first batch is the one that the stream from 0 has at this step. The rows before it are made
        again and thrown away, their masks are not.
      phases: steps and ``max_length`` of batches that come before the recipe's, in order. Each phase begins the corpus
        anew, in an order of its own.

    Returns:
      A dataset of dicts, S being the longest row or, packed, ``max_length``:
      ``token_ids``, ``segment_ids`` int32 (B, S); ``padding_mask`` bool (B, S), False on padding;
      ``masked_indices`` int32 (M,) into the flattened (B · S) rows; ``masked_ids`` int32 (M,);
      with nsp ``next_sentence_label`` int32 (B,), 0 where the second segment is the next one;
      with sop ``sentence_order_label`` int32 (B,), 1 where the two segments are swapped;
      packed ``position_ids``, ``group_ids`` int32 (B, S), groups from 1, 0 on padding.

    Raises:
      DataError: the files give no row.
    """
    # Without this check an epoch without rows would repeat forever.
    if not list(_epoch(files, feature_spec, recipe, _TRAIN, tf.constant(0, tf.int64)).take(1)):
        other = ", or for nsp and sop nothing but one sentence" if recipe.pairs else ""
        raise DataError(f"the corpus holds no words to pretrain on{other}. Received: {len(files)} files")

    def batches_of(phase: int, made: Recipe, first: int) -> tf.data.Dataset:
        epochs = tf.data.Dataset.counter(phase << 32)
        rows = epochs.flat_map(lambda epoch: _epoch(files, feature_spec, made, _TRAIN, epoch))
        start = max(start_step, first)
        return _batched(rows, made, _MASKS, start, start - first)

    parts, first = [], 0
    for phase, (steps, max_length) in enumerate(phases):
        if start_step < first + steps:
            part = batches_of(phase, dataclasses.replace(recipe, max_length=max_length), first)
            parts.append(part.take(first + steps - max(start_step, first)))
        first += steps
    return functools.reduce(tf.data.Dataset.concatenate, [*parts, batches_of(len(phases), recipe, first)])


def held_out(files: Sequence[str], feature_spec: Mapping[str, Any], recipe: Recipe) -> tf.data.Dataset:
    """The same batches in one pass, for figures: the same rows and masks each time; the last may be smaller."""
    recipe = dataclasses.replace(recipe, jit_compile=False)
    return _batched(_epoch(files, feature_spec, recipe, _HELD_OUT, tf.constant(0, tf.int64)), recipe, _HELD_OUT)


def _seed(recipe: Recipe, stream: int, *indices: Any) -> Any:
    """The int64 (2,) seed of ``stream`` at ``indices``."""
    seed = tf.constant([recipe.seed, stream], tf.int64)
    for index in indices:
        seed = tf.random.fold_in(seed, index)
    return seed


def _epoch(files: Sequence[str], spec: Mapping[str, Any], recipe: Recipe, stream: int, epoch: Any) -> tf.data.Dataset:
    """Each piece once: a dataset of ragged rows, shuffled by block."""
    file_seed, piece_seed, block_seed = tf.unstack(tf.random.split(_seed(recipe, stream, epoch), 3))
    order = tf.random.experimental.stateless_shuffle(tf.constant(sorted(files)), file_seed)
    blocks = _pieces(order, spec, recipe, piece_seed).ragged_batch(_BLOCK).enumerate()

    def rows(block: Any, pieces: Any) -> Any:
        order_seed, row_seed = tf.unstack(tf.random.split(tf.random.fold_in(block_seed, block), 2))
        count = tf.shape(pieces["document"], out_type=tf.int64)[0]
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count), order_seed)
        pieces = {name: tf.gather(value, shuffled) for name, value in pieces.items()}
        if "nsp" in recipe.objectives:
            return _pairs(pieces, recipe, row_seed)
        if "sop" in recipe.objectives:
            return _ordered(pieces, recipe, row_seed)
        token_ids, segment_ids = tokenization.single(pieces["a"], recipe.ids.cls, recipe.ids.sep, recipe.max_length)
        if recipe.pack:
            return _int32(**packing.pack(token_ids, recipe.max_length, row_seed))
        return _int32(token_ids=token_ids, segment_ids=segment_ids)

    return blocks.map(rows).unbatch()


def _int32(**row: Any) -> dict[str, Any]:
    return {name: tf.cast(value, tf.int32) for name, value in row.items()}


# --- documents to pieces --------------------------------------------------------------------------------------------


def _pieces(files: Any, spec: Mapping[str, Any], recipe: Recipe, seed: Any) -> tf.data.Dataset:
    """``document`` int64, ``a`` int64 (tokens,) and, for pairs, ``b`` int64 (tokens,): in file order."""

    def cut(batch: Any, records: Any) -> dict[str, Any]:
        ids = tf.io.parse_example(records, {"token_ids": spec["token_ids"]})["token_ids"]
        ids = ids.with_row_splits_dtype(tf.int64)
        # Hash the content, so that duplicates count as one document.
        documents = tf.strings.to_hash_bucket_fast(records, 2**62)
        if recipe.pairs:
            return segments(ids, documents, recipe.max_length, tf.random.fold_in(seed, batch))
        return windows(ids, documents, recipe.max_length - 2)

    return tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_DOCUMENTS).enumerate().map(cut).unbatch()


def windows(ids: Any, documents: Any, room: int) -> dict[str, Any]:
    """Each document's tokens, ``room`` at a time.

    Args:
      ids: ragged int64 (N, sentences, tokens).
      documents: int64 (N,), which document each is.
      room: tokens in a window.

    Returns:
      ``document`` int64 (P,) and ``a`` ragged int64 (P, tokens); no empty ones.
    """
    ids = ids.merge_dims(1, 2)
    starts = tf.ragged.range(ids.row_starts(), ids.row_limits(), tf.cast(room, tf.int64))
    a = tf.RaggedTensor.from_row_splits(ids.values, tf.concat([starts.values, ids.row_splits[-1:]], axis=0))
    return {"document": tf.gather(documents, starts.value_rowids()), "a": a}


def segments(ids: Any, documents: Any, max_length: int, seed: Any) -> dict[str, Any]:
    """Consecutive sentences of a document, cut in two between sentences (``create_instances_from_document``).

    A chunk takes sentences until it has ``max_length - 3`` tokens; where it is cut in two is random. A chunk of one
    sentence has an empty ``b``.

    Args:
      ids: ragged int64 (N, sentences, tokens).
      documents: int64 (N,), which document each is.
      max_length: tokens a row; segments are cut to it, which loses nothing that the pair could hold.
      seed: int64 (2,), of the cuts.

    Returns:
      ``document`` int64 (P,), ``a`` and ``b`` ragged int64 (P, tokens).
    """
    tokens, lengths, owner = ids.flat_values, ids.values.row_lengths(), ids.value_rowids()
    said = lengths > 0
    lengths, owner = lengths[said], owner[said]
    starts = tf.cumsum(lengths, exclusive=True)
    # How many tokens of its document come before a sentence.
    place = starts - tf.gather(ids.values.row_splits, tf.gather(ids.row_splits, owner))
    chunk = owner * 2**40 + place // (max_length - 3)
    is_first = tf.concat([tf.ones_like(chunk[:1], tf.bool), chunk[1:] != chunk[:-1]], axis=0)
    first = tf.where(is_first)[:, 0]  # sentences that begin a chunk
    count = tf.concat([first[1:], [tf.size(lengths, tf.int64)]], axis=0) - first
    sides = tf.random.stateless_uniform(tf.shape(first), seed, dtype=tf.float64) * tf.cast(count - 1, tf.float64)
    in_a = 1 + tf.cast(sides, tf.int64)
    bounds = tf.concat([starts, [tf.size(tokens, tf.int64)]], axis=0)
    splits = tf.stack([tf.gather(bounds, first), tf.gather(bounds, first + in_a)], axis=1)
    halves = tf.RaggedTensor.from_row_splits(tokens, tf.concat([tf.reshape(splits, [-1]), bounds[-1:]], axis=0))
    a, b = halves[0::2, :max_length], halves[1::2, :max_length]
    return {"document": tf.gather(documents, tf.gather(owner, first)), "a": a, "b": b}


# --- pieces to rows -------------------------------------------------------------------------------------------------


def _pairs(pieces: Mapping[str, Any], recipe: Recipe, seed: Any) -> dict[str, Any]:
    """A block of pairs: half of the second segments become one of another document.

    A chunk of one sentence always takes another document's; where eight draws find none, it is left out.
    """
    flip, draw = tf.unstack(tf.random.split(seed, 2))
    a, b, document = pieces["a"], pieces["b"], pieces["document"]
    count = tf.size(document)
    alone = b.row_lengths() == 0
    drawn = tf.random.stateless_uniform([count, _TRIES], draw, maxval=count, dtype=tf.int32)
    other = tf.gather(document, drawn) != document[:, None]
    swapped = (alone | (tf.random.stateless_uniform([count], flip) < 0.5)) & tf.reduce_any(other, axis=1)
    found = tf.gather(drawn, tf.argmax(other, axis=1), axis=1, batch_dims=1)
    source = tf.where(swapped, found, tf.range(count))
    # A chunk of one sentence contributes that sentence.
    second = tf.gather(tf.concat([b, a], axis=0), source + count * tf.cast(tf.gather(alone, source), tf.int32))
    token_ids, segment_ids = tokenization.pair(a, second, recipe.ids.cls, recipe.ids.sep, recipe.max_length)
    rows = _int32(token_ids=token_ids, segment_ids=segment_ids, next_sentence_label=swapped)
    return {name: tf.ragged.boolean_mask(value, swapped | ~alone) for name, value in rows.items()}


def _ordered(pieces: Mapping[str, Any], recipe: Recipe, seed: Any) -> dict[str, Any]:
    """A block of pairs, half of them swapped (Lan et al. 2020, section 3.1). A chunk of one sentence is left out."""
    paired = pieces["b"].row_lengths() > 0
    a, b = (tf.ragged.boolean_mask(pieces[half], paired) for half in ("a", "b"))
    count = tf.cast(a.nrows(), tf.int32)
    swapped = tf.cast(tf.random.stateless_uniform([count], seed) < 0.5, tf.int32)
    halves, places = tf.concat([a, b], axis=0), tf.range(count)
    first, second = tf.gather(halves, places + count * swapped), tf.gather(halves, places + count * (1 - swapped))
    token_ids, segment_ids = tokenization.pair(first, second, recipe.ids.cls, recipe.ids.sep, recipe.max_length)
    return _int32(token_ids=token_ids, segment_ids=segment_ids, sentence_order_label=swapped)


# --- rows to batches ------------------------------------------------------------------------------------------------


def _batched(
    rows: tf.data.Dataset, recipe: Recipe, stream: int, start_step: int = 0, skipped: int = 0
) -> tf.data.Dataset:
    """Pads and masks. ``start_step`` is the number of the first batch, ``skipped`` how many come before it."""
    length = recipe.max_length if recipe.pack else None

    def finish(step: Any, ragged: dict[str, Any]) -> dict[str, Any]:
        batch = {
            name: value.to_tensor(recipe.ids.pad if name == "token_ids" else 0, shape=[None, length])
            for name, value in ragged.items()
            if isinstance(value, tf.RaggedTensor)
        }
        mask_seed = _seed(recipe, stream, step)
        padding_mask = tf.sequence_mask(ragged["token_ids"].row_lengths(), tf.shape(batch["token_ids"])[1])
        batch["token_ids"], indices, hidden = mask(
            batch["token_ids"],
            padding_mask,
            recipe.ids,
            share=recipe.mask_share,
            seed=mask_seed,
            masking=recipe.masking,
        )
        if recipe.jit_compile:
            most = recipe.batch_size * max(1, round(recipe.mask_share * recipe.max_length))
            missing = [[0, most - tf.size(hidden)]]
            indices, hidden = tf.pad(indices, missing), tf.pad(hidden, missing, constant_values=-1)
        return {**ragged, **batch, "padding_mask": padding_mask, "masked_indices": indices, "masked_ids": hidden}

    if recipe.batch_tokens is None:
        ragged = rows.skip(skipped * recipe.batch_size).ragged_batch(recipe.batch_size)
    else:
        ragged = bucketing.batches(rows, batch_size=recipe.batch_size, batch_tokens=recipe.batch_tokens).skip(skipped)
    ragged = ragged.with_options(reading.untuned())
    return ragged.enumerate(start_step).map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
