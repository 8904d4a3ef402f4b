"""BERT over one text or two (Devlin et al. 2019): Hugging Face folders in and out, vectors of texts."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from models import families
from models.families import Cost, Endpoint, Input, Tensors, block_parameters

if TYPE_CHECKING:
    from models.bert.encoder import BertEncoder
    from models.task import Task
    from models.text.tokenization import Tokenizer
    from models.vocabularies import Vocabulary

TEXTS = (
    "A gorgeous, witty, seductive film.",
    "It is not what I expected , and the sound was bad .",
    "",
    " ",
    "a",
    "WORD " * 2000,
    "x" * 5000,
    "😀 👨‍👩‍👧‍👦 🇰🇷",
    "삼성전자는 어제 좋은 소식을 발표했다.",
    "한글 자모",
    "naïve café ＦＵＬＬ ﬁne ß İstanbul",
    "tab\tnew\nline\r\0null\x07bell\u200bzero\u00a0nbsp\u3000wide\ufffd",
    "[CLS] [SEP] [MASK] [PAD] [UNK] ##ing",
    "العربية עברית ไทย 日本語 中文",
)


def _words(count: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(TEXTS[1].split()), count))


class Family(families.Family):
    """One text, or a pair of texts."""

    vocabulary = "wordpiece"
    # Second texts run in the other direction.
    inputs: ClassVar[tuple[Input, ...]] = (Input("text", TEXTS, _words), Input("text_pair", TEXTS[::-1], _words))
    signatures = ("serving_default", "serving_examples", "embed", "transform_features")
    analyzed = True

    @override
    def network(self, shape: Mapping[str, Any] | None, vocabulary: "Vocabulary", start: Path | None) -> "BertEncoder":
        from models.bert.encoder import BertEncoder
        from models.checkpoints import checkpoint

        if start is None:
            if shape is None:
                raise ValueError("an encoder needs a checkpoint or a shape")
            return BertEncoder(vocabulary_size=vocabulary.size, **shape)
        kept = checkpoint.read(start)
        if len(kept.vocabulary) != vocabulary.size:
            raise ValueError(
                f"{start} has {len(kept.vocabulary):,} pieces, the records were tokenized with {vocabulary.size:,}"
            )
        return BertEncoder(**kept.encoder)

    @override
    def pruned(self, model: Any, vocabulary: "Tokenizer", kept_heads: Sequence[Sequence[int]]) -> "BertEncoder":
        from models.bert.encoder import BertEncoder

        del vocabulary
        return BertEncoder(**model.encoder.arguments, kept_heads=kept_heads)

    @override
    def load(self, folder: Path, network: "BertEncoder") -> None:
        from models.checkpoints import checkpoint

        checkpoint.load(folder, network)

    @override
    def save(self, folder: Path, model: Any, the_task: "Task", vocabulary: "Tokenizer") -> None:
        from models.checkpoints import checkpoint, task_head

        head, config = None, the_task.config
        if kind := task_head.of_task(the_task):
            head = task_head.Head(kind, model.logits, the_task.logit_names, config.dropout, config.max_length)
        checkpoint.save(folder, model.encoder, list(vocabulary.vocabulary), vocabulary.rules.dump(), head=head)

    @override
    def parse(self, line: str, names: Collection[str]) -> dict[str, str]:
        if len(names) == 1:
            return {"text": line}
        texts = line.split("\t")
        if len(texts) != 2:
            raise ValueError("this model takes two texts with a tab between them")
        return {"text": texts[0], "text_pair": texts[1]}

    @override
    def endpoints(
        self,
        model: Any,
        the_task: "Task | None",
        features_of: Callable[[Tensors], dict[str, Any]],
        inputs: tuple[Input, ...],
    ) -> dict[str, Endpoint]:
        """``embed``: a text, or a pair as it goes through the encoder, to ``pooled`` and ``mean``, float32 (B, D)."""

        def embed(record: Tensors) -> dict[str, Any]:
            from models import task

            # A task that reads in windows gives rows of any length.
            features = features_of(record)
            length = model.encoder.max_positions
            return vectors(
                model.encoder, task.dense({name: features[name][:, :length] for name in ("token_ids", "segment_ids")})
            )

        return {"embed": Endpoint(embed, inputs[:1] if the_task and the_task.separate_encoding else inputs)}

    @override
    def explanation(
        self,
        model: Any,
        the_task: "Task",
        features_of: Callable[[Tensors], dict[str, Any]],
        vocabulary: "Tokenizer",
        inputs: Sequence[Input],
    ) -> Endpoint:
        """See ``models.explain.of_words``."""
        from models import explain

        names = [each.name for each in inputs]
        return Endpoint(explain.of_words(model, the_task, features_of, vocabulary, names), tuple(inputs))

    @override
    def longest_row(self, model: Any, the_task: "Task | None") -> int:
        return int(the_task.config.max_length if the_task else model.encoder.max_positions)

    @override
    def summarize(self, batches: Iterable[Tensors], vocabulary: "Tokenizer", config: Mapping[str, Any]) -> str:
        """``27 tokens mean · 0.02 % [UNK] · 0.1 % at max_length``."""
        import tensorflow as tf

        # Windows cut nothing off.
        max_length = None if "stride" in config else config.get("max_length")
        rows = tokens = unknown = full = 0
        for ids in (batch["token_ids"] for batch in batches):
            rows += int(ids.nrows())
            tokens += int(tf.size(ids.flat_values))
            unknown += int(tf.math.count_nonzero(ids.flat_values == vocabulary.unk_id))
            full += int(tf.math.count_nonzero(ids.row_lengths() == max_length)) if max_length else 0
        if not rows:
            return "0 rows"
        cut = f" · {100 * full / rows:.1f} % at max_length" if max_length else ""
        return f"{tokens / rows:,.0f} tokens mean · {100 * unknown / max(tokens, 1):.2f} % [UNK]{cut}"

    @override
    def encoder(self, model: Any) -> "BertEncoder":
        encoder: BertEncoder = model.encoder
        return encoder

    @override
    def describe(self, model: Any, vocabulary: "Tokenizer") -> str:
        encoder: BertEncoder = model.encoder
        return (
            f"BERT of {encoder.num_layers} layers, {encoder.hidden_dim} wide, {encoder.told_heads}, "
            f"{encoder.count_params() / 1e6:.1f} M parameters; {encoder.vocabulary_size:,} pieces, "
            f"{vocabulary.rules.mode}"
        )

    @override
    def limits(self, config: Mapping[str, Any]) -> list[str]:
        return [
            *([f"Texts are cut after {config['max_length']} tokens."] if "stride" not in config else []),
            "Every text gets an answer, also one that is unlike all it was trained on.",
            "It was judged on texts like those that it was trained on; nothing is said about others.",
        ]

    @override
    def cost(self, shape: Mapping[str, Any], vocabulary_size: int) -> Cost:
        """Parameters as in Devlin et al. 2019 (110 M for BERT-base); activations by Korthikanti et al. 2022, eq. 1."""
        layers, width = shape["num_layers"], shape["hidden_dim"]
        inner = shape.get("intermediate_dim") or 4 * width
        multiplied = layers * block_parameters(width, inner)
        multiplied += width * width + width  # the pooler's
        tables = vocabulary_size + shape["max_positions"] + shape.get("num_segments", 2) + 2  # 2: LayerNorm
        return Cost(multiplied + tables * width, multiplied, 2 * 34 * width * layers)


def vectors(encoder: "BertEncoder", batch: Tensors) -> dict[str, Any]:
    """``pooled``: tanh-pooled [CLS]; ``mean``: mean of the last layer over the real tokens. float32 (B, D)."""
    from models.bert import heads

    out = encoder.padding_free(batch["token_ids"], batch["segment_ids"], batch["padding_mask"], training=False)
    return {"pooled": out["pooled"], "mean": heads.mean(out["sequence"], batch["padding_mask"])}
