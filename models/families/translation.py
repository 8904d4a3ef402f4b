"""Texts in one language to texts in another: the encoder–decoder Transformer in mBART's layout."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import pydantic
from typing_extensions import override

from models import families
from models.families import Cost, Endpoint, Input, Tensors, block_parameters
from models.families.text import TEXTS
from models.text.reserved import RESERVED

if TYPE_CHECKING:
    from models.task import Task
    from models.text.tokenization import Tokenizer
    from models.translation.transformer import Transformer

_GOLDEN = (*TEXTS, "Delete %1 rows of <b>%2</b>?", " ".join(f"{{{number}}}" for number in range(9)), "⟨1⟩ \ue000")
_Count = Annotated[int, pydantic.Field(ge=1)]
_Share = Annotated[float, pydantic.Field(ge=0, lt=1)]


class Shape(families.Shape):
    """The shape of an encoder–decoder Transformer (Vaswani et al. 2017, section 3).

    Attributes:
      num_layers: blocks of the encoder.
      num_decoder_layers: blocks of the decoder.
      hidden_dim: width D.
      num_heads: attention heads; divides ``hidden_dim``.
      intermediate_dim: width of the feed-forward layers; 4·D where not given.
      max_positions: longest row of either side, in pieces.
      dropout: of embeddings and of each sublayer's output.
      attention_dropout: of the attention weights.
    """

    num_layers: _Count = 6
    num_decoder_layers: _Count = 6
    hidden_dim: _Count = 512
    num_heads: _Count = 8
    intermediate_dim: _Count | None = None
    max_positions: _Count = 256
    dropout: _Share = 0.1
    attention_dropout: _Share = 0.1

    @pydantic.model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide hidden_dim. Received: num_heads={self.num_heads}, hidden_dim={self.hidden_dim}"
            )
        return self

    @override
    def arguments(self) -> dict[str, Any]:
        return {**self.model_dump(), "intermediate_dim": self.intermediate_dim or 4 * self.hidden_dim}


def _words(count: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(TEXTS[1].split()), count))


class Family(families.Family):
    """A text."""

    vocabulary = "wordpiece"
    # What a target is scored as runs in the other direction.
    inputs: ClassVar[tuple[Input, ...]] = (Input("text", _GOLDEN, _words), Input("target", _GOLDEN[::-1], _words))
    signatures = ("serving_default", "serving_examples", "score", "embed", "transform_features")
    shape = Shape
    mode = "spaced"
    reserve = RESERVED
    architecture = "MBartForConditionalGeneration"
    analyzed = True

    @override
    def network(self, shape: Mapping[str, Any] | None, vocabulary: "Tokenizer", start: Path | None) -> "Transformer":
        from models.translation import checkpoint
        from models.translation.transformer import Transformer

        if start is None:
            if shape is None:
                raise ValueError("a translation model needs a checkpoint or a shape")
            return Transformer(vocabulary_size=vocabulary.size, **shape)
        arguments = checkpoint.arguments(start)
        if (size := arguments["vocabulary_size"]) != vocabulary.size:
            raise ValueError(f"{start} has {size:,} pieces, the records were tokenized with {vocabulary.size:,}")
        return Transformer(**arguments)

    @override
    def load(self, folder: Path, network: "Transformer") -> None:
        from models.translation import checkpoint

        checkpoint.load(folder, network)

    @override
    def save(self, folder: Path, model: Any, the_task: "Task", vocabulary: "Tokenizer") -> None:
        from models.translation import checkpoint

        checkpoint.save(folder, model.network, vocabulary)

    @override
    def parse(self, line: str, names: Collection[str]) -> dict[str, str]:
        return {"text": line}

    @override
    def endpoints(
        self,
        model: Any,
        the_task: "Task | None",
        features_of: Callable[[Tensors], dict[str, Any]],
        inputs: tuple[Input, ...],
    ) -> dict[str, Endpoint]:
        """``score`` and ``embed``.

        ``score``: a text and a translation to ``log_probability`` float32 (B,), in nats, and ``pieces`` int64 (B,), the
        end included; both are cut at ``max_length``. ``embed``: a text to ``mean`` float32 (B, D), of the encoder's
        states over its pieces.
        """
        from models.translation import answers

        def embed(record: Tensors) -> dict[str, Any]:
            return {"mean": answers.mean_state(model.network, features_of(record)["token_ids"])}

        def score(record: Tensors) -> dict[str, Any]:
            return answers.scored(model, the_task, record)

        return {"embed": Endpoint(embed, inputs), "score": Endpoint(score, self.inputs)}

    @override
    def longest_row(self, model: Any, the_task: "Task | None") -> int:
        return int(the_task.config.max_length if the_task else model.network.max_positions)

    @override
    def summarize(self, batches: Iterable[Tensors], vocabulary: "Tokenizer", config: Mapping[str, Any]) -> str:
        """``12 → 14 pieces mean · 0.02 % [UNK] · 0.1 % of the pairs longer than max_length``."""
        import numpy as np

        sides = (("source_ids", 1), ("target_ids", 2))
        lengths, unknown = [np.zeros([0, 2])], 0
        for batch in batches:
            lengths.append(np.stack([batch[name].row_lengths().numpy() - ends for name, ends in sides], axis=1))
            unknown += sum(int((batch[name].flat_values.numpy() == vocabulary.unk_id).sum()) for name, _ in sides)
        pairs = np.concatenate(lengths)
        if not len(pairs):
            return "0 pairs"
        source, target = pairs.mean(axis=0)
        long = float((pairs.max(axis=1) >= config["max_length"]).mean())
        return (
            f"{source:.0f} → {target:.0f} pieces mean · {100 * unknown / max(pairs.sum(), 1):.2f} % [UNK] · "
            f"{100 * long:.1f} % longer than max_length"
        )

    @override
    def describe(self, model: Any, vocabulary: "Tokenizer") -> str:
        network: Transformer = model.network
        return (
            f"Transformer of {network.num_layers} + {network.num_decoder_layers} layers, {network.hidden_dim} wide, "
            f"{network.num_heads} heads, {network.count_params() / 1e6:.1f} M parameters; "
            f"{network.vocabulary_size:,} pieces of both languages"
        )

    @override
    def limits(self, config: Mapping[str, Any]) -> list[str]:
        return [
            f"Texts are cut after {config['max_length']} pieces, and the answer says so.",
            "A text in another language, or on another subject, gets an answer too, and it is mostly wrong.",
            "Each text is translated by itself: nothing before it is known.",
        ]

    @override
    def cost(self, shape: Mapping[str, Any], vocabulary_size: int) -> Cost:
        """A unit is a piece of either side, of which a pair has about as many: each costs half of the network.

        Activations by Korthikanti et al. 2022, eq. 1, with those of the attention to the source and of the logits.
        """
        width, positions = shape["hidden_dim"], shape["max_positions"]
        inner = shape.get("intermediate_dim") or 4 * width
        block, norm = block_parameters(width, inner), 2 * width
        encoder = shape["num_layers"] * block
        decoder = shape["num_decoder_layers"] * (block + 4 * (width * width + width) + norm)  # attention to the source
        table = vocabulary_size * width
        parameters = encoder + decoder + table + 2 * positions * width + 4 * norm
        layers = shape["num_layers"] + 1.5 * shape["num_decoder_layers"]
        activations = 2 * 34 * width * layers + 8 * vocabulary_size
        return Cost(parameters, (encoder + decoder + table) // 2, activations / 2)
