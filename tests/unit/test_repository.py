"""What stands beside the code: the workflow, the hooks before a commit, the citation."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def read(name):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def commands():
    """Each command line that the workflow runs."""
    jobs = read(".github/workflows/checks.yml")["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def test_the_workflow_runs_lint_types_documents_and_tests():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    called = [line.removeprefix("make ") for line in commands() if line.startswith("make ")]
    assert called == ["lint", "types", "docs"]
    assert set(called) < set(targets)
    assert ".ci/run" in commands()
    assert "exec make test" in (ROOT / ".ci/run").read_text()


def test_the_hooks_call_what_make_lint_and_make_types_call():
    entries = [hook["entry"] for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    programs = {entry.split()[0].removeprefix(".venv/bin/") for entry in entries}
    recipes = (ROOT / "Makefile").read_text()
    assert programs >= {"ruff", "lint-imports", "mypy"}
    assert all(re.search(rf"\b{program}\b", recipes) for program in programs)


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_the_forms_for_issues_have_what_github_asks_for():
    forms = [read(file) for file in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"]
    assert len(forms) == 2
    for form in forms:
        assert form.keys() >= {"name", "description", "body"}
        assert len({part["id"] for part in form["body"]}) == len(form["body"])
        assert all(part["attributes"]["label"] for part in form["body"])
