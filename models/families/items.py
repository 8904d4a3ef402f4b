"""Items, such as films: a history is one string of them, what comes next is ranked (BERT4Rec, SASRec, counts)."""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from models import families
from models.families import Cost, Endpoint, Input, Tensors, block_parameters
from models.vocabularies.items import FIRST, SEPARATOR

if TYPE_CHECKING:
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.recommendation.networks import ItemNetwork
    from models.task import Task
    from models.vocabularies.items import Items

HISTORIES = (
    "242|302|377",
    "",
    " ",
    SEPARATOR * 3,
    "1",
    SEPARATOR.join(map(str, range(10_000))),
    SEPARATOR.join(["50"] * 60),
    "no item of any catalogue",
    "242||302|",
    "1,2,3",
    "삼성|😀 👨‍👩‍👧‍👦|naïve\ttab",
    "[PAD]|[MASK]|[UNK]",
)
_NONE = ("",) * len(HISTORIES)
_SHOWN = 10  # items of a history that a person is shown
_HISTORY, _CONFIG = "history", "config.json"
_BLANKS = " \t\n\v\f\r"  # what tf.strings.strip takes away: no id of a file begins or ends with one


def _sized(count: int) -> str:
    return SEPARATOR.join(map(str, range(1, count + 1)))


class Family(families.Family):
    """A history: the names of items, the oldest first, with ``|`` between them."""

    vocabulary = "items"
    units = "items"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input(_HISTORY, HISTORIES, _sized, empty=True, key="item"),
        Input("exclude", HISTORIES[::-1], _sized),
        Input("candidates", (*_NONE[2:], HISTORIES[5], "1|2|3"), _sized),
        Input(
            "item", ("x" * 5000, *(each.partition(SEPARATOR)[0] for each in HISTORIES[1:])), lambda count: "1" * count
        ),
    )
    signatures = ("serving_default", "serving_examples", "recommend", "transform_features")
    analyzed = True

    @override
    def required(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """All items are learned; counts have no network."""
        return () if config.get("objective") == "counts" else ("encoder",)

    @override
    def reads(self, config: Mapping[str, Any]) -> str | None:
        """The text model of ``titles``."""
        titles: str | None = config.get("titles")
        return titles

    @override
    def network(self, shape: Mapping[str, Any] | None, vocabulary: "Items", start: Path | None) -> "ItemNetwork | None":
        """None without a shape: counts have no network."""
        from models.checkpoints import checkpoint_tokenizer, layout
        from models.recommendation.networks import ItemNetwork

        if start is None:
            return ItemNetwork(vocabulary, shape) if shape else None
        config = checkpoint_tokenizer.json_object(start / _CONFIG)
        own = layout.encoder_arguments(start / _CONFIG, causal=bool(config.get("is_decoder")))
        if (size := own.pop("vocabulary_size")) != vocabulary.size:
            raise ValueError(f"{start} has {size:,} ids of items, the records were read with {vocabulary.size:,}")
        return ItemNetwork(vocabulary, own)

    @override
    def pruned(self, model: Any, vocabulary: "Items", kept_heads: Sequence[Sequence[int]]) -> "ItemNetwork":
        from models.recommendation.networks import ItemNetwork

        own = model.network.encoder.arguments
        del own["vocabulary_size"]
        return ItemNetwork(vocabulary, {**own, "kept_heads": kept_heads})

    @override
    def load(self, folder: Path, network: "ItemNetwork") -> None:
        from models.checkpoints import checkpoint

        checkpoint.load(folder, network.encoder, network.head)
        if network.projection is not None:
            network.projection.assign(network.projection * 0)  # the folder's vectors have the titles' share in them

    @override
    def save(self, folder: Path, model: Any, the_task: "Task", vocabulary: "Items") -> None:
        """A Hugging Face folder without a tokenizer: ``BertForMaskedLM``, or for a causal encoder ``BertLMHeadModel``.

        Counts become ``counts.npz``.
        """
        import numpy as np
        import safetensors.numpy

        from models.bert import pruned
        from models.checkpoints import layout, weights

        folder.mkdir(parents=True)
        (folder / "items.json").write_text(json.dumps(_names(vocabulary), ensure_ascii=False), "utf-8")
        if the_task.config.objective == "counts":
            np.savez(folder / "counts.npz", **{each.name: each.numpy() for each in model.weights})
            return
        network: ItemNetwork = model.network
        variables = itertools.chain.from_iterable(weights.parts(pruned.whole(network.encoder), network.head).values())
        tensors = dict(itertools.chain.from_iterable(itertools.starmap(weights.tensors_of, variables)))
        tensors["bert.embeddings.word_embeddings.weight"] = network.table().numpy()
        config = layout.config(network.encoder, mlm=True, nsp=False, head=None)
        if network.encoder.causal:
            config |= {"architectures": ["BertLMHeadModel"], "is_decoder": True}
        layout.write_json(folder / _CONFIG, config)
        safetensors.numpy.save_file(tensors, folder / layout.SAFETENSORS, metadata={"format": "pt"})

    @override
    def record(self, arguments: Tensors) -> dict[str, Any]:
        """Names of items, ragged (B, None), without empty ones; ``item`` is one. Blanks around names mean nothing."""
        return {name: _stripped(value) if name == "item" else _split(value) for name, value in arguments.items()}

    @override
    def example(self, arguments: Mapping[str, str]) -> "tf.train.Example":
        import tensorflow as tf

        example = tf.train.Example()
        for name, value in arguments.items():
            names = [each.strip(_BLANKS) for each in ([value] if name == "item" else value.split(SEPARATOR))]
            example.features.feature[name].bytes_list.value.extend(
                each.encode() for each in names if each or name == "item"
            )
        return example

    @override
    def shown(self, record: Mapping[str, Sequence[str]]) -> str:
        """The last ten items."""
        items = record[_HISTORY]
        return "…|" * (len(items) > _SHOWN) + SEPARATOR.join(items[-_SHOWN:])

    @override
    def parse(self, line: str, names: Collection[str]) -> dict[str, str]:
        del names
        return {_HISTORY: line}

    @override
    def settle(self, model: Any) -> None:
        if hasattr(model, "network"):
            model.network.settle()

    @override
    def endpoints(
        self,
        model: Any,
        the_task: "Task | None",
        features_of: Callable[[Tensors], dict[str, Any]],
        inputs: tuple[Input, ...],
    ) -> dict[str, Endpoint]:
        """``recommend``: with items that are not to be answered, and those that alone may be; with a network more.

        ``item``: ``vector`` float32 (B, D), ``known`` bool (B,), and ``similar`` string (B, K), by the cosine of
        vectors. ``embed``: ``vector`` float32 (B, D) of a history: its product with an item's vector, plus the item's
        bias, is the item's score.
        """
        from models.recommendation import endpoints

        known = {each.name: each for each in self.inputs}
        made = {}
        if hasattr(model, "network"):
            made["embed"] = Endpoint(endpoints.embed(model, the_task, features_of), inputs)
            made["item"] = Endpoint(endpoints.item(model, the_task), (known["item"],))
        made["recommend"] = Endpoint(endpoints.recommend(model, the_task, features_of), self.inputs[:3])
        return made

    @override
    def explanation(
        self,
        model: Any,
        the_task: "Task",
        features_of: Callable[[Tensors], dict[str, Any]],
        vocabulary: "Items",
        inputs: Sequence[Input],
    ) -> Endpoint:
        """See ``models.recommendation.endpoints.explain``."""
        from models.recommendation import endpoints

        del vocabulary  # the task's own
        return Endpoint(endpoints.explain(model, the_task, features_of), tuple(inputs))

    @override
    def longest_row(self, model: Any, the_task: "Task | None") -> int:
        return int(the_task.config.max_length) if the_task else 1

    @override
    def summarize(self, batches: Iterable[Tensors], vocabulary: "Items", config: Mapping[str, Any]) -> str:
        """``36 items mean · 0.1 % unknown · 41.0 % longer than max_length``."""
        import tensorflow as tf

        rows = items = unknown = long = 0
        for batch in batches:
            lengths = batch["item_ids"].row_lengths()
            rows += int(tf.size(lengths))
            items += int(tf.reduce_sum(lengths))
            unknown += int(tf.reduce_sum(batch["unknown"]))
            long += int(tf.math.count_nonzero(lengths > config["max_length"]))
        if not rows:
            return "0 histories"
        share = 100 * unknown / max(items + unknown, 1)
        return (
            f"{items / rows:.0f} items mean · {share:.1f} % unknown · {100 * long / rows:.1f} % longer than max_length"
        )

    @override
    def encoder(self, model: Any) -> "BertEncoder | None":
        """None for counts, which attend to nothing."""
        return model.network.encoder if hasattr(model, "network") else None

    @override
    def attended(self, model: Any, inputs: Tensors) -> dict[str, Any]:
        network: ItemNetwork = model.network
        names = ("token_ids", "segment_ids", "padding_mask", "position_ids")
        attended: dict[str, Any] = network.encoder(
            *(inputs[name] for name in names), token_vectors=network.table(), return_all=True
        )
        return attended

    @override
    def describe(self, model: Any, vocabulary: "Items") -> str:
        count = vocabulary.size - FIRST
        if not hasattr(model, "network"):
            decay = model.decay
            return (
                f"counts of what followed what within {decay.reach} places, among {count:,} items; of a history the "
                f"last {decay.window}, each {decay.fade} of the next"
            )
        encoder = model.network.encoder
        return (
            f"BERT over items, {'causal' if encoder.causal else 'from both sides'}, of {encoder.num_layers} layers, "
            f"{encoder.hidden_dim} wide, {encoder.told_heads}, {model.network.count_params() / 1e6:.1f} M "
            f"parameters; {count:,} items"
        )

    @override
    def limits(self, config: Mapping[str, Any]) -> list[str]:
        return [
            f"A history is one string, the oldest item first, with {SEPARATOR} between items: 242{SEPARATOR}302.",
            f"Of longer histories the last {config['max_length']} items are read.",
            "Items that it was not trained with are left out of a history, and counted as unknown.",
            "A history without a known item is answered with the most frequent items.",
        ]

    @override
    def cost(self, shape: Mapping[str, Any], vocabulary_size: int) -> Cost:
        """As a text's, with the head; every item is projected onto the whole catalogue."""
        layers, width = shape["num_layers"], shape["hidden_dim"]
        inner = shape.get("intermediate_dim") or 4 * width
        blocks = layers * block_parameters(width, inner)
        dense = width * width + width
        tables = (vocabulary_size + shape["max_positions"] + 1) * width
        norms = 4 * width
        parameters = blocks + 2 * dense + tables + norms + vocabulary_size
        multiplied = blocks + dense + vocabulary_size * width
        return Cost(parameters, multiplied, 2 * 34 * width * layers + 8 * vocabulary_size)


def _names(vocabulary: "Items") -> list[str]:
    return [name.decode() for name in vocabulary.names]


def _split(values: Any) -> Any:
    import tensorflow as tf

    names = tf.strings.split(values, SEPARATOR)
    names = names.with_values(_stripped(names.values))
    return tf.ragged.boolean_mask(names, names.with_values(names.values != ""))


def _stripped(values: Any) -> Any:
    import tensorflow as tf

    return tf.strings.strip(values)
