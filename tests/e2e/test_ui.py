"""The page over the runs in a real browser, by the keyboard, on a phone, and while a run goes on."""

import os
import subprocess

import pytest
from playwright.sync_api import expect, sync_playwright

from models import progress
from pipeline.run import events, report
from pipeline.run.result import Node, RunResult
from tests.e2e.test_page import CHROMIUM, WAIT
from tests.e2e.tiny import COMMAND

expect.set_options(timeout=WAIT)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it (Debian: chromium), or name it in $CHROMIUM"),
]
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def step(number):
    return progress.Step(number, 20, 1 / number, 1e-4, 1000.0, 60.0, "epoch 1/1")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs that ended, and one that this process is at."""
    root = tmp_path_factory.mktemp("user")
    for number, name, verdict in ((1, "reviews", "blessed"), (2, "reviews", "not_blessed"), (1, "spam", "running")):
        folder = root / "runs" / name / str(number)
        folder.mkdir(parents=True)
        (folder / "experiment.resolved.yaml").write_text(f"name: {name}\ntrain: {{epochs: {number}}}\n")
        ended = verdict != "running"
        result = RunResult(
            name=name,
            number=number,
            verdict=verdict,
            started=f"2026-01-02T03:04:0{number}+00:00",
            metrics={"accuracy": 0.7 + number / 10, HOSTILE: 0.5} if ended else {},
            nodes=[Node(node="Trainer", state="ran", seconds=3.0, summary=HOSTILE)] if ended else [],
        )
        result.write(folder)
        if ended:
            report.write(folder, result)
    (root / "runs" / "spam" / ".running").write_text(f"process {os.getpid()}, since 10:00")
    return root


@pytest.fixture(scope="module")
def address(root):
    server = subprocess.Popen([*COMMAND, "ui", "--port", "0"], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().split(" ")[0]
    finally:
        server.terminate()
        server.communicate(timeout=60)
        assert server.returncode == 0


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, address):
    """Opens a page; fails on whatever the browser complains about."""
    contexts, complaints = [], []

    def show(path, **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or complaints.append(request.url))
        page.goto(address + path)
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


def test_the_keyboard_alone_sets_two_runs_side_by_side(opened):
    page = opened("/")
    for label, run in (("Run", "reviews/1"), ("beside", "reviews/2")):
        page.keyboard.press("Tab")
        expect(page.get_by_label(label, exact=True)).to_be_focused()
        page.keyboard.type(run)
        expect(page.get_by_label(label, exact=True)).to_have_value(run)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("reviews/1 beside reviews/2")
    expect(page.get_by_role("row", name="accuracy 0.800 0.900 +0.100")).to_be_visible()
    expect(page.get_by_text("train.epochs 1→2")).to_be_visible()
    expect(page.get_by_role("rowheader", name=HOSTILE)).to_be_visible()
    assert "taken" not in page.title()


def test_a_run_is_shown_as_it_goes_on_and_what_was_opened_stays_open(opened, root):
    folder = root / "runs" / "spam" / "1"
    page = opened("/runs/spam/1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("running")
    with events.recorded(folder):
        progress.emit(progress.RunStarted("spam", 1, str(folder), ("ExampleGen", "Trainer")))
        progress.emit(progress.NodeStarted("Trainer"))
        for number in (1, 5):
            progress.emit(step(number))
        expect(page.get_by_role("row", name="Trainer running").get_by_text("step 5/20")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.250")
        chart = page.get_by_role("img", name="training loss (nats) over optimizer step")
        expect(chart).to_be_visible()
        page.get_by_text("Table").first.click()
        expect(page.get_by_role("row", name="5 0.2", exact=True)).to_be_visible()
        progress.emit(step(10))
        expect(page.get_by_role("row", name="10 0.1", exact=True)).to_be_visible()  # the table is still open
        progress.emit(progress.NodeFinished("Trainer", "failed", 3.0))
    failed = RunResult.read(folder).model_copy(update={"verdict": "failed", "error": "the disk is full"})
    failed.write(folder)
    expect(page.get_by_text("the disk is full")).to_be_visible()
    page.get_by_role("link", name="The whole report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("spam #1 · Failed")


@pytest.mark.parametrize(
    "path", ["/", "/runs/reviews/2", "/runs/reviews/2/report.html", "/compare?a=reviews/1&b=reviews/2"]
)
def test_a_phone_shows_every_page_without_moving_it_aside(opened, path):
    for scheme in ("light", "dark"):
        page = opened(path, color_scheme=scheme, **PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(250, 250, 248)", "dark": "rgb(21, 24, 26)"}[scheme]


def test_every_page_reads_without_a_script(opened):
    page = opened("/", java_script_enabled=False)
    page.get_by_role("link", name="#2").click()
    expect(page.get_by_role("rowheader", name="accuracy")).to_be_visible()
    page.get_by_role("link", name="The whole report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("reviews #2 · Not blessed")
