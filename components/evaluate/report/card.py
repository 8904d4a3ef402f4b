"""The model card as a part of a report: Markdown without HTML, and the head that the Hub reads."""

from components.evaluate.report import html
from models.export import card as model_card


def card(markdown: str) -> str:
    """The card's text; its YAML head, which is for the Hub, behind a click."""
    if not markdown:
        return ""
    from markdown_it import MarkdownIt

    head, body = model_card.split(markdown)
    # No HTML, no links, no pictures: labels are untrusted, and a report takes nothing from elsewhere.
    reader = MarkdownIt("commonmark", {"html": False}).disable(["link", "image", "autolink"])
    tokens = reader.parse(body)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # below the heading of this part
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    rendered = reader.renderer.render(tokens, reader.options, {})
    shown = html.details("The head that the Hugging Face Hub reads", f"<pre>{html.text(head)}</pre>") if head else ""
    return html.section("Model card", f'<div class="card">{rendered}</div>', shown)
