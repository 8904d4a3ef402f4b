"""The page at ``/`` in a real browser, on the real server, with real SavedModels; by the keyboard alone."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WAIT = 60_000  # ms; a busy machine
expect.set_options(timeout=WAIT)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it (Debian: chromium), or name it in $CHROMIUM"),
]

ROOT = pathlib.Path(__file__).parents[2]
LABELS = ["no", "<b>yes</b>", "perhaps"]
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "good",
    "film",
    "un",
    "##able",
    "<",
    "script",
    ">",
    '"',
    "'",
]
CARD = "# reviews\n\n<script>document.title = 'card'</script>\n"
SERVE = """
import pathlib, sys
from serving import config, server
from serving.app import Settings
server.serve(lambda: config.read(pathlib.Path(sys.argv[1])), Settings(threads=1, poll=0.2, access_log=False),
             host="127.0.0.1", port=0, announce=lambda address: print(address, flush=True))
"""
MODELS = """
model_config_list {
  config { name: "reviews" base_path: "%s/reviews" model_platform: "tensorflow"
           model_version_policy { all {} } version_labels { key: "stable" value: 1 } }
  config { name: "pairs" base_path: "%s/pairs" model_platform: "tensorflow" }
  config { name: "base" base_path: "%s/base" model_platform: "tensorflow" }
  config { name: "half_plus_two" base_path: "%s/half_plus_two" model_platform: "tensorflow" }
  config { name: "films" base_path: "%s/films" model_platform: "tensorflow" }
  config { name: "korean" base_path: "%s/korean" model_platform: "tensorflow" }
}
"""


def write_text_model(folder, columns, seed, answer=True):
    import keras
    import tensorflow as tf

    from models.bert.encoder import BertEncoder
    from models.export import saved_model
    from models.tasks.classification import Task
    from models.text.tokenization import TextRules, Tokenizer

    keras.utils.set_random_seed(seed)
    tokenizer = Tokenizer(PIECES, TextRules("uncased_nfc"))
    encoder = BertEncoder(
        vocabulary_size=len(PIECES), num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    task = Task({"labels": LABELS, "max_length": 24})
    model = task.build(encoder)
    for variable in model.trainable_variables:  # larger weights: answers that differ from text to text
        variable.assign(variable * 5 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder),
        family="text",
        model=model,
        the_task=task if answer else None,
        featurize=lambda record: task.featurize(record, tokenizer),
        raw_spec={column: tf.io.FixedLenFeature([], tf.string) for column in columns},
        explained_by=tokenizer if answer else None,
    )
    extra = saved_model.assets(str(folder))
    (extra / "checkpoint").mkdir(parents=True)
    (extra / "checkpoint" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES), "utf-8")
    (extra / "model_card.md").write_text(CARD, "utf-8")


def write_half_plus_two(folder):
    import tensorflow as tf

    module = tf.Module()
    module.half_plus_two = tf.function(lambda x: {"y": x / 2 + 2}, [tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), {"serving_default": module.half_plus_two})


def write_films(folder):
    """Answers any history as a recommender does: one item without a title, and nothing behind the second."""
    import tensorflow as tf

    def answer(history):
        def rows(*values):
            return tf.tile(tf.constant([values]), [tf.size(history), 1])

        known = tf.strings.length(history) > 0
        return {
            "items": rows("50", "<i>", ""),
            "titles": rows("Star Wars", "", ""),
            "scores": rows(0.75, 0.25, 0.0),
            "source": tf.where(known, "model", "popularity"),
        }

    module = tf.Module()
    module.answer = tf.function(answer, [tf.TensorSpec([None], tf.string, name="history")])
    tf.saved_model.save(module, str(folder), {"serving_default": module.answer})


def write_translator(folder):
    """Knows two pairs by heart, by its memory; anything else it answers from random weights."""
    import keras
    import tensorflow as tf

    from models import families, task
    from models.export import saved_model
    from models.text import wordpiece
    from models.text.reserved import RESERVED
    from models.text.tokenization import TextRules, Tokenizer

    keras.utils.set_random_seed(1)
    pairs = {"Delete <b> %1 rows": "<b> %1개의 행 삭제", "Save": "저장"}
    rules = TextRules("spaced", reserve=RESERVED)
    texts = tf.constant([*pairs, *pairs.values()] * 3)
    tokenizer = Tokenizer(wordpiece.learn(wordpiece.count([texts], rules), 400, RESERVED), rules)
    the_task = task.load("translation")({"max_length": 24, "memory": True})
    record = {"text": tf.constant(list(pairs)), "target": tf.constant(list(pairs.values()))}
    rows = tf.data.Dataset.from_tensor_slices(the_task.featurize(record, tokenizer))
    the_task = the_task.fitted(rows, rows, tokenizer)
    shape = {"num_layers": 1, "num_decoder_layers": 1, "hidden_dim": 8, "num_heads": 2, "max_positions": 64}
    saved_model.write(
        str(folder),
        family="translation",
        model=the_task.build(families.load("translation").network(shape, tokenizer, None)),
        the_task=the_task,
        featurize=lambda record: the_task.featurize(record, tokenizer),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
        gold_spec={"target": tf.io.RaggedFeature(tf.string)},
    )
    extra = saved_model.assets(str(folder))
    (extra / "checkpoint").mkdir(parents=True)
    (extra / "checkpoint" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in tokenizer.vocabulary), "utf-8")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The server's address, and the folder of its models."""
    root = tmp_path_factory.mktemp("models")
    write_text_model(root / "reviews" / "1", ["text"], seed=1)
    write_text_model(root / "reviews" / "2", ["text"], seed=2)
    (root / "reviews" / "3").mkdir()
    (root / "reviews" / "3" / "saved_model.pb").write_bytes(b"no SavedModel")
    write_text_model(root / "pairs" / "1", ["text", "text_pair"], seed=3)
    write_text_model(root / "base" / "1", ["text"], seed=4, answer=False)
    write_half_plus_two(root / "half_plus_two" / "1")
    write_films(root / "films" / "1")
    write_translator(root / "korean" / "1")
    (root / "models.config").write_text(MODELS.replace("%s", str(root)))
    command = [os.environ["WARM_PYTHON"], "-c", SERVE, str(root / "models.config")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            while True:
                try:
                    urllib.request.urlopen(f"{address}/readyz").close()
                    break
                except urllib.error.HTTPError as unready:
                    assert unready.code == 503
                    time.sleep(0.1)
            yield address, root
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def complaints():
    """What the browser writes to its console as an error: of scripts, of what is not loaded, of the content policy."""
    return []


@pytest.fixture
def opened(served, chromium, complaints):
    """``opened(**options)``: the page in a window of its own. At its end the browser has no complaints."""
    contexts = []

    def open_page(**options):
        contexts.append(chromium.new_context(base_url=served[0], **options))
        contexts[-1].set_default_timeout(WAIT)
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type in ("error", "assert") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/")
        expect(page.locator("#text")).to_be_focused()
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.evaluate("0")  # events that are on their way
        context.close()
    assert complaints == []


@pytest.fixture
def page(opened):
    """The page in a desktop's window."""
    return opened(viewport={"width": 1280, "height": 900})


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent")


def tab_to(page, name, key="Tab"):
    """Presses Tab until it has the focus, as people do; the focus's way."""
    way = []
    while not way or way[-1] != name:
        assert len(way) < 12, f"{name} is not reached: {way}"
        page.keyboard.press(key)
        way.append(focused(page))
    return way


def choose(page, model):
    """By the keyboard: back to the list of models, and down."""
    tab_to(page, "model", "Shift+Tab")
    for _ in range(6):
        if page.locator("#model").input_value() == model:
            break
        page.keyboard.press("ArrowDown")
    expect(page.locator("#model")).to_have_value(model)


def ask(page, text):
    """Ctrl+Enter, and what then stands in the answer."""
    page.evaluate("document.querySelector('#answer').replaceChildren()")
    page.evaluate("document.activeElement.select()")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer :first-child, #error:not(:empty)").first).to_be_attached()
    return shown(page)


def shown(page):
    return page.evaluate(
        """({
          headline: document.querySelector('.headline')?.textContent ?? null,
          meta: document.querySelector('.meta')?.textContent ?? null,
          scores: [...document.querySelectorAll('tr')].map((row) =>
            [row.querySelector('th').textContent, Number(row.querySelector('data').value)]),
          tokens: [...document.querySelectorAll('.tokens li')].map((each) => [each.textContent, each.className]),
          raw: document.querySelector('.raw')?.textContent ?? null,
          error: document.querySelector('#error').textContent,
          said: document.querySelector('#said').textContent,
          isShown: document.querySelector('#answer').checkVisibility(),
        })"""
    )


def test_a_text_is_asked_and_answered_by_the_keyboard_alone(page):
    assert page.evaluate("document.querySelector('header').innerText").endswith(
        "Embedded server, for development and tests. In production, stock TensorFlow Serving answers the same requests."
    )
    answer = ask(page, "A good unable dog")
    assert answer["isShown"]
    assert sorted(label for label, _ in answer["scores"]) == sorted(LABELS)
    scores = [score for _, score in answer["scores"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert answer["headline"] == answer["scores"][0][0]
    assert re.fullmatch(r"reviews · version 2 · \d+(\.\d)? ms", answer["meta"])
    assert answer["said"].startswith(f"{answer['headline']}, ")
    assert answer["tokens"] == [
        ["[CLS]", "special"],
        ["a", ""],
        ["good", ""],
        ["un", ""],
        ["##able", "continued"],
        ["[UNK]", "special unknown"],
        ["[SEP]", "special"],
    ]
    widths = page.evaluate("[...document.querySelectorAll('.bar')].map((bar) => bar.style.width)")
    assert [float(width.removesuffix("%")) / 100 for width in widths] == pytest.approx(scores, abs=1e-4)


def test_the_focus_goes_down_the_page_and_every_control_has_a_name(page):
    assert [focused(page), *tab_to(page, "Model card")] == ["text", "Ask", "copy", "Model card"]
    assert tab_to(page, "model", "Shift+Tab") == ["copy", "Ask", "text", "version", "model"]
    assert page.evaluate(
        "[...document.querySelectorAll('select, textarea')].map((each) => each.labels[0].textContent)"
    ) == [*("Model", "Version", "Text", "Second text", "History", "Request, as JSON")]
    tab_to(page, "Ask")
    page.keyboard.press("Enter")
    expect(page.locator(".headline")).to_be_visible()


def test_another_version_answers_the_same_text(page):
    second = ask(page, "a good film")
    options = "[...document.querySelector('#version').options].map((each) => [each.text, each.disabled])"
    assert page.evaluate(options) == [["3 · END", True], ["2", False], ["1 · stable", False]]
    tab_to(page, "version", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".meta")).to_contain_text("version 1")
    first = shown(page)
    assert first["tokens"] == second["tokens"]
    assert dict(first["scores"]) != pytest.approx(dict(second["scores"]), abs=1e-3)
    assert page.evaluate("location.hash") == "#reviews/1"
    page.goto("about:blank")
    page.goto("/#reviews/1")
    expect(page.locator("#version")).to_have_value("1")


def test_a_new_version_is_found_when_one_comes_back(page, served):
    address, root = served
    choose(page, "pairs")
    expect(page.locator("#text_pair")).to_be_visible()
    shutil.copytree(root / "pairs" / "1", root / "pairs" / "coming")
    (root / "pairs" / "coming").rename(root / "pairs" / "2")
    while len(json.load(urllib.request.urlopen(f"{address}/v1/models/pairs"))["model_version_status"]) < 2:
        time.sleep(0.1)
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("#version")).to_have_value("2")


def test_a_pair_takes_two_texts(page):
    choose(page, "pairs")
    expect(page.locator("#text_pair")).to_be_visible()
    tab_to(page, "text")
    page.keyboard.insert_text("a good film")
    tab_to(page, "text_pair")
    answer = ask(page, "unable")
    pieces = [piece for piece, _ in answer["tokens"]]
    assert pieces == ["[CLS]", "a", "good", "film", "[SEP]", "un", "##able", "[SEP]"]
    assert sum(score for _, score in answer["scores"]) == pytest.approx(1, abs=1e-5)


def effects(page):
    return page.evaluate(
        "[...document.querySelectorAll('.effects')].map((list) => [...list.children].map((each) =>"
        " [each.querySelector('span').textContent, each.querySelector('data').value, each.className,"
        "  each.querySelector('data').textContent, getComputedStyle(each).backgroundColor]))"
    )


def test_the_words_that_decided_are_shaded_and_numbered(page, served):
    ask(page, "A good, unable film")
    (words,) = effects(page)
    body = json.dumps({"signature_name": "explain", "instances": [{"text": "A good, unable film"}]}).encode()
    answer = json.load(urllib.request.urlopen(f"{served[0]}/v1/models/reviews:predict", body))["predictions"][0]
    assert [word for word, *_ in words] == ["A", "good", ",", "unable", "film"]
    assert [float(value) for _, value, *_ in words] == pytest.approx(answer["effect"][:5], abs=1e-6)
    for _, value, side, text, _ in words:
        assert side == ("against" if float(value) < 0 else "for")
        assert text == "0" if abs(float(value)) < 0.005 else text[0] == ("−" if float(value) < 0 else "+")
    strengths = sorted(words, key=lambda word: abs(float(word[1])))
    assert strengths[0][-1] != strengths[-1][-1]  # the colours of the least and of the most
    ask(page, "")
    assert effects(page) == []
    choose(page, "pairs")
    expect(page.locator("#text_pair")).to_be_visible()
    tab_to(page, "text_pair")
    ask(page, "film")
    assert [[word for word, *_ in column] for column in effects(page)] == [["film"]]


def test_a_history_is_asked_and_answered_with_titles(page):
    choose(page, "films")
    expect(page.locator("#history")).to_be_visible()
    assert page.evaluate("document.querySelector('#history').getAttribute('aria-describedby')") == "form_of keys"
    tab_to(page, "history")
    answer = ask(page, "242|302")
    assert answer["scores"] == [["Star Wars", 0.75], ["<i>", 0.25]]
    assert (answer["headline"], answer["tokens"]) == ("Star Wars", [])
    assert answer["meta"].startswith("films · version 1 · ")
    assert "popularity" not in answer["meta"]
    assert ask(page, "")["meta"].endswith("by popularity: no item of the history is known")


def test_a_text_is_translated_and_what_was_protected_is_shown(page):
    choose(page, "korean")
    expect(page.locator("#text")).to_be_visible()
    tab_to(page, "text")
    answer = ask(page, "Delete <b> %1 rows")
    assert answer["headline"] == "<b> %1개의 행 삭제"
    assert re.fullmatch(r"korean · version 1 · \d+(\.\d)? ms · whole · score 0.00", answer["meta"])
    assert answer["said"] == "<b> %1개의 행 삭제. whole · score 0.00."
    assert page.locator(".source").inner_text() == "Delete <b> %1 rows"
    assert page.locator(".spans li").all_inner_texts() == ["⟨1⟩ <b>", "⟨2⟩ %1"]
    assert [piece for piece, _ in answer["tokens"] if piece.startswith("⟨")] == ["⟨1⟩ <b>", "⟨2⟩ %1", "⟨1⟩", "⟨2⟩"]
    assert page.locator(".warning").count() == 0
    answer = ask(page, "Save " * 40 + "%9 漢")
    assert " · cut · score −" in answer["meta"]
    warnings = page.locator(".warning").all_inner_texts()
    assert warnings[0].startswith("Cut: the text is longer than the model reads")
    assert warnings[-1] == "1 word has no pieces: the model does not see what is there."
    assert re.search(r"\. cut · score −\d+\.\d\d\. Cut: the text is longer", answer["said"])
    assert ask(page, "")["headline"] == "(nothing)"
    assert page.locator(".spans").count() == 0


def test_any_other_model_is_asked_in_json(page):
    choose(page, "half_plus_two")
    expect(page.locator("#json")).to_be_visible()
    expect(page.locator("#text")).to_be_hidden()
    expect(page.locator("#json")).to_have_value('{"instances": [{"x": 1}]}')
    tab_to(page, "json")
    answer = ask(page, '{"instances": [1.0, 2.0, 5.0]}')
    assert json.loads(answer["raw"]) == {"predictions": [2.5, 3.0, 4.5]}
    assert answer["headline"] is None
    assert answer["meta"].startswith("half_plus_two · version 1 · ")


def test_a_base_model_answers_with_its_vectors(page):
    choose(page, "base")
    expect(page.locator("#json")).to_be_visible()
    tab_to(page, "json")
    page.keyboard.press("Control+Enter")  # the example, as it is
    expect(page.locator(".raw")).to_be_visible()
    [row] = json.loads(shown(page)["raw"])["predictions"]
    assert {name: len(values) for name, values in row.items()} == {"mean": 16, "pooled": 16}


def test_what_the_api_refuses_is_shown_in_its_words(page, complaints):
    choose(page, "half_plus_two")
    expect(page.locator("#json")).to_be_visible()
    tab_to(page, "json")
    refused = ask(page, '{"instances": ["<i>one</i>"]}')
    assert refused["error"] == (
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
        'JSON Value: "<i>one</i>" Type: String is not of expected type: float'
    )
    assert not refused["isShown"]
    assert "Failed to load resource: the server responded with a status of 400" in complaints.pop()
    answer = ask(page, '{"instances": [1.0]}')
    assert answer["error"] == ""
    assert answer["isShown"]


def test_markup_is_text_wherever_it_comes_from(page):
    answer = ask(page, "<script> \"a\" 'film'")
    pieces = [piece for piece, _ in answer["tokens"]]
    assert pieces == ["[CLS]", "<", "script", ">", '"', "a", '"', "'", "film", "'", "[SEP]"]
    assert "<b>yes</b>" in [label for label, _ in answer["scores"]]
    tab_to(page, "Model card")
    page.keyboard.press("Enter")
    expect(page.locator("#card pre")).to_be_visible()
    assert page.locator("#card pre").inner_text() == CARD
    expect(page).to_have_title("tfx-bert")
    expect(page.locator("main script, main b")).to_have_count(0)
    assert "script" not in page.url


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_curl_command_does_what_the_page_does(page, served, has_clipboard):
    address, _ = served
    if has_clipboard:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    else:
        page.evaluate("void Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    text = 'it\'s "a" $HOME `film` \\ !\n<script> 한글'
    answer = ask(page, text)
    tab_to(page, "copy")
    page.keyboard.press("Space")
    expect(page.locator("#said")).to_have_text("Copied.")
    command = page.locator("#command").inner_text()
    if has_clipboard:
        assert page.evaluate("navigator.clipboard.readText()") == command
    assert page.evaluate("getSelection().toString()") == command
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    [row] = json.loads(ran.stdout)["predictions"]
    assert dict(zip(row["labels"], row["scores"], strict=True)) == dict(answer["scores"])
    # What bash hands to curl is what was typed.
    handed = subprocess.run(
        ["bash", "-c", f'curl() {{ printf %s "$2"; }}; {command}'], capture_output=True, text=True, check=True
    )
    assert json.loads(handed.stdout) == {"instances": [{"text": text}]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_in_one_column(opened, scheme):
    window = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}
    page = opened(**window, color_scheme=scheme, reduced_motion="reduce")
    ask(page, "a good " * 9 + "w" * 400)
    tab_to(page, "copy")
    page.keyboard.press("Enter")
    expect(page.locator("#command")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.getAnimations().length") == 0
    fields = "[...document.querySelectorAll('select, textarea, button')].filter((each) => each.checkVisibility())"
    sizes = page.evaluate(f"{fields}.map((each) => parseFloat(getComputedStyle(each).fontSize))")
    assert len(sizes) == 5
    assert min(sizes) >= 16  # below, iOS zooms in
    assert page.evaluate(f"{fields}.every((each) => each.getBoundingClientRect().height >= 44)")
    tops = page.evaluate(f"{fields}.slice(0, 3).map((each) => each.getBoundingClientRect().top)")
    assert tops == sorted(set(tops))
    assert low_contrast(page) == []


def low_contrast(page):
    """Texts on their ground that fall short of 4.5:1 (WCAG 1.4.3)."""
    texts = page.evaluate(
        """[...document.querySelectorAll('h1, h2, p, label, summary, th, data, li, pre, button, span')]
        .filter((each) => each.checkVisibility() && each.textContent).map((each) => {
          let ground = each;
          const colour = (of) => getComputedStyle(of).backgroundColor;
          while (colour(ground) === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
          return [each.textContent.slice(0, 20), getComputedStyle(each).color, colour(ground)];
        })"""
    )
    assert len(texts) > 20

    def luminance(colour):
        # Chromium gives rgb(R, G, B), and color(srgb r g b) of a mix.
        scale = 1 if colour.startswith("color") else 255
        channels = [float(part) / scale for part in re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one, other):
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    return [text for text, ink, ground in texts if contrast(ink, ground) < 4.5]


def test_a_server_that_is_gone_is_said_and_found_again(page, complaints):
    page.context.set_offline(True)
    answer = ask(page, "a good film")
    assert answer["error"] == "The server does not answer. Is it still running?"
    assert not answer["isShown"]
    page.context.set_offline(False)
    assert ask(page, "a good film")["isShown"]
    # The page asks for the models on its own clock.
    assert {each.partition(" ")[0] for each in complaints} == {"Failed"}, complaints
    assert all("net::ERR_INTERNET_DISCONNECTED" in each for each in complaints), complaints
    complaints.clear()


def test_many_labels_fold_and_what_no_parser_reads_is_shown_raw(page):
    """What small models never answer, put in the server's place."""
    labels = [f"label {number}" for number in range(12)]
    row = {"labels": labels, "scores": [number / 66 for number in range(12)]}
    diverged = '{"predictions": [{"labels": ["no"], "scores": [NaN]}]}'
    answers = iter([json.dumps({"predictions": [row]}), diverged])

    def stand_in(route):
        if route.request.post_data.startswith('{"instances"'):
            route.fulfill(body=next(answers))
        else:
            route.continue_()

    page.route("**/*:predict", stand_in)
    answer = ask(page, "a")
    assert [label for label, _ in answer["scores"]] == labels[::-1]
    rows = page.locator("tr")
    assert [rows.nth(number).is_visible() for number in range(rows.count())] == [True] * 10 + [False] * 2
    expect(page.locator("#answer summary")).to_have_text("2 more")
    assert ask(page, "a")["raw"] == diverged
