"""The recorded requests (tests/data/tfserving_json/README.md) over HTTP: for the embedded server and for the real one.

Those to one input ``x`` of a type that the model ``echo`` has a signature for.
"""

import gzip
import json
import math
import pathlib

import numpy as np

RECORDED = pathlib.Path(__file__).parents[1] / "data/tfserving_json/requests.jsonl.gz"
ECHO = "/v1/models/echo:predict"
OTHER_NAMES = {"float": "float32", "double": "float64"}
# Said before a signature is looked for, or of the whole document: it would be said of another one, once changed.
OF_THE_DOCUMENT = (
    "JSON Parse error",
    " Is not object",
    "'signature_name' key",
    "list/array",
    " array",
    " keys to exist ",
)


def sent(line):
    """The body that asks the signature of the line's type; None where there is none."""
    body, error = line["body"], line.get("error", ["", ""])[1]
    if error and any(words in error for words in OF_THE_DOCUMENT):
        return body
    if "signature_name" in body or list(line["signature"]) != ["x"] or line["signature"]["x"] == "half":
        return None
    if any(len(each["shape"]) > 32 for each in line.get("inputs", {}).values()):
        return None  # docs/serving.md
    start, brace, rest = body.partition("{")
    name = OTHER_NAMES.get(line["signature"]["x"], line["signature"]["x"])
    return f'{start}{brace}"signature_name": "{name}"{", " if not rest.lstrip().startswith("}") else ""}{rest}'


def nested(values, shape):
    if not shape:
        return next(values)
    return [nested(values, shape[1:]) for _ in range(shape[0])]


def value(recorded, dtype):
    if dtype in ("float", "double"):
        found = float(recorded)
        # JSON has the decimal digits of a float, not the double that it is.
        return float(str(np.float32(found))) if dtype == "float" and math.isfinite(found) else found
    if dtype == "string":
        return recorded.encode("latin-1").decode("utf-8", "surrogateescape")
    return bool(recorded) if dtype == "bool" else recorded


def expected(line):
    if "error" in line:
        code, message = line["error"]
        text = message.encode("latin-1").decode("utf-8", "surrogateescape")
        return {"INVALID_ARGUMENT": 400, "UNIMPLEMENTED": 501}[code], {"error": text}
    (tensor,) = line["inputs"].values()
    values = iter([value(each, tensor["dtype"]) for each in tensor["values"]])
    return 200, {"predictions" if line["format"] == "row" else "outputs": nested(values, tensor["shape"])}


def close(got, wanted):
    """Equal, but for the last digit of decimals."""
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(close, got, wanted))
    if isinstance(wanted, float) and isinstance(got, float):
        return got == wanted or (math.isnan(got) and math.isnan(wanted)) or math.isclose(got, wanted, rel_tol=1e-7)
    return type(got) is type(wanted) and got == wanted


def test_recorded_requests_are_answered_as_they_were(client):
    with gzip.open(RECORDED, "rt") as file:
        lines = [json.loads(line) for line in file]
    asked, different = 0, []
    for line in lines:
        if (body := sent(line)) is None:
            continue
        asked += 1
        status, _, answer = client.ask("POST", ECHO, body.encode("latin-1"))
        found = json.loads(answer.decode("utf-8", "surrogateescape"))
        wanted_status, wanted = expected(line)
        same = found.keys() == wanted.keys() and all(close(found[key], wanted[key]) for key in wanted)
        if (status, same) != (wanted_status, True):
            different.append((body, status, found, wanted_status, wanted))
    assert different == []
    assert asked > 1500
