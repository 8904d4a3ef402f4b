"""The documents: every link and every path in them leads somewhere, and CONTRIBUTING's tour is that of the tree."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CODE = ("schemas", "configs", "models", "components", "pipeline", "serving")
FENCE = re.compile(r"^ *(`{3,}).*?^ *\1", re.M | re.S)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
# A path in the text, below a folder of the repository.
FOLDERS = "|".join((*CODE, r"\.github", "benchmarks", "deploy", "docs", "requirements", "scripts", "tests"))
PATH = re.compile(rf"`(?P<path>(?:{FOLDERS})/[^\s`:]*)")
PAST = ("CHANGELOG.md", "docs/adr/")  # what was: its paths are of its day
EXAMPLES = {"models/tasks/rating.py"}  # the file that docs/add_a_task.md writes


def documents():
    """All Markdown files that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def anchors(text):
    """Those that GitHub gives to the headings of ``text``."""
    found = {}
    for heading in re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", text), re.M):
        said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", said).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if not n else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)}


def broken(name):
    """The links of a document that lead nowhere."""
    file = ROOT / name
    text = file.read_text("utf-8")
    for match in LINK.finditer(re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = file.parent / target if target else file
        if not place.exists() or (anchor and anchor not in anchors(place.read_text("utf-8"))):
            yield match["target"]


@pytest.mark.parametrize("name", documents())
def test_every_link_leads_somewhere(name):
    assert list(broken(name)) == []


@pytest.mark.parametrize("name", [name for name in documents() if not name.startswith(PAST)])
def test_every_path_is_there(name):
    text = FENCE.sub("", (ROOT / name).read_text("utf-8"))
    for match in PATH.finditer(text):
        path = match["path"].rstrip(",;")
        if any(sign in path for sign in "<…") or "NAME" in path or path in EXAMPLES:
            continue  # a place in a pattern
        choices = re.search(r"\{([^}]*)\}", path)
        for choice in choices[1].split(",") if choices else [""]:
            pattern = path.replace(choices[0], choice.strip()) if choices else path
            assert any(ROOT.glob(pattern.rstrip("/"))), f"{name}: {pattern}"


def test_every_named_test_is_there():
    tests = "".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    named = {name for page in documents() for name in re.findall(r"`(test_\w+)`", (ROOT / page).read_text("utf-8"))}
    assert len(named) > 3
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# A `b`: c\n\n[x](README.md#a-b-c) [y](#a-b-c) [z](#a) [w](gone)\n\n```\n[in code](gone)\n```\n")
    assert list(broken(str(page))) == ["#a", "gone"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


def test_the_picture_of_the_dag_has_nodes_of_the_dag():
    picture = (ROOT / "README.md").read_text("utf-8").split("```mermaid")[1].split("```")[0]
    nodes = set(re.findall(r"\b\w+[[{](\w+)[]}:]", picture))
    assert len(nodes) > 8
    assert [node for node in sorted(nodes) if node not in (ROOT / "pipeline/dag.py").read_text("utf-8")] == []


def test_the_site_has_every_document():
    class Loader(yaml.SafeLoader):
        """Without the tags that name Python objects."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)["nav"]

    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for value in (entry.values() if isinstance(entry, dict) else entry) for page in pages(value)]

    own = {name.removeprefix("docs/") for name in documents() if name.startswith("docs/")}
    decisions = {name for name in own if name.startswith("adr/0")}
    roots = {f"{name}.md" for name in ("index", "CONTRIBUTING", "CHANGELOG", "SECURITY")}
    assert set(pages(nav)) == own - decisions | roots
    table = (ROOT / "docs/adr/README.md").read_text("utf-8")
    assert set(re.findall(r"\((0[^)]+)\)", table)) == {name.removeprefix("adr/") for name in decisions}


# CONTRIBUTING's tour


def tour():
    """The rows of the tour: folder → its sentence."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## The tour")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([\w/]+)/` \| (.+?) \|$", text, re.M))


def folders():
    """Each folder with code → the first sentence of its ``__init__``."""
    return {
        file.parent.relative_to(ROOT).as_posix(): (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "")
        for name in CODE
        for file in (ROOT / name).rglob("__init__.py")
    }


def test_each_folder_with_code_has_a_row_in_the_tour_and_says_the_same_itself():
    assert tour() == {folder: said.split("\n\n")[0].replace("\n", " ") for folder, said in folders().items()}


def test_every_folder_with_code_is_a_package():
    without = {
        file.parent.relative_to(ROOT).as_posix()
        for name in CODE
        for file in (ROOT / name).rglob("*.py")
        if not (file.parent / "__init__.py").is_file()
    }
    assert without == set()
