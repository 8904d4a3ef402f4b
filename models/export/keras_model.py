"""Encoder and heads as one Keras model, for ``.keras`` files.

A ``.keras`` file names its classes and holds their arguments and weights, not their code: Keras loads ours where this
module was imported. A graph of Keras's own layers would load anywhere, and be another model than the one that was
trained; who wants none of our code takes the Hugging Face folder, or ONNX.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from models.bert import pruned
from models.bert.encoder import BertEncoder, MaskedLanguageHead, NextSentenceHead
from models.checkpoints import checkpoint, layout, task_head


@keras.saving.register_keras_serializable("tfx_bert")
class Bert(keras.Model):
    """BERT with the heads that a Hugging Face folder has; computes on the padded grid, on any Keras backend.

    Example:
      >>> import models.export.keras_model
      >>> keras.saving.load_model("model.keras")(batch)["logits"]

    Args:
      encoder: arguments of ``BertEncoder``.
      head: a row of ``task_head.HEADS``; None without a task's head.
      labels: names of the head's logits.
      masked_language: whether there is an MLM head.
      next_sentence: whether there is an NSP head.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        head: str | None = None,
        labels: Sequence[str] = (),
        masked_language: bool = False,
        next_sentence: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = {
            "encoder": encoder,
            "head": head,
            "labels": list(labels),
            "masked_language": masked_language,
            "next_sentence": next_sentence,
        }
        self.encoder = BertEncoder(**encoder)
        self.kind = task_head.HEADS[head] if head else None
        self.logits = keras.layers.Dense(len(labels), name="logits") if head else None
        self.masked_language = MaskedLanguageHead(self.encoder, name="masked_language") if masked_language else None
        self.next_sentence = NextSentenceHead(self.encoder.hidden_dim, name="next_sentence") if next_sentence else None
        if self.logits is not None:
            self.logits.build((None, self.encoder.hidden_dim))
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **self.arguments}

    def call(self, batch: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Logits by name.

        Args:
          batch: ``token_ids``, ``segment_ids`` int (B, S), ``padding_mask`` bool (B, S).
          training: whether to drop out.

        Returns:
          ``logits`` float32 (B, C), or (B, S, C) of heads over the sequence; of base models ``mlm_logits`` (B, S, V)
          and ``nsp_logits`` (B, 2); without any head ``sequence`` (B, S, D) and ``pooled`` (B, D).
        """
        out = self.encoder(batch["token_ids"], batch["segment_ids"], batch["padding_mask"], training=training)
        if self.logits is not None and self.kind is not None:
            over = self.kind.over
            read = _mean(out["sequence"], batch["padding_mask"]) if over == "mean" else out[over]
            return {"logits": self.logits(read)}
        logits = {}
        if self.masked_language is not None:
            logits["mlm_logits"] = self.masked_language(out["sequence"])
        if self.next_sentence is not None:
            logits["nsp_logits"] = self.next_sentence(out["pooled"])
        return logits or out


def _mean(sequence: Any, padding_mask: Any) -> Any:
    real = keras.ops.cast(padding_mask, sequence.dtype)[..., None]
    return keras.ops.sum(sequence * real, axis=1) / keras.ops.sum(real, axis=1)


def load(folder: str | pathlib.Path) -> Bert:
    """The model of a Hugging Face BERT folder, with the heads that it has.

    Raises:
      DataError: as ``checkpoint.load``.
    """
    model = _whole(folder)
    if (kept := layout.kept_heads(pathlib.Path(folder) / "config.json")) is None:
        return model
    arguments = dict[str, Any](model.arguments)
    narrow = Bert(**{**arguments, "encoder": {**arguments["encoder"], "kept_heads": kept}})
    pruned.copy(model, model.encoder, narrow, narrow.encoder)
    return narrow


def _whole(folder: str | pathlib.Path) -> Bert:
    read, names = checkpoint.read(folder), checkpoint.tensors(folder)
    head = next((name for name, kind in task_head.HEADS.items() if kind == read.head), None)
    model = Bert(
        read.encoder,
        head,
        read.labels,
        masked_language="cls.predictions.bias" in names,
        next_sentence="cls.seq_relationship.weight" in names,
    )
    logits = (read.head, model.logits) if read.head else None
    checkpoint.load(folder, model.encoder, model.masked_language, model.next_sentence, logits)
    return model
