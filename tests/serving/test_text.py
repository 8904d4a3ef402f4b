"""A model of ours over REST: text in, answer out, and nothing of the tokenizer on this side."""

import base64
import json

import pytest
import tensorflow as tf

from models.export import golden

ASK = "/v1/models/reviews:predict"


@pytest.fixture(scope="module")
def client(start, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    models.classifier(folder / "reviews/1")
    with start(folder, "--model", f"reviews={folder / 'reviews'}") as client:
        client.ready()
        client.kept = golden.read(folder / "reviews/1/assets.extra")
        yield client


def test_it_answers_as_the_trained_model_did_one_by_one_and_together(client):
    texts, kept = client.kept["inputs"]["text"], client.kept["outputs"]
    status, together = client.post(ASK, {"instances": texts})
    assert status == 200
    for place, text in enumerate(texts):
        status, alone = client.post(ASK, {"instances": [{"text": text}]})
        assert status == 200
        for answer in (alone["predictions"][0], together["predictions"][place]):
            assert answer["label"] == kept["label"][place]
            assert answer["labels"] == kept["labels"][place]
            assert answer["scores"] == pytest.approx(kept["scores"][place], abs=1e-5)
            assert answer["score"] == max(answer["scores"])


def test_it_was_warmed_up_before_it_was_announced(client):
    assert "version 1 is available, after" in client.log.read_text()
    assert "and 9 warm-up requests" in client.log.read_text()


def test_token_ids_and_vectors(client):
    example = tf.train.Example()
    example.features.feature["text"].bytes_list.value.append(b"a good film")
    packed = {"b64": base64.b64encode(example.SerializeToString()).decode()}
    status, answer = client.post(ASK, {"signature_name": "transform_features", "inputs": {"examples": [packed]}})
    assert (status, answer["outputs"]["token_ids"]) == (200, [[2, 5, 6, 7, 3] + [0] * 19])
    status, answer = client.post(ASK, {"signature_name": "embed", "instances": ["a good film", ""]})
    assert status == 200
    assert [sorted(row) for row in answer["predictions"]] == [["mean", "pooled"]] * 2


def test_metadata_names_the_signatures(client):
    _, found = client.get("/v1/models/reviews/metadata")
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serving_examples", "embed", "transform_features"} <= signatures.keys()
    assert signatures["serving_default"]["inputs"]["text"]["dtype"] == "DT_STRING"


def test_the_page_gets_the_card_and_the_versions(client):
    assert json.loads(client.ask("GET", "/ui/models")[2]) == [
        {"name": "reviews", "versions": [{"version": 1, "state": "AVAILABLE"}], "labels": {}}
    ]
    status, detail = client.get("/ui/models/reviews/versions/1")
    assert (status, detail) == (200, {"card": None, "pieces": None})
    status, headers, page = client.ask("GET", "/")
    assert (status, b"<title>" in page) == (200, True)
    assert "script-src 'self'" in headers["content-security-policy"]
    assert client.ask("GET", "/ui/models/reviews/versions/7")[0] == 404
