"""Reads the attention of the few texts that a page shows."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.analysis.example import LONGEST, Example
from models.analysis.subject import Subject
from models.text import tokenization


def of(subject: Subject, texts: Sequence[str]) -> list[Example]:
    """The texts that have a token, cut where they are longer than ``LONGEST`` tokens.

    Args:
      subject: a model that reads text.
      texts: few: each goes through the encoder by itself.
    """
    tokenizer, encoder = subject.vocabulary, subject.encoder
    pieces, _, _ = tokenizer.tokenize_with_offsets(tf.constant(list(texts), tf.string))
    longest = min(LONGEST, subject.max_length)
    rows, _ = tokenization.single(pieces, tokenizer.cls_id, tokenizer.sep_id, longest)
    found = []
    for row in rows:
        ids = row[None]
        seen = encoder(ids, tf.zeros_like(ids), tf.ones_like(ids, tf.bool), return_all=True)["attentions"]
        attention = np.stack([np.asarray(each[0], np.float32) for each in seen])
        if len(row) > 2:  # between [CLS] and [SEP]
            found.append(Example.of([tokenizer.vocabulary[place] for place in row.numpy()], attention))
    return found
