"""The HTML that reports and pages are made of: escaped text, figures, tables, and the frame around them."""

import html
import math
from collections.abc import Iterable, Sequence

from components.evaluate.report.style import STYLE


def escaped(value: object) -> str:
    """Untrusted text inside an element that takes no elements, such as ``option``."""
    return html.escape(str(value))


def text(value: object) -> str:
    """Escapes untrusted text such as labels, and isolates its direction."""
    return f"<bdi>{html.escape(str(value))}</bdi>"


def attribute(value: object) -> str:
    """Untrusted text as an attribute's value, with its quotes."""
    return f'"{html.escape(str(value), quote=True)}"'


def figure(value: float | None) -> str:
    """``0.871``, ``−0.002``; from 100 on without decimals; ``none`` where there is no number."""
    if value is None or not math.isfinite(value):
        return "none"
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return digits.replace("-", "−") if float(digits.replace(",", "")) else digits.removeprefix("-")


def cell(value: str | float) -> str:
    """A string or a number; whole numbers have no decimals."""
    if isinstance(value, str):
        return text(value)
    return f"{value:,}" if isinstance(value, int) else figure(value)


def interval(bounds: tuple[float, float] | None) -> str:
    """``0.850 … 0.892``; empty where there is none."""
    return " … ".join(map(figure, bounds)) if bounds else ""


def section(title: str, *parts: str) -> str:
    """A heading and what belongs to it; nothing where there is nothing."""
    body = "\n".join(filter(None, parts))
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{body}\n</section>" if body else ""


def note(sentence: str) -> str:
    """A quiet sentence."""
    return f'<p class="note">{text(sentence)}</p>' if sentence else ""


def details(summary: str, body: str) -> str:
    """What a reader may open; it needs no script."""
    return f"<details><summary>{html.escape(summary)}</summary>\n{body}\n</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "", caption: str = "") -> str:
    """A table that scrolls by itself where it is too wide.

    Args:
      head: names of the columns, as HTML.
      rows: cells as HTML; the first of a row is its heading.
      style: classes of the table's frame.
      caption: says what the table holds; text.
    """
    lines = "\n".join(f'<tr><th scope="row">{first}{"".join(f"<td>{each}" for each in rest)}' for first, *rest in rows)
    columns = "".join(f'<th scope="col">{name}' for name in head)
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    # A frame that scrolls takes the focus, so that the arrow keys move it.
    frame = f'<div class="{f"scroll {style}".strip()}" tabindex="0">'
    return f"{frame}<table>{said}<thead><tr>{columns}<tbody>\n{lines}\n</table></div>"


# A report takes nothing from anywhere and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(title: str, body: str, *, policy: str = POLICY, head: str = "") -> str:
    """A page in light and dark.

    Args:
      title: of the window; text.
      body: HTML.
      policy: what it may take from where, as ``Content-Security-Policy``.
      head: more for the head; HTML.
    """
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>{head}
<main>
{body}
</main>
</html>
"""
