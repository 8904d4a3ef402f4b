"""What an experiment of ``init`` starts from, and how it is trained."""

import json
from pathlib import Path
from typing import Any

from configs import recipe
from configs.sources import Split

MINILM = "data/minilm"
# A thousand pieces for every 100 kB: rarer ones would be seen too seldom to be learned.
_BYTES, _LEAST, _MOST = 100_000, 1_000, 16_000
_BERT_TINY, _MINILM_WIDTH = 128, 384


def pieces(size: int) -> int:
    """How many are learned from a file of so many bytes."""
    return min(_MOST, max(_LEAST, round(size / _BYTES) * 1_000))


def start(language: str, size: int, checkpoint: str | None) -> tuple[dict[str, Any], str]:
    """The part of the YAML that says what training starts from, and why.

    Args:
      language: as ``sniff.language`` says it.
      size: of the file, bytes.
      checkpoint: that the person named.

    Raises:
      ConfigError: it holds no BERT.
    """
    if checkpoint:
        from pipeline.start.check import checkpoint as read

        return {"checkpoint": checkpoint}, f"start from {checkpoint}: {read(Path(checkpoint))[1]}"
    if language == "English":
        return {"checkpoint": MINILM}, f"English, so it starts from {MINILM} (tfx-bert data fetch minilm brings it)"
    learned = pieces(size)
    why = (
        f"{language}, and there is no checkpoint: it learns {learned:,} pieces and a small encoder from nothing; "
        f"a BERT folder for this language does better: --checkpoint FOLDER"
    )
    return {"text": {"mode": "uncased_nfc"}, "vocabulary": {"learn": learned}, "encoder": "bert_tiny"}, why


def train(start: dict[str, Any], records: float) -> str:
    """The line of the section ``train``: what ``configs.recipe`` says, and why.

    Args:
      start: as above.
      records: of the whole file.
    """
    share = Split().train
    found = recipe.suited(_width(start), round(records * share), pretrained="checkpoint" in start)
    return f"train: {found.yaml()}   # {found.why}"


def pooling(start: dict[str, Any], records: float, labels: int) -> list[str]:
    """The line of the task that says which vector of a text is read, where records are few.

    Args:
      start: as above.
      records: of the whole file.
      labels: how many there are.
    """
    found = recipe.pooling(Split().train * records, labels, pretrained="checkpoint" in start)
    return [f"  pooling: {found}   # of few records a label more is learned from the mean of the tokens"] * bool(found)


def _width(start: dict[str, Any]) -> int:
    """Of the encoder; of a checkpoint that is not there yet, MiniLM's."""
    if "encoder" in start:
        return _BERT_TINY
    file = Path(start["checkpoint"]) / "config.json"
    return int(json.loads(file.read_text("utf-8"))["hidden_size"]) if file.is_file() else _MINILM_WIDTH
