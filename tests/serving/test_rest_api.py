"""TensorFlow Serving's REST API, asked over HTTP: the same file for the embedded server and for the real one.

Names in comments are tests of tensorflow/serving's model_servers/http_rest_api_handler_test.cc.
"""

import base64
import gzip
import json
import math

import pytest

HALF, ECHO = "/v1/models/half_plus_two", "/v1/models/echo"
AVAILABLE = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


@pytest.mark.parametrize(
    ("verb", "path", "status", "message"),
    [  # UnsupportedApiCalls
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/debug/model_name", 400, "Malformed request"),
        ("POST", "/v1/models", 400, "Malformed request"),
        ("GET", "/v1/models/foo:predict", 400, "Malformed request"),
        ("GET", "/v1/models/foo/version/50:predict", 400, "Malformed request"),
        ("POST", "/v1/models/foo/version/50:regress", 400, "Malformed request"),
        ("POST", "/v1/models/foo/versions/HELLO:regress", 400, "Malformed request"),
        (
            "POST",
            f"/v1/models/foo/versions/{2**64 - 1}:regress",
            400,
            f"Failed to convert version: {2**64 - 1} to numeric.",
        ),
        ("POST", "/v1/models/foo/metadata", 400, "Malformed request"),
        ("POST", "/v1/models/foo/label/some_label:regress", 400, "Malformed request"),
        ("POST", "/v1/models/foo/versions/50/labels/some_label:regress", 400, "Malformed request"),
        # PredictModelNameVersionErrors
        ("POST", "/v1/models/foo:predict", 404, "Servable not found for request: Latest(foo)"),
        ("POST", "/v1/models/foo/versions/50:predict", 404, "Servable not found for request: Specific(foo, 50)"),
        ("POST", f"{HALF}/versions/99:predict", 404, "Servable not found for request: Specific(half_plus_two, 99)"),
        ("POST", f"{HALF}/labels/nonexistent:predict", 400, "Unrecognized servable version label: nonexistent"),
        ("GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
        ("GET", f"{HALF}/versions/99", 404, "Could not find version 99 of model half_plus_two"),
        ("GET", "/v1/models/foo/metadata", 404, "Servable not found for request: Latest(foo)"),
    ],
)
def test_requests_for_what_is_not_there(client, verb, path, status, message):
    answered, _, body = client.ask(verb, path, b'{"instances": [1], "examples": [{}]}' if verb == "POST" else None)
    assert answered == status
    assert message in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [  # PredictRequestErrors
        ("", "JSON Parse error: The document is empty"),
        ("instances = [1, 2]", "JSON Parse error: Invalid value"),
        ('{"instances": ["x", "y"]}', "not of expected type: float"),
        ('{"signature_name": 100}', "'signature_name' key must be a string value."),
        ('{"signature_name": "no", "instances": [1]}', 'Serving signature name: "no" not found in signature def'),
        ('{"instances": [{"z": 1}]}', "JSON object: does not have named input: z"),
    ],
)
def test_requests_that_cannot_be_understood(client, body, message):
    status, answer = client.post(f"{HALF}:predict", body)
    assert status == 400
    assert message in answer["error"]


def test_predict(client):  # Predict
    assert client.post(f"{HALF}/versions/123:predict", {"instances": [[1.0, 2.0], [3.0, 4.0]]}) == (
        200,
        {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    )
    assert client.post(f"{HALF}/versions/123:predict", {"instances": [1.0, 2.0]}) == (200, {"predictions": [2.5, 3.0]})
    assert client.post(f"{HALF}/labels/stable:predict", {"instances": [1.0, 2.0]}) == (200, {"predictions": [2.5, 3.0]})
    explicit = {"signature_name": "serving_default"}
    assert client.post(f"{HALF}/labels/stable:predict", {**explicit, "instances": [3.0]}) == (
        200,
        {"predictions": [3.5]},
    )
    assert client.post(f"{HALF}/labels/stable:predict", {**explicit, "inputs": [3.0]}) == (200, {"outputs": [3.5]})
    assert client.post(f"{HALF}/labels/stable:predict", {"inputs": 3.0}) == (200, {"outputs": 3.5})


def test_without_a_version_the_highest_answers(client):
    assert client.post(f"{HALF}:predict", {"instances": [1.0]}) == (200, {"predictions": [4.5]})


def test_answers_are_json_of_a_known_length(client):
    status, headers, body = client.ask("POST", f"{HALF}/labels/stable:predict", b'{"instances": [1.0, 2.0]}')
    found = {name.lower(): value for name, value in headers.items()}
    assert (status, found["content-type"]) == (200, "application/json")
    assert int(found["content-length"]) == len(body)
    assert body == b'{\n    "predictions": [2.5, 3.0\n    ]\n}'


def test_regress(client):  # Regress
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}
    for path in (f"{HALF}/versions/123", f"{HALF}/labels/stable"):
        assert client.post(f"{path}:regress", body) == (200, {"results": [42.0]})


