"""The attention explorer of ``analysis.html`` in a real browser, opened as a file: with scripts, and without."""

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from components.evaluate.report import analysis, explorer
from models.analysis.example import LONGEST, Example
from models.figures import Section
from tests.e2e.test_page import CHROMIUM, WAIT

expect.set_options(timeout=WAIT)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it (Debian: chromium), or name it in $CHROMIUM"),
]
HOSTILE = "</script><b>"
TOKENS = ["[CLS]", "a", HOSTILE, "<img src=x onerror=\"document.title='taken'\">", "[SEP]"]


def attention(layers=2, heads=3, size=5, seed=1):
    weights = np.random.default_rng(seed).random((layers, heads, size, size)).astype(np.float32)
    return weights / weights.sum(axis=-1, keepdims=True)


GIVEN = attention()
GIVEN[1, 2, 1] = [0.05, 0, 0.9, 0.05, 0]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    examples = [Example.of(TOKENS, GIVEN), Example.of(["[CLS]", "second", "[SEP]"], attention(size=3))]
    path = tmp_path_factory.mktemp("page") / "analysis.html"
    path.write_text(analysis.page("Anatomy", [Section("Roles", ["a", "b"], [["x", 1.0]])], examples), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, file, **context):
    page = browser.new_page(**context)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    return page, faults


def shares(page):
    """How dark each token is."""
    read = "(each) => Number(each.style.getPropertyValue('--share'))"
    return [each.evaluate(read) for each in page.locator(".tokens button").all()]


def test_a_token_that_is_pointed_at_shows_where_it_looks(browser, file):
    page, faults = opened(browser, file)
    buttons, said = page.locator(".tokens button"), page.locator(".said")
    expect(buttons).to_have_text(TOKENS)
    page.get_by_label("Layer").fill("2")
    page.get_by_label("Head").fill("3")
    buttons.nth(1).hover()
    np.testing.assert_allclose(shares(page), GIVEN[1, 2, 1] / 0.9, atol=0.01)
    expect(said).to_have_text(f"a looks at {HOSTILE} .90, [CLS] .05, {TOKENS[3]} .05, a .00, [SEP] .00")
    before = shares(page)
    buttons.nth(3).hover()
    assert shares(page) != before
    page.get_by_label("Head").fill("0")
    mean = GIVEN[1].mean(axis=0)[3]
    np.testing.assert_allclose(shares(page), mean / mean.max(), atol=0.01)
    assert page.title() == "Anatomy"
    assert not page.locator("main b, img").count()
    assert not faults
    page.close()


def test_the_keyboard_alone_chooses_text_layer_head_and_token(browser, file):
    page, faults = opened(browser, file, viewport={"width": 390, "height": 800})
    page.get_by_label("Text").focus()
    page.keyboard.press("ArrowDown")
    buttons = page.locator(".tokens button")
    expect(buttons).to_have_text(["[CLS]", "second", "[SEP]"])
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Layer")).to_have_value("2")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.get_by_label("Head")).to_have_value("3")
    page.keyboard.press("Tab")
    expect(buttons.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    row = attention(size=3)[1, 2, 1]
    np.testing.assert_allclose(shares(page), row / row.max(), atol=0.01)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not faults
    page.close()


def test_without_scripts_there_are_tables(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    expect(page.locator("#explorer")).to_be_hidden()
    table = page.locator("details", has_text="Table:").first
    table.locator("summary").click()
    expect(table.get_by_role("row").nth(3)).to_contain_text(HOSTILE)
    expect(table.get_by_role("cell").first).to_be_visible()
    context.close()


def test_the_page_allows_its_own_script_alone_and_holds_no_text_unescaped(file):
    page = file.read_text("utf-8")
    assert "script-src 'sha256-" in page
    assert HOSTILE not in page
    assert page.count("<script") == 2
    assert not re.search(r"https?://", page)
    assert len(explorer.script()) <= 10_000
    assert "<script" not in analysis.page("Anatomy", [Section("Roles", ["a", "b"], [["x", 1.0]])])


def test_bytes_are_the_attention_and_a_page_stays_under_five_megabytes():
    whole = attention(12, 12, LONGEST)
    made = Example.of(["x"] * LONGEST, whole)
    assert np.abs(made.attention() - whole).max() <= 1 / 255
    packed = explorer.packed(made)
    assert np.frombuffer(base64.b64decode(packed["weights"]), np.uint8).tolist() == made.weights.flatten().tolist()
    page = analysis.page("Large", [], [made] * 12)
    assert 3_000_000 < len(page.encode()) < 5_000_000
    assert "more texts would make this page larger" in page
