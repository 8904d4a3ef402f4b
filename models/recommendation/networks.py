"""Networks that score every item behind a history: a BERT encoder over items, and counts as a graph.

Axes: B rows, S items, M places whose item is predicted, D hidden, V ids, special pieces included, T of title vectors.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.bert import kernels
from models.bert.block import initializer
from models.bert.encoder import BertEncoder, MaskedLanguageHead
from models.recommendation import counts, losses, sequences
from models.recommendation.options import Options
from models.vocabularies.items import FIRST, Items

Batch = Mapping[str, Any]
_DEVIATION = 0.02  # of ``models.bert.block.initializer``
_NEVER = -1e9  # added to the scores of special pieces: no item is less likely


class ItemNetwork(keras.layers.Layer):
    """BERT over items, with the head that scores every item.

    Where items have title vectors, an item's vector is a row of its own, which begins at 0, plus a projection of its
    title, the same at input and output: an item without an event has a vector too.

    Args:
      items: of the vocabulary.
      shape: arguments of ``BertEncoder``.

    Attributes:
      trained: the first id without an event, which all behind it lack too. Training never scores those: they would
        only ever be wrong, and learn to be last.
    """

    def __init__(self, items: Items, shape: Mapping[str, Any]) -> None:
        super().__init__(name="items")
        self.encoder = BertEncoder(vocabulary_size=items.size, **{"num_segments": 1, **shape})
        self.head = MaskedLanguageHead(self.encoder, name="head")
        for block in self.encoder.blocks:
            # A deviation of 1 / √inputs. BERT's 0.02 suits its width: at 64, attention begins all but uniform, and
            # cloze, which finds neighbours by attention alone, needs many times the steps.
            block.qkv.kernel.assign(block.qkv.kernel / (_DEVIATION * block.qkv.inputs**0.5))
        self.trained = FIRST + int((items.counts > 0).sum())
        self.titles, self.projection = items.vectors, None
        if items.vectors is not None:
            own = self.encoder.token_embedding
            own.assign(np.concatenate([own.numpy()[:FIRST], np.zeros((items.size - FIRST, own.shape[1]), np.float32)]))
            shape_ = (items.vectors.shape[1], self.encoder.hidden_dim)
            self.projection = self.add_weight(name="projection", shape=shape_, initializer=initializer())
        self.built = True

    @property
    def layers_of_variables(self) -> list[list[keras.Variable]]:
        """Those of the encoder."""
        layers: list[list[keras.Variable]] = self.encoder.layers_of_variables
        return layers

    def freeze(self, blocks: int) -> None:
        """As the encoder's."""
        self.encoder.freeze(blocks)

    def table(self, without_own: Any = None) -> Any:
        """The vectors of all ids, float32 (V, D).

        Args:
          without_own: bool (V,), items that are known by their titles alone.
        """
        own = tf.convert_to_tensor(self.encoder.token_embedding)
        if self.projection is None:
            return own
        if without_own is not None:
            own = tf.where(without_own[:, None], tf.zeros_like(own), own)
        of_titles = tf.matmul(tf.constant(self.titles, own.dtype), tf.cast(self.projection, own.dtype))
        return own + tf.pad(of_titles, [[FIRST, 0], [0, 0]])

    def settle(self) -> None:
        """Adds what titles give to the items' own vectors, for good: to answer, no title is projected any more."""
        self.encoder.token_embedding.assign(self.table())
        self.projection = None

    def bias(self, without_own: Any = None) -> Any:
        """What is added to each id's score, float32 (V,): of its own too."""
        bias = tf.convert_to_tensor(self.head.bias)
        return bias if without_own is None else tf.where(without_own, tf.zeros_like(bias), bias)

    def states(self, batch: Batch, places: Any, table: Any, training: bool) -> Any:
        """What scores items when multiplied with their vectors: (M, D), for ``places`` int32 (M,) of the grid B·S."""
        out = self.encoder.padding_free(
            batch["token_ids"],
            batch["segment_ids"],
            batch["padding_mask"],
            training=training,
            kept_tokens=places,
            position_ids=batch["position_ids"],
            token_vectors=table,
        )
        return self.head.states(out["sequence"])


