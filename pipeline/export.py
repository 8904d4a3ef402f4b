"""``tfx-bert export``: a pushed model for other libraries, encoder, head and tokenizer together."""

import shutil
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from components.versions import versions
from models import checkpoint, task
from pipeline import noise
from pipeline.figures import size
from pipeline.predict import newest
from pipeline.result import RunError


def export(root: Path, model: str, target: Path, *, version: int | None, to: str) -> None:
    """Writes the folder ``target``, whole or not at all.

    Args:
      root: the environment's ``runs`` folder.
      model: the name of an experiment, a folder of pushed versions, or one of these.
      target: does not exist yet, or is empty.
      version: which of the pushed versions; None is the latest.
      to: ``huggingface``.

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
            part.parent.mkdir(parents=True, exist_ok=True)
            {"huggingface": _huggingface}[to](assets, part)
            part.rename(target)
        weight = size(sum(file.stat().st_size for file in target.iterdir()))
        told = f"{target}: {said.architecture} of {folder.parent.name} v{folder.name} · {weight}"
        console.print(Text.assemble(("✓ ", "green"), told), soft_wrap=True)
        loads = f'transformers.{said.architecture}.from_pretrained("{target}")'
        console.print(Text.assemble(("Next:  ", "dim"), loads), soft_wrap=True)


def _huggingface(assets: Path, target: Path) -> None:
    shutil.copytree(assets / "checkpoint", target)
    shutil.copyfile(assets / "model_card.md", target / "README.md")


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

    made_with = assets / "experiment.yaml"
    if made_with.is_file() and said.head is None:
        kind = yaml.safe_load(made_with.read_text("utf-8"))["task"]["type"]
        if task.load(kind).head:
            raise RunError(f"{assets.parent} was pushed before heads were kept; run the experiment again")
    if not (assets / "checkpoint" / "tokenizer.json").is_file():
        try:
            tokenizer_json.build(said.vocabulary, text.TextRules.load(said.rules or {"mode": said.mode}))
        except tokenizer_json.Inexpressible as error:
            raise RunError(
                f"$.text.replace: {error}, which tokenizer.json cannot say. The weights are in {assets}/checkpoint; "
                "whoever loads them has to replace the text first"
            ) from None
