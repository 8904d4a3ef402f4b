"""The model card, shown in the model's folder and on the server's page."""

import pathlib
from collections.abc import Mapping
from typing import Any

FILE = "model_card.md"  # inside assets.extra


def write(folder: pathlib.Path, title: str, facts: Mapping[str, str], limits: list[str]) -> None:
    """Writes it.

    Args:
      folder: the export's ``assets.extra``.
      title: what the model does.
      facts: how it came to be, in order.
      limits: what it cannot do, a sentence each.
    """
    lines = [f"# {title}", "", *(f"- **{name}**: {value}" for name, value in facts.items())]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in limits)]
    (folder / FILE).write_text("\n".join(lines) + "\n", "utf-8")


def training(settings: Mapping[str, Any], seed: int, start: str | None) -> str:
    """The facts of a training in one line."""
    kept = ("epochs", "steps", "tokens", "batch_size", "learning_rate")
    given = [f"{name.replace('_', ' ')} {settings[name]:g}" for name in kept if settings.get(name) is not None]
    return ", ".join([*given, f"seed {seed}", "from a checkpoint" if start else "from nothing"])
