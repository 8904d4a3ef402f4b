"""The attention of a few texts, to be looked at token by token: one script, and tables for whoever runs none."""

import base64
import hashlib
import importlib.resources
import json
from collections.abc import Sequence

import numpy as np

from components.evaluate.report import html
from models.analysis.example import Example

_MOST = 4_000_000  # bytes of the texts as the page holds them: pages of 5 MB still open at once
_STYLE = """
.explorer .controls { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: end }
.explorer .controls label { display: grid; gap: .25rem }
.explorer input { width: 12rem; max-width: 100%; min-height: 2.75rem }
.explorer .tokens { display: flex; flex-wrap: wrap; gap: .25rem; margin: 1rem 0 }
.explorer .tokens button { min-height: 2.75rem; padding: .25rem .5rem; border: 2px solid transparent; max-width: 100%;
  background: linear-gradient(to top, var(--heat) calc(var(--share) * 40%), transparent 0) no-repeat,
    color-mix(in srgb, var(--heat) calc(var(--share) * 40%), var(--tint)) }
.explorer .tokens button.asked { border-color: var(--ink) }
.explorer .said { display: block; min-height: 3rem }
"""


def script() -> str:
    """The explorer's script."""
    return importlib.resources.files(__package__).joinpath("explorer.js").read_text("utf-8")


def policy() -> str:
    """That of a page with the explorer: its own script is allowed by its hash, and no other."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return f"{html.POLICY}; script-src 'sha256-{digest}'"


def style() -> str:
    """More for the page's head."""
    return f"<style>{_STYLE}</style>"


def section(examples: Sequence[Example]) -> str:
    """The explorer, and its tables; texts that make the page too large are left out. Empty without texts."""
    kept, size = list[dict[str, object]](), 0
    for each in examples:
        made = packed(each)
        size += len(json.dumps(made))
        if size > _MOST:
            break
        kept.append(made)
    if not kept:
        return ""
    shown = examples[: len(kept)]
    options = "".join(
        f"<option value={number}>{html.escaped(_title(each))}</option>" for number, each in enumerate(shown)
    )
    # A text may hold "</script>": the data has no "<".
    data = json.dumps(kept, ensure_ascii=False).replace("<", "\\u003c")
    sliders = "".join(
        f"<label>{name.capitalize()} <span><input type=range name={name} min={least} value={least}><output></output>"
        "</span></label>"
        for name, least in (("layer", 1), ("head", 0))
    )
    left = len(examples) - len(kept)
    return html.section(
        "Attention of texts",
        html.note(
            "Point at a token, or move to it with Tab and the arrow keys: the darker another one is, the more it looks "
            "there. Head 0 is the mean of the layer's heads. Attention says where a head looks, not what decides the "
            "answer." + (f" {left} more texts would make this page larger than 4 MB." if left else "")
        ),
        f'<div class="explorer" id="explorer" hidden><div class="controls"><label>Text <select name=text>{options}'
        f'</select></label>{sliders}</div><div class="tokens" role="group" aria-label="Tokens"></div>'
        '<output class="said" aria-live="polite"></output></div>',
        *(html.details(f"Table: {_title(each)}", _table(each)) for each in shown),
        f'<script type="application/json" id="explorer-data">{data}</script>',
        f"<script>{script()}</script>",
    )


def packed(example: Example) -> dict[str, object]:
    """As JSON: weights and rows' maxima as base64 of their bytes, in C order."""
    layers, heads = example.weights.shape[:2]
    coded = {
        name: base64.b64encode(values.tobytes()).decode()
        for name, values in (("weights", example.weights), ("largest", example.largest))
    }
    return {"tokens": list(example.tokens), "layers": layers, "heads": heads, **coded}


def _title(example: Example) -> str:
    words = " ".join(example.tokens[1:-1]).replace(" ##", "")
    return words if len(words) <= 60 else f"{words[:59]}…"


def _table(example: Example) -> str:
    """Of each token and layer, what most of the heads' mean attention goes to."""
    means = example.attention().mean(axis=1)  # (L, S, S)
    rows = [
        [html.text(token), *(_most(example.tokens, layer[place]) for layer in means)]
        for place, token in enumerate(example.tokens)
    ]
    head = ["token", *(f"layer {number + 1}" for number in range(len(means)))]
    return html.table(head, rows, "words", "The token that most of the attention goes to, mean of the layer's heads.")


def _most(tokens: Sequence[str], row: np.ndarray) -> str:
    place = int(row.argmax())
    return f"{html.text(tokens[place])} {html.figure(float(row[place]))}"
