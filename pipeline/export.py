"""``tfx-bert export``: a pushed model for other libraries, encoder, head and tokenizer together."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.text import Text

from components.versions import versions
from models import checkpoint, task
from pipeline import noise
from pipeline.figures import scientific, size
from pipeline.predict import newest
from pipeline.result import RunError

_LENGTH = 64  # tokens a golden text: an MLM head's logits are a vocabulary a token
Batch = Mapping[str, Any]


def export(root: Path, model: str, target: Path, *, version: int | None, to: str) -> None:
    """Writes the folder ``target``, whole or not at all.

    Args:
      root: the environment's ``runs`` folder.
      model: the name of an experiment, a folder of pushed versions, or one of these.
      target: does not exist yet, or is empty.
      version: which of the pushed versions; None is the latest.
      to: ``huggingface`` or ``keras``.

    Raises:
      RunError: there is no such model, it cannot be said in that format, or ``target`` is taken.
    """
    if target.is_dir() and any(target.iterdir()):
        raise RunError(f"{target} is not empty; name a new folder")
    folder = _pushed(root, model, version)
    assets = folder / "assets.extra"
    noise.hush()
    with noise.captured(root / "export.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status(f"exporting {folder}"):
            said = checkpoint.read(assets / "checkpoint")
            _complete(assets, said)
            part = target.with_name(f".{target.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of an export that was killed
            try:
                shutil.copytree(assets / "checkpoint", part, ignore=_weights if to != "huggingface" else None)
                shutil.copyfile(assets / "model_card.md", part / "README.md")
                notes = _FORMATS[to](assets / "checkpoint", part, said)
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        weight = size(sum(file.stat().st_size for file in target.iterdir()))
        told = f"{target}: {said.architecture} of {folder.parent.name} v{folder.name} · {weight}"
        console.print(Text.assemble(("✓ ", "green"), " · ".join([told, *notes])), soft_wrap=True)
        console.print(Text.assemble(("Next:  ", "dim"), _next(to, target, said)), soft_wrap=True)


def _pushed(root: Path, model: str, version: int | None) -> Path:
    folder = Path(model)
    if there := versions(folder):
        folder /= str(version or there[-1])
    if (folder / "assets.extra" / "checkpoint").is_dir():
        return folder
    return newest(root, f"{model}/{version}" if version else model)


def _complete(assets: Path, said: checkpoint.Checkpoint) -> None:
    """Raises RunError where the head or the tokenizer is not in the folder."""
    from models import text, tokenizer_json

    if said.head is None and (made_with := _made_with(assets)) and task.load(made_with["type"]).head:
        raise RunError(f"{assets.parent} was pushed before heads were kept; run the experiment again")
    if not (assets / "checkpoint" / "tokenizer.json").is_file():
        try:
            tokenizer_json.build(said.vocabulary, text.TextRules.load(said.rules or {"mode": said.mode}))
        except tokenizer_json.Inexpressible as error:
            raise RunError(
                f"$.text.replace: {error}, which tokenizer.json cannot say. The weights are in {assets}/checkpoint; "
                "whoever loads them has to replace the text first"
            ) from None


def _made_with(assets: Path) -> dict[str, Any] | None:
    """``type`` and ``config`` of the task that was trained; None of a base model."""
    path = assets / "experiment.yaml"
    made: dict[str, Any] | None = yaml.safe_load(path.read_text("utf-8"))["task"] if path.is_file() else None
    return made


def _weights(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name in checkpoint.WEIGHTS]


def _next(to: str, target: Path, said: checkpoint.Checkpoint) -> str:
    if to == "keras":
        return f'import keras, models.keras_model; keras.saving.load_model("{target}/model.keras")'
    return f'transformers.{said.architecture}.from_pretrained("{target}")'


# --- formats -------------------------------------------------------------------------------------------------------


def _huggingface(source: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    del source, target, said  # the folder is one already
    return []


def _keras(source: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    import keras

    from models import keras_model

    model, batch = keras_model.load(source), _golden_batch(said)
    model.save(target / "model.keras")
    return [_parity(model(batch), keras.saving.load_model(target / "model.keras")(batch))]


_FORMATS: dict[str, Callable[[Path, Path, checkpoint.Checkpoint], list[str]]] = {
    "huggingface": _huggingface,
    "keras": _keras,
}


def _golden_batch(said: checkpoint.Checkpoint) -> Batch:
    """The golden texts as pairs: ``token_ids``, ``segment_ids`` int64, ``padding_mask`` bool (B, S)."""
    from models import golden, text

    tokenizer = text.Tokenizer(said.vocabulary, text.TextRules.load(said.rules or {"mode": said.mode}))
    a, b = (tokenizer.tokenize(texts) for texts in (golden.TEXTS, golden.TEXTS[::-1]))
    length = min(_LENGTH, said.encoder["max_positions"])
    token_ids, segment_ids = text.pair(a, b, tokenizer.cls_id, tokenizer.sep_id, length)
    return task.dense({"token_ids": token_ids, "segment_ids": segment_ids})


def _parity(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    pairs = zip(ours.values(), theirs.values(), strict=True)
    worst = max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)
    if worst > 1e-3:  # float32 and another order of sums make 1e-5; more is another model
        raise RunError(
            f"the exported model differs from the pushed one by {worst:.2g} in its logits; nothing is written"
        )
    return f"logits within {scientific(worst)}" if worst else "the same logits"
