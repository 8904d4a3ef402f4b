"""The model card, shown in the model's folder and on the server's page; its head is what the Hugging Face Hub reads."""

import json
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

FILE = "model_card.md"  # inside assets.extra
_ON_THE_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # owner and name
# The Hub shows this as "unknown" until a person decides; ours is not the licence of a team's model.
_LICENCE = (
    "# license: say here under which licence you publish the model\n"
    "# language: say here which languages its texts are in, such as [en, ko]\n"
)


def write(
    folder: pathlib.Path, title: str, facts: Mapping[str, str], limits: Sequence[str], head: Mapping[str, Any]
) -> None:
    """Writes it.

    Args:
      folder: the export's ``assets.extra``.
      title: what the model does.
      facts: how it came to be, in order.
      limits: what it cannot do, a sentence each.
      head: for the Hub: see ``head``.
    """
    lines = [f"# {title}", "", *(f"- **{name}**: {value}" for name, value in facts.items())]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in limits)]
    (folder / FILE).write_text(_headed(_dump(head), "\n".join(lines) + "\n"), "utf-8")


def head(task: str | None, base: pathlib.Path | None, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """What the Hub sorts models by.

    Args:
      task: its name of what the model does, ``pipeline_tag``; None where it has none.
      base: the checkpoint that training started from.
      metrics: names of what it is judged by.
    """
    known = {"pipeline_tag": task, "base_model": _name(base) if base else None, "metrics": list(metrics)}
    return {name: value for name, value in known.items() if value} | {"tags": ["tfx-bert"]}


def published(card: str, name: str, library: str | None, figures: Mapping[str, float], data: str) -> str:
    """A card for the Hub: with the figures of the test split, as its ``model-index``.

    Args:
      card: as ``write`` wrote it; one of an older version has no head, and gets one.
      name: of the model.
      library: that loads it, as the Hub names it.
      figures: by name; those of single labels and those that are no numbers are left out.
      data: name of the data that they were measured on.
    """
    from huggingface_hub import EvalResult, ModelCardData

    front, body = split(card)
    known: dict[str, Any] = (yaml.safe_load(front) or {}) if front else head(None, None)
    results = [
        EvalResult(
            task_type=known.get("pipeline_tag", "other"),
            dataset_type=name,
            dataset_name=data,
            dataset_split="test",
            metric_type=figure,
            metric_value=round(value, 4),
        )
        for figure, value in figures.items()
        if "[" not in figure and math.isfinite(value)
    ]
    if results:
        known |= {"metrics": [each.metric_type for each in results], "model_name": name, "eval_results": results}
    found = ModelCardData(**known, library_name=library)
    return _headed(_LICENCE + found.to_yaml() + "\n", body)


def split(card: str) -> tuple[str, str]:
    """The YAML head without its rules, empty where there is none; and the text."""
    if card.startswith("---\n") and (end := card.find("\n---\n", 4)) >= 0:
        return card[4 : end + 1], card[end + 5 :]
    return "", card


def training(settings: Mapping[str, Any], seed: int, start: str | None) -> str:
    """The facts of a training in one line."""
    kept = ("epochs", "steps", "tokens", "batch_size", "learning_rate")
    given = [f"{name.replace('_', ' ')} {settings[name]:g}" for name in kept if settings.get(name) is not None]
    return ", ".join([*given, f"seed {seed}", "from a checkpoint" if start else "from nothing"])


def _headed(front: str, body: str) -> str:
    return f"---\n{front}---\n{body}"


def _dump(values: Mapping[str, Any]) -> str:
    return _LICENCE + yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False)


def _name(base: pathlib.Path) -> str | None:
    """The base model's name on the Hub, as its configuration or the card of a model of ours says it."""
    card, config = base.parent / FILE, base / "config.json"
    if card.is_file() and (front := split(card.read_text("utf-8"))[0]):
        return (yaml.safe_load(front) or {}).get("base_model")
    said = json.loads(config.read_text("utf-8")).get("_name_or_path", "") if config.is_file() else ""
    return said if isinstance(said, str) and _ON_THE_HUB.fullmatch(said) else None