def test_classify(client):  # Classify
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]}
    assert client.post(f"{HALF}/versions/123:classify", body) == (200, {"results": [[["", 12.0]]]})
    named = {"signature_name": "named", "examples": [{"x": 20.0}, {"x": 10.0}]}
    assert client.post(f"{HALF}/labels/stable:classify", named) == (
        200,
        {"results": [[["low", -12.0], ["high", 12.0]], [["low", -7.0], ["high", 7.0]]]},
    )


def test_a_context_goes_into_every_example(client):
    body = {"signature_name": "regress_x_to_y", "context": {"x": 80.0}, "examples": [{}, {"y": 1}]}
    assert client.post(f"{HALF}/labels/stable:regress", body) == (200, {"results": [42.0, 42.0]})


@pytest.mark.parametrize(
    ("method", "signature", "message"),
    [  # PreProcessClassification, PreProcessRegression: names of inputs and outputs, not the method, decide
        ("classify", "serving_default", "No classification inputs found in SignatureDef: "),
        ("classify", "regress_x_to_y", "Expected classification signature outputs to contain at least one of "),
        ("regress", "classify_x_to_y", "No regression outputs found in SignatureDef: "),
        ("regress", "named", "Expected one output Tensor."),
        ("regress", "nowhere", "No signature was found with the name: nowhere"),
        ("classify", "", "No classification inputs found in SignatureDef: "),
    ],
)
def test_a_method_asks_signatures_of_its_form(client, method, signature, message):
    status, answer = client.post(f"{HALF}:{method}", {"signature_name": signature, "examples": [{"x": 1.0}]})
    assert status == 400
    assert answer["error"].startswith(message)


def test_methods_of_signatures_are_not_looked_at(client):  # enable_signature_method_name_check=false
    scores = {"signature_name": "scores_of_predict", "examples": [{"x": 20.0}]}
    assert client.post(f"{HALF}/versions/123:classify", scores) == (200, {"results": [[["", 12.0]]]})
    predict = {"signature_name": "no_method", "instances": [1.0]}
    assert client.post(f"{HALF}/versions/123:predict", predict) == (200, {"predictions": [2.5]})


def test_the_document_is_read_before_the_model_is_looked_for(client):
    assert client.post("/v1/models/foo:classify", "{}")[0] == 400
    assert client.post("/v1/models/foo:predict", "{}")[0] == 404
    assert client.post("/v1/models/foo:predict", '{"signature_name": 1}')[0] == 400


@pytest.mark.parametrize(
    ("body", "answer"),
    [  # what 2.20.0 answers otherwise than 2.4 did
        ('{"instances": [16777217]}', {"predictions": [16777216.0]}),
        ('{"instances": [1.797e308]}', {"predictions": [math.inf]}),
        ('{"instances": [1.0]} tail', {"predictions": [1.0]}),
        ('{"inputs": [2.0], "inputs": [3.0]}', {"outputs": [2.0]}),
        ('{"instances": [1.0], "unused": ' + "[" * 500_000 + "]" * 500_000 + "}", {"predictions": [1.0]}),
        ('{"inputs": [[]]}', {"outputs": [[]]}),
    ],
)
def test_documents_that_are_read_leniently(client, body, answer):
    named = '{"signature_name": "float32", ' + body[1:]
    assert client.post(f"{ECHO}:predict", named) == (200, answer)


def test_a_scalar_to_an_input_of_unknown_rank(client):
    assert client.post(f"{ECHO}:predict", {"signature_name": "string", "inputs": "a"}) == (200, {"outputs": "a"})


def test_no_rows(client):  # FromJsonSingleZeroBatchTensor
    body = {"signature_name": "no_rows", "instances": [1.0]}
    assert client.ask("POST", f"{ECHO}:predict", json.dumps(body).encode())[2] == b'{\n    "predictions": []\n}'


def test_status(client):  # GetStatus
    assert client.get(HALF) == (
        200,
        {"model_version_status": [{"version": "124", **AVAILABLE}, {"version": "123", **AVAILABLE}]},
    )
    one = {"model_version_status": [{"version": "123", **AVAILABLE}]}
    assert client.get(f"{HALF}/versions/123") == (200, one)
    for label in ("stable", "nobody"):  # GetModelStatusImpl looks at no label
        assert client.get(f"{HALF}/labels/{label}") == client.get(HALF)


