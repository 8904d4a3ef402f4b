"""A document that the code or a test names is one that the reader has."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = (
    "schemas",
    "configs",
    "models",
    "components",
    "serving",
    "pipeline",
    "benchmarks",
    "tests",
    "scripts",
    "deploy",
)
ELSEWHERE = {"model_card.md", "api_rest.md"}  # an export's; TensorFlow Serving's


def test_every_named_document_is_in_the_repository():
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml", "")]
    named = {
        (name, str(path.relative_to(ROOT)))
        for path in files
        if path.is_file() and path != pathlib.Path(__file__)
        for name in re.findall(r"[\w/]+\.md\b", path.read_text("utf-8", "replace"))
    }
    assert {name for name, _ in named} >= {"docs/deploy.md", "docs/serving.md"}
    there = {path.name for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))} | ELSEWHERE
    assert [(name, file) for name, file in sorted(named) if pathlib.Path(name).name not in there] == []
