"""What was found inside a model: a part of a run's report, and a page of its own."""

from collections.abc import Sequence

from components.evaluate.report import explorer, figures, html
from models.analysis.example import Example
from models.figures import Section

_LEAD = (
    "What is inside the model: where its heads look, what can be read from its layers, what it can do without. "
    "None of the records was trained on."
)


def part(sections: Sequence[Section]) -> str:
    """A heading, and the sections below it; nothing where there are none."""
    drawn = figures.sections(sections)
    return f"{html.section('Analysis', html.note(_LEAD))}\n{drawn}" if drawn else ""


def page(title: str, sections: Sequence[Section], examples: Sequence[Example] = ()) -> str:
    """``analysis.html``: nothing from elsewhere; no script but the explorer's.

    Args:
      title: of the page, text.
      sections: in their order.
      examples: texts that it may show.
    """
    header = f"<header><h1>{html.text(title)}</h1><p>{html.text(_LEAD)}</p></header>"
    drawn = f"{header}\n{figures.sections(sections)}"
    if not examples:
        return html.page(title, drawn)
    body = f"{drawn}\n{explorer.section(examples)}"
    return html.page(title, body, policy=explorer.policy(), head=explorer.style())
