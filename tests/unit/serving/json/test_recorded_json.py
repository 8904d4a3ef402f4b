"""What TensorFlow Serving's own JSON code answered (tests/data/tfserving_json/README.md), and what we do."""

import gzip
import itertools
import json
import pathlib

import numpy as np

from serving.errors import ApiError, invalid
from serving.json import json_requests, json_responses

RECORDED = pathlib.Path(__file__).parents[3] / "data/tfserving_json"


def lines(name):
    with gzip.open(RECORDED / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def read(body, signature):
    """What the handler does before the model is asked, as it was recorded."""
    try:
        document = json_requests.parse(body)
        name = json_requests.signature_name(document)
        if name not in ("", "serving_default"):
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        if not signature:
            raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        arrays, by_rows = json_requests.predict_inputs(document, signature)
    except ApiError as error:
        return [error.code, error.message.encode("utf-8", "surrogateescape").decode("latin-1")]
    found = {
        name: {"dtype": signature[name], "shape": list(value.shape), "values": [shown(each) for each in value.ravel()]}
        for name, value in arrays.items()
    }
    return ["row" if by_rows else "columnar", found]


def shown(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return repr(float(value)) if isinstance(value, np.floating) else value.item()


def expected(line):
    if "error" not in line:
        return [line["format"], line["inputs"]]
    code, message = line["error"]
    return [code, message]


def test_requests_are_read_as_tensorflow_serving_reads_them_but_for_tensors_that_numpy_cannot_hold():
    different = []
    for line in lines("requests"):
        body, signature = line["body"].encode("latin-1"), line["signature"]
        # Which of several inputs is the first one follows a hash table there.
        orders = [dict(order) for order in itertools.permutations(signature.items())]
        if expected(line) not in [read(body, order) for order in orders]:
            different.append(line)
    wide = [line for line in different if any(len(each["shape"]) > 64 for each in line.get("inputs", {}).values())]
    assert [line for line in different if line not in wide] == []
    assert len(wide) == 8
    assert {read(line["body"].encode(), line["signature"])[1][:12] for line in wide} == {"a tensor of "}


def tensor(output):
    dtype = object if output["dtype"] == "string" else np.dtype(output["dtype"])
    found = np.empty(len(output["values"]), dtype)
    if dtype is object:
        found[:] = [value.encode("latin-1") for value in output["values"]]
    else:
        found[:] = [float(value) if dtype.kind == "f" else value for value in output["values"]]
    return found.reshape(output["shape"])


def test_responses_are_written_as_tensorflow_serving_writes_them_to_the_byte():
    different = []
    for line in lines("responses"):
        outputs = {
            name.encode("latin-1").decode("utf-8", "surrogateescape"): tensor(output)
            for name, output in line["outputs"].items()
        }
        write = json_responses.rows if line["format"] == "row" else json_responses.columns
        try:
            answer = write(outputs)
        except ApiError as error:
            answer = [error.code, error.message]
        if answer != (line["body"].encode("latin-1") if "body" in line else line["error"]):
            different.append((line, answer))
    assert different == []