class ItemModel(keras.layers.Layer):
    """Scores of all items, at every predicted place in training, behind the last item when asked.

    Args:
      network: shared with other tasks.
      options: ``objective``, ``loss``, ``negatives``, ``id_dropout``.
    """

    def __init__(self, network: ItemNetwork, options: Options) -> None:
        super().__init__(name="item_model")
        self.network, self.options = network, options
        network.encoder.causal = options.objective == "causal"
        self.seeds = keras.random.SeedGenerator(name="draws")
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """A batch of ``sequences.row``.

        Returns:
          ``logits`` (B, V) and ``vector`` (B, D). With ``masked_indices`` in the batch ``mlm_logits`` (M, V), or what
          ``losses.sampled`` gives.
        """
        by_title = self._by_title() if training else None
        table, bias = self.network.table(by_title), self.network.bias(by_title)
        if "masked_indices" not in batch:
            states = self.network.states(batch, sequences.last_places(batch["padding_mask"]), table, training)
            return {"logits": _scores(states, table, bias, table.shape[0]), "vector": states}
        states = self.network.states(batch, batch["masked_indices"], table, training)
        if self.options.loss == "softmax":
            return {"mlm_logits": _scores(states, table, bias, self.network.trained)}
        drawn = losses.draw(self.seeds.next(), self.options.negatives, self.network.trained)
        return losses.sampled(states, table, bias, batch["masked_ids"], drawn)

    def _by_title(self) -> Any:
        share, size = self.options.id_dropout, self.network.encoder.vocabulary_size
        if self.network.projection is None or not share:
            return None
        return (tf.random.stateless_uniform([size], self.seeds.next()) < share) & (tf.range(size) >= FIRST)


def _scores(states: Any, table: Any, bias: Any, end: int) -> Any:
    """(M, V); of special pieces, and of ids from ``end`` on, ``_NEVER``."""
    around = [[FIRST, table.shape[0] - end]]
    never = tf.pad(tf.zeros(end - FIRST, states.dtype), around, constant_values=_NEVER)
    return kernels.products(states, table) + (tf.cast(bias, states.dtype) + never)


class CountModel(keras.layers.Layer):
    """Decayed counts (``counts.scored``) as a graph, in float64. Nothing is trained.

    Args:
      items: of the vocabulary.
      followers: sparse (V, V), of ``counts.shares``.
      decay: how histories are read.
    """

    def __init__(self, items: Items, followers: Any, decay: counts.Decay) -> None:
        super().__init__(name="counts", dtype="float64")
        self.items, self.decay = items, decay
        for name, values in (
            ("splits", followers.indptr.astype(np.int64)),
            ("places", followers.indices.astype(np.int64)),
            ("shares", followers.data),
            ("ties", counts.ties(items.counts)),
        ):
            kept = self.add_weight(
                name=name, shape=values.shape, dtype=str(values.dtype), initializer="zeros", trainable=False
            )
            kept.assign(values)
            setattr(self, name, kept)
        self.built = True

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """``logits`` float64 (B, V): logarithms of the scores, so that their softmax is in proportion to them."""
        real = batch["padding_mask"] & (batch["position_ids"] < self.decay.window)
        row = tf.where(real)[:, 0]
        ids, age = (tf.boolean_mask(batch[name], real) for name in ("token_ids", "position_ids"))
        splits, places, shares, ties = (
            tf.convert_to_tensor(x) for x in (self.splits, self.places, self.shares, self.ties)
        )
        found = tf.ragged.range(tf.gather(splits, ids), tf.gather(splits, ids + 1))
        owner = found.value_rowids()
        weight = tf.gather(tf.constant(self.decay.fade, tf.float64) ** tf.cast(age, tf.float64), owner)
        cells = tf.stack([tf.gather(row, owner), tf.gather(places, found.values)], axis=1)
        shape = tf.stack([tf.shape(real, tf.int64)[0], self.items.size])
        scores = tf.scatter_nd(cells, weight * tf.gather(shares, found.values), shape) + ties
        return {"logits": tf.math.log(scores + _LEAST)}


_LEAST = 1e-15  # has a logarithm, and is less than any score