def test_metadata(client):  # GetModelMetadata
    status, found = client.get(f"{HALF}/versions/123/metadata")
    assert (status, found["model_spec"]) == (200, {"name": "half_plus_two", "version": "123", "signature_name": ""})
    signatures = found["metadata"]["signature_def"]["signature_def"]
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signatures["regress_x_to_y"]["inputs"]["inputs"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("bool", [True, False]),
        ("string", ["a", "", "한글 😀", 'tab\t"quoted" \\ \u0001', "null\u0000in"]),
        ("int8", [-128, 127]),
        ("uint8", [0, 255]),
        ("int16", [-32768, 32767]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("uint32", [0, 2**32 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("float32", [0.1, -3.5, 1e-40, 3.4028234663852886e38, math.inf, -math.inf]),
        ("float64", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308]),
    ],
)
def test_every_type_goes_through(client, dtype, values):
    status, answer = client.post(f"{ECHO}:predict", {"signature_name": dtype, "instances": values})
    assert status == 200, answer
    if dtype == "float32":
        assert answer["predictions"] == pytest.approx(values, rel=1e-7)
    else:
        assert answer["predictions"] == values
    nested = {"signature_name": dtype, "inputs": [values, values]}
    assert client.post(f"{ECHO}:predict", nested)[1] == {"outputs": [answer["predictions"]] * 2}


def test_what_is_no_number_goes_in_and_out(client):
    status, answer = client.post(f"{ECHO}:predict", '{"signature_name": "float32", "instances": [NaN, Infinity]}')
    assert status == 200
    assert math.isnan(answer["predictions"][0])
    assert answer["predictions"][1] == math.inf


def test_several_inputs_and_outputs(client):
    rows = [{"text": "a", "number": 1}, {"text": {"b64": base64.b64encode(b"\xff").decode()}, "number": 2}]
    status, _, body = client.ask("POST", f"{ECHO}:predict", json.dumps({"instances": rows[:1]}).encode())
    assert (status, json.loads(body)) == (
        200,
        {"predictions": [{"text": "a", "number": 2, "raw_bytes": {"b64": "YQ=="}}]},
    )
    columns = {"inputs": {"text": ["a", "b"], "number": [1, 2]}}
    assert client.post(f"{ECHO}:predict", columns) == (
        200,
        {"outputs": {"text": ["a", "b"], "number": [2, 4], "raw_bytes": [{"b64": "YQ=="}, {"b64": "Yg=="}]}},
    )


def test_the_model_refuses(client):
    status, answer = client.post(f"{HALF}:predict", {"signature_name": "raises", "instances": [200.0]})
    assert status == 400
    assert "too much" in answer["error"]


def test_gzip(client):
    packed = gzip.compress(b'{"instances": [1.0, 2.0]}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    status, _, body = client.ask("POST", f"{HALF}/labels/stable:predict", packed, headers)
    assert (status, json.loads(body)) == (200, {"predictions": [2.5, 3.0]})


def test_paths_may_be_percent_encoded(client):
    assert client.post("/v1/models/half%5Fplus_two/labels/st%61ble:predict", {"instances": [1.0]})[0] == 200


def test_cors(client):
    status, headers, _ = client.ask("OPTIONS", f"{HALF}:predict", None, {"Origin": "http://example.org"})
    found = {name.lower(): value for name, value in headers.items()}
    assert status == 200
    assert found["access-control-allow-origin"] == "*"
    assert found["access-control-allow-methods"] == "POST, GET"
    assert found["access-control-allow-headers"] == "Content-Type"


def test_a_preflight_needs_an_origin(client):  # RestApiRequestDispatcher
    assert client.ask("OPTIONS", f"{HALF}:predict", None, {"Origin": "https://example.org"})[0] == 200
    assert client.ask("OPTIONS", "/v1/anything", None, {"Origin": "example.org"})[0] == 400


def test_metrics(client):
    client.post(f"{HALF}:predict", {"instances": [1.0]})
    client.get(HALF)
    client.get("/v1/models/half_plus_two/versions/99")
    status, _, body = client.ask("GET", "/monitoring/prometheus/metrics")
    lines = body.decode().splitlines()
    assert status == 200
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert any(
        line.startswith(':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} ') for line in lines
    )
    assert any(
        line.startswith(':tensorflow:serving:request_count{model_name="half_plus_two",status="NOT_FOUND"} ')
        for line in lines
    )
    for method in ("predict", ""):  # that of a status is empty
        start = f':tensorflow:serving:request_latency_bucket{{model_name="half_plus_two",API="{method}",'
        assert any(line.startswith(start) for line in lines)
