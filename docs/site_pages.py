"""MkDocs' hook: pages that lie outside ``docs/``, and links to them (https://www.mkdocs.org/user-guide/configuration/#hooks).

The documents link to each other and to source files by paths in the repository, as GitHub shows them. README.md and its
siblings become pages of the site. A source file or a folder that a page links to becomes a page too, which shows its
text and which the search leaves out.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md"} | {name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
FENCE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages from outside ``docs/``."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    documents = [(_source(file.src_uri), file.content_string) for file in files.documentation_pages()]
    for target in sorted({target for source, text in documents for target in _targets(source, text)}):
        if not (page := _page(target)).endswith(".md") or files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=_shown(target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points every link at the page that its target has on the site."""
    here = page.file.src_uri
    if here.startswith("source/"):
        return markdown

    def moved(match: re.Match[str]) -> str:
        target = _page(_resolved(_source(here), match["path"]))
        return posixpath.relpath(target, posixpath.dirname(here)) + (match["anchor"] or "")

    return _outside_code(markdown, lambda text: LINK.sub(moved, text))


def _outside_code(markdown: str, change: Any) -> str:
    return "".join(part if number % 2 else change(part) for number, part in enumerate(FENCE.split(markdown)))


def _source(page: str) -> str:
    """The path in the repository of a page of the site."""
    return {page: name for name, page in PAGES.items()}.get(page, f"docs/{page}")


def _resolved(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _targets(source: str, text: str) -> set[str]:
    """The paths in the repository that a document links to."""
    prose = FENCE.sub("", text)
    return {_resolved(source, match["path"]) for match in LINK.finditer(prose)}


def _page(path: str) -> str:
    """The page of the site that shows a path of the repository."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") and path.endswith(".md") else f"source/{path}.md"


def _shown(path: str) -> str:
    """A file as a page of code; a folder as that of its files."""
    place = ROOT / path
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    blocks = [
        f"## {file.name}\n\n````{file.suffix.lstrip('.')}\n{file.read_text('utf-8')}\n````\n"
        for file in files
        if file.is_file()
    ]
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n" + "\n".join(blocks)
