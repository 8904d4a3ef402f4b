"""Pairs in a CSV file, from ``tfx-bert init`` to a translation over REST: of combinations that were not trained on."""

import csv
import itertools
import pathlib

import pytest

from tests.e2e.tiny import result, states, tfx_bert
from tests.serving.conftest import started

pytestmark = pytest.mark.e2e
ADJECTIVES = "big:큰 small:작은 old:낡은 new:새로운 red:빨간 blue:파란 good:좋은 strange:이상한"
NOUNS = "apple:사과 book:책 bread:빵 teacher:교사 student:학생 dog:개 house:집 tree:나무 pen:펜 car:차"
VERBS = "falls:떨어진다 burns:탄다 moves:움직인다 sleeps:잔다 grows:자란다 stops:멈춘다"
SETTINGS = {
    "encoder": "translation_tiny",
    "vocabulary.learn": "400",
    "train.epochs": "25",
    "train.learning_rate": "4e-3",
    "train.batch_tokens": "1024",
}


def pairs():
    """The verb goes to the end; of seven sentences three have a placeholder, with any word."""
    words = ([word.split(":") for word in text.split()] for text in (ADJECTIVES, NOUNS, VERBS))
    for number, ((adjective, big), (noun, apple), (verb, falls)) in enumerate(itertools.product(*words)):
        kept = f" {{{number % 5}}}" if number % 7 < 3 else ""
        yield f"{verb} the {adjective} {noun}{kept}", f"{big} {apple} {falls}{kept}"


def test_pairs_become_a_model_that_translates(tmp_path):
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("en", "ko"), *pairs()])
    told = tfx_bert(tmp_path, "init", "--data", "pairs.csv")
    assert "'en' is the text and 'ko' its translation" in told
    settings = itertools.chain.from_iterable(("--set", f"{key}={value}") for key, value in SETTINGS.items())
    told = tfx_bert(tmp_path, "run", "pairs.yaml", *settings, "--set", "try=[{en: burns the red dog}]")
    assert '"burns the red dog" → 빨간 개 탄다' in told
    run = result(tmp_path, "pairs", 1)
    assert (run.verdict, run.pushed.version) == ("blessed", 1)
    assert set(states(run).values()) == {"ran"}
    assert run.metrics["exact"] > 0.9
    assert run.metrics["placeholders_kept"] == 1
    with started(tmp_path, "--model", f"pairs={pathlib.Path(run.pushed.path).parent}") as client:
        client.ready()
        status, answer = client.post("/v1/models/pairs:predict", {"instances": ["burns the red dog {a b}", ""]})
        assert status == 200
        found, empty = answer["predictions"]
        assert (found["translation"], found["truncated"], found["missing"]) == ("빨간 개 탄다 {a b}", False, 0)
        assert (empty["translation"], empty["score"]) == ("", 0)
    (tmp_path / "new.csv").write_text("id,text\n1,sleeps the new car\n", "utf-8")
    tfx_bert(tmp_path, "predict", "--input", "new.csv", "--output", "translated.csv")
    (row,) = csv.DictReader((tmp_path / "translated.csv").open(encoding="utf-8"))
    assert row["translation"] == "새로운 차 잔다"
