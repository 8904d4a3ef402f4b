"""The next item of a history, ranked over the whole catalogue: BERT4Rec, SASRec, or decayed counts."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from typing_extensions import override

from models import task
from models.figures import Figures
from models.recommendation import baselines, counts, figures, ranking, sequences
from models.recommendation.options import Options
from models.vocabularies.items import FIRST, SEPARATOR

if TYPE_CHECKING:
    import tensorflow as tf

    from models.vocabularies.items import Items

Config = Options
# Upper edges in items.
_LENGTHS = (5, 20, 50)
_BUCKETS = ("1-5 items", "6-20 items", "21-50 items", ">50 items")
_BANDS = ("head", "middle", "tail", "new")
_LEAST = 1e-9  # of a count: has a logarithm
_ASKED = 10_000  # records of the eval split that the constants of counts are chosen by
_PASSES = 10  # of the objective cloze: few places of a row are hidden, and other ones each time


class Task(task.Task):
    """Items that a user takes next, best first."""

    family = "items"
    rows = "windows"
    schema = "sequence"
    gold = ("target",)
    targets = ("target_id",)
    answers = ("items", "scores", "source")
    metrics = (
        task.Metric("ndcg_10"),
        *(task.Metric(f"hit_{cut}") for cut in figures.CUTS),
        task.Metric("ndcg_5"),
        task.Metric("ndcg_20"),
        task.Metric("mrr"),
        task.Metric("coverage_10"),
        task.Metric("popularity_10", better="lower"),
        task.Metric("tied", better="lower"),
        task.Metric("new", better="lower"),
    )
    baselines = baselines.NAMES
    explains = True
    slices = {"history_bucket": _BUCKETS, "target_band": _BANDS}

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))
        self._items: Items | None = None
        self._decay: counts.Decay | None = None
        self._followers: Any = None

    @override
    @classmethod
    def recipe(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Klenitskiy & Vasilev 2023 and their code; one epoch for counts, which learn nothing by steps."""
        if config.get("objective") == "counts":
            return {"epochs": 1}
        patience = 20 if config.get("objective") == "cloze" else 10
        return {
            "epochs": 200,
            "early_stopping": {"patience": patience},
            "batch_size": 128,
            "learning_rate": 1e-3,
            "warmup": 0.01,  # of 200 epochs, of which early stopping leaves some dozens
            "beta_2": 0.98,
            "clip_norm": 5.0,
        }

    @property
    def items(self) -> "Items":
        """The catalogue.

        Raises:
          ValueError: the task is not ``fitted``.
        """
        if self._items is None:
            raise ValueError("next_item knows no items before fitted(…)")
        return self._items

    @property
    def catalogue(self) -> np.ndarray:
        """Which ids can be answered: bool (V,)."""
        found = np.arange(self.items.size) >= FIRST
        return found if self.config.cold_items else found & (self.items.counts > 0)

    @override
    def featurize(self, record: task.Tensors, tokenizer: "Items") -> dict[str, Any]:
        """``item_ids`` ragged int64 (B, None), ``unknown`` int64 (B,), ``history_bucket`` string (B,); ``targets``.

        Items that the train split does not have are left out, and counted by ``unknown``.
        """
        import tensorflow as tf

        history = record["history"]
        ids = history.with_flat_values(tokenizer.ids(history.flat_values))
        known = ids.with_flat_values(ids.flat_values >= FIRST)
        item_ids = tf.ragged.boolean_mask(ids, known)
        lengths = history.row_lengths()
        bucket = tf.reduce_sum(tf.cast(lengths[:, None] > tf.constant(_LENGTHS, tf.int64), tf.int32), axis=1)
        found = {
            "item_ids": item_ids,
            "unknown": lengths - item_ids.row_lengths(),
            "history_bucket": tf.gather(_BUCKETS, bucket),
        }
        return found | ({"target_id": tokenizer.ids(record["target"])} if "target" in record else {})

    @override
    def fitted(self, rows: "tf.data.Dataset", held_out: "tf.data.Dataset", vocabulary: Any) -> Self:
        """Knows the items, and with the objective ``counts`` what followed what, and how the eval split reads best.

        Counts that are fitted again, to other rows, keep the constants that the eval split chose.
        """
        known = copy.copy(self)
        known._items = vocabulary
        if self.config.objective != "counts":
            return known
        learned = [row["sequence"] for row in rows.as_numpy_iterator()]
        if self._decay:
            known._followers = counts.shares(counts.followers(learned, vocabulary.size, self._decay.reach))
            return known
        asked = [(row["item_ids"], int(row["target_id"])) for row in held_out.take(_ASKED).as_numpy_iterator()]
        known._decay, known._followers = counts.chosen(
            learned, asked, vocabulary.counts, exclude_seen=self.config.exclude_seen
        )
        return known

    @override
    def together(self, train: "tf.data.Dataset", held_out: "tf.data.Dataset") -> "tf.data.Dataset":
        """Each event once: where eval asks the users of train, a train record is the history of an eval record."""
        import tensorflow as tf

        both, learned = train.concatenate(held_out), [self._sequence(row).numpy().tobytes() for row in train]
        asked = [row["item_ids"].numpy().tobytes() for row in held_out]
        goes_on = Counter(each for each in asked if len(each) > np.int64().nbytes)
        if not goes_on <= Counter(learned):  # users of their own
            return both
        kept = []
        for each in learned:
            kept.append(goes_on[each] <= 0)
            goes_on[each] -= 1
        flags = tf.data.Dataset.from_tensor_slices([*kept, *(True for _ in asked)])
        return tf.data.Dataset.zip((both, flags)).filter(lambda _, flag: flag).map(lambda row, _: row)

    @override
    def training_rows(self, rows: "tf.data.Dataset") -> "tf.data.Dataset":
        """A row for each window of a history with its target: ``sequence`` int64 (None,) and ``window`` int64.

        A history without a second item teaches no order.
        """
        import tensorflow as tf

        length = self.config.max_length
        passes = {"causal": self.config.passes, "cloze": self.config.passes or _PASSES, "counts": 1}

        def windows(sequence: Any) -> "tf.data.Dataset":
            count = sequences.windows(tf.size(sequence, tf.int64), length, passes[self.config.objective])
            return tf.data.Dataset.range(count).map(lambda window: {"sequence": sequence, "window": window})

        return rows.map(self._sequence).filter(lambda each: tf.size(each) > 1).flat_map(windows)

    def _sequence(self, row: task.Tensors) -> Any:
        """History and target, int64 (None,), without items that no network has a vector of its own for."""
        import tensorflow as tf

        ids = tf.concat([row["item_ids"], row["target_id"][None]], axis=0)
        end = FIRST + int((self._items.counts > 0).sum()) if self._items else ids.dtype.max
        return tf.boolean_mask(ids, (ids >= FIRST) & (ids < end))

    @override
    def batches(
        self, rows: "tf.data.Dataset", *, batch_size: int, seed: int, epoch: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """Of ``training_rows``; none for the objective ``counts``, which learns nothing by steps."""
        import tensorflow as tf

        shuffled = rows.shuffle(20_000, seed=seed * 1000 + epoch, reshuffle_each_iteration=False)
        if self.config.objective == "counts":
            shuffled = shuffled.take(0)
        groups = shuffled.skip(start_step * batch_size).ragged_batch(batch_size).enumerate(start_step)
        of_epoch = tf.constant(seed * 1000 + epoch, tf.int64)

        def made(step: Any, batch: task.Tensors) -> dict[str, Any]:
            return self._training_batch(batch, of_epoch, step)

        return groups.map(made, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    def _training_batch(self, batch: task.Tensors, of_epoch: Any, step: Any) -> dict[str, Any]:
        import tensorflow as tf

        own, length, seed = self.config, self.config.max_length, tf.stack([of_epoch, 2 * step])
        if own.objective == "cloze":
            crops = sequences.crop(batch["sequence"], length, seed)
            draws = tf.stack([of_epoch, 2 * step + 1])
            return sequences.cloze(crops, self.items.mask_id, own.mask_share, own.mask_last, draws)
        if own.passes:
            return sequences.causal(sequences.crop(batch["sequence"], length + 1, seed))
        shift = tf.random.stateless_uniform([], tf.stack([of_epoch, -1]))
        return sequences.causal(sequences.window(batch["sequence"], batch["window"], length + 1, shift))

    @override
    def inputs(self, features: task.Tensors) -> dict[str, Any]:
        """The last items of a history, as ``sequences.row``."""
        return sequences.asked(features["item_ids"], self.items.mask_id, self._length, hidden=self._cloze)

    @property
    def _cloze(self) -> bool:
        return self.config.objective == "cloze"

    @property
    def _length(self) -> int:
        return self._decay.window if self._decay else self.config.max_length

    @property
    def read(self) -> int:
        """How many items at the end of a history are read."""
        return self._length - self._cloze

    @override
    def build(self, encoder: Any) -> Any:
        """A Keras layer: batch to ``logits`` (B, V).

        Args:
          encoder: an ``ItemNetwork``; None for the objective ``counts``.
        """
        from models.recommendation import networks

        if self._decay:
            return networks.CountModel(self.items, self._followers, self._decay)
        if encoder is None:
            raise ValueError(f"objective: {self.config.objective} needs an encoder")
        return networks.ItemModel(encoder, self.config)

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """See ``Options.loss``; mean over the predicted places."""
        from models.bert import heads
        from models.recommendation import losses

        count = self.items.size - FIRST
        if self.config.loss == "softmax":
            return heads.mlm_loss(outputs, batch)
        if self.config.loss == "gbce":
            return losses.gbce(outputs, batch, count, self.config.calibration)
        return losses.sampled_softmax(outputs, batch, count)

    @override
    def row_weights(self, batch: task.Tensors) -> Any:
        from models.bert import heads

        return heads.masked_of_rows(batch)

    def eligible(self, features: task.Tensors) -> Any:
        """Which items may be answered: bool (B, V)."""
        return ranking.eligible(features["item_ids"], self.catalogue, exclude_seen=self.config.exclude_seen)

    def scores(self, outputs: task.Tensors, features: task.Tensors) -> Any:
        """Of all items, (B, V): those of the model, or popularity where a history has no item that is known."""
        import tensorflow as tf

        popularity = tf.constant(np.log(self.items.counts + _LEAST), outputs["logits"].dtype)
        known = features["item_ids"].row_lengths() > 0
        return tf.where(known[:, None], outputs["logits"], popularity)

    def ranked(self, outputs: task.Tensors, features: task.Tensors, eligible: Any) -> dict[str, Any]:
        """``answer``, of these eligible items."""
        import tensorflow as tf

        ids, shares = ranking.best(self.scores(outputs, features), eligible, self.config.top_k)
        known = features["item_ids"].row_lengths()
        return {
            "items": tf.gather(tf.constant(self.items.names, tf.string), ids),
            "titles": tf.gather(tf.constant(self.items.titles, tf.string), ids),
            "scores": shares,
            "known": known,
            "unknown": features["unknown"],
            "source": tf.where(known > 0, "model", "popularity"),
        }

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``items``, ``titles`` string and ``scores`` float32 (B, K), the best first, "" and 0 behind the last one.

        ``scores`` are probabilities among all items that may be answered. ``known`` and ``unknown`` int64 (B,) count
        the items of the history; ``source`` string (B,) is ``popularity`` where none is known, else ``model``.
        """
        del record
        return self.ranked(outputs, features, self.eligible(features))

    @override
    def examined(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``rank``, ``best_rank``, ``popularity_rank``, ``catalogue``, ``target_title``, (B,); ``shown`` (B, 10)."""
        import tensorflow as tf

        scores, eligible, target = self.scores(outputs, features), self.eligible(features), self._target(record)
        popularity = tf.broadcast_to(tf.constant(self.items.counts), tf.shape(scores))
        rank, best = ranking.ranks(scores, eligible, target)
        return {
            "rank": rank,
            "best_rank": best,
            "popularity_rank": ranking.ranks(popularity, eligible, target)[0],
            "catalogue": tf.fill(tf.shape(rank), tf.constant(self.catalogue.sum(), tf.int64)),
            "target_title": tf.gather(tf.constant(self.items.titles, tf.string), target),
            "shown": ranking.best(scores, eligible, figures.SHOWN)[0],
        }

    @override
    def sliced(self, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``target_band``: whether the target is among the items that make up half of the events, 90 %, or the rest."""
        import tensorflow as tf

        bands = np.concatenate([np.full(FIRST, len(_BANDS) - 1), self.items.bands[FIRST:]])
        bands = np.where(self.items.counts > 0, bands, len(_BANDS) - 1)
        return {"target_band": tf.gather(_BANDS, tf.gather(tf.constant(bands), self._target(record)))}

    def _target(self, record: task.Tensors) -> Any:
        """int64 (B,); of a record without gold that of an unknown item."""
        return self.items.ids(record["target"].to_tensor("", shape=[None, 1])[:, 0])

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """Ranks, the size of the catalogue, the first ten items of the answer."""
        return figures.NAMES

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        if "all_scores" in answer:  # a baseline's
            return figures.row_of(answer, record["target"].item())
        ranks = [answer[name].item() for name in ("rank", "best_rank", "popularity_rank")]
        return figures.noted(ranks, answer["catalogue"].item(), answer["shown"].ravel())

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``ndcg_10``."""
        return figures.ndcg(rows[:, 0], 10)

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """See ``models.recommendation.figures.of``."""
        return figures.of(rows)

    @override
    def affordable(self, names: Sequence[str], train: Sequence[task.Record]) -> list[str]:
        return baselines.affordable(names, train)

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        if name in baselines.NAMES:
            return baselines.answers(name, train, test, exclude_seen=self.config.exclude_seen)
        return super().baseline(name, train, test)

    @override
    def wrong(self, row: np.ndarray) -> float:
        """The rank less one; without an item as if behind the whole catalogue."""
        rank, catalogue = row[0], row[3]
        return float(rank - 1 if rank else catalogue)

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The next item, and where they are known its title and place: ``346 Jackie Brown (1997), place 37``."""
        item, rank = SEPARATOR.join(task.strings(record["target"])), record.get("rank")
        if rank is None:
            return item
        title = record["target_title"].item().decode()
        return f"{item} {title}".strip() + (f", place {rank.item():,}" if rank.item() else ", never seen in train")

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """``Contact (1997) .03 · Scream (1996) .02 · 50 .02``: titles where there are any."""
        shown = zip(*(answer[name].tolist() for name in ("items", "titles", "scores")), strict=True)
        named = [f"{(title or item).decode()} {task.brief(score)}" for item, title, score in shown if item]
        return " · ".join(named[:3]) or "no item"

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``items`` with ``|`` between them, ``score`` of the first, ``source``."""
        return {
            "items": SEPARATOR.join(task.strings(answer["items"])),
            "score": task.decimal(answer["scores"].ravel()[0]),
            "source": answer["source"].item().decode(),
        }
