"""Sends what no client should: python fuzz.py HOST:PORT SECONDS SEED. Ends with 1 where an answer is wrong.

Wrong is no answer, a 5xx other than 501 (a type that JSON cannot carry), and an error without a sentence.
"""

import collections
import gzip
import http.client
import itertools
import json
import pathlib
import sys
import time

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

RECORDED = pathlib.Path(__file__).parents[1] / "data/tfserving_json/requests.jsonl.gz"
MODELS = ("echo", "half_plus_two", "odd", "text")
RANKS = (0, 1, 2, 31, 32, 33, 63, 64, 65, 70)
METHODS = ("predict", "classify", "regress")
WORDS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\0",
    b"\xff",
    b"-",
    b"1",
    b"e9",
    b"NaN",
    b'{"b64":"YQ="}',
    b"\\ud83d",
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["a", {"b64": "YQ=="}, {"b64": "?"}, {}]),
)


@st.composite
def tensors(draw):
    """Of 0 to 70 dimensions, most of them of one element; mostly not ragged."""
    value = draw(LEAVES)
    sizes = draw(st.lists(st.sampled_from([1] * 9 + [0, 2, 3]), max_size=3))
    for size in sizes:
        value = [value] * size
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 29, 30, 31, 32, 33, 60, 61, 62, 63, 64, 65, 70]))):
        value = [value]
    if draw(st.integers(0, 9)) == 0:
        value = [value, draw(LEAVES)]
    return value


@st.composite
def documents(draw, signatures):
    """A request of a form that the server knows."""
    names = draw(st.sampled_from([("x",), ("inputs",), ("text", "number"), ("", "x", 'é"\n', "x" * 3000), ("x\0y",)]))
    value = tensors() | st.fixed_dictionaries({name: tensors() for name in names})
    document = {"signature_name": draw(st.sampled_from(signatures))}
    key = draw(st.sampled_from(["instances", "instances", "inputs", "inputs", "examples"]))
    document[key] = draw(value if key == "inputs" else st.lists(value, max_size=3))
    if draw(st.booleans()):
        document["context"] = draw(value)
    return json.dumps(document).encode()


@st.composite
def mutations(draw, bodies):
    """A recorded body, with a signature that is there, cut and patched."""
    body = draw(st.sampled_from(bodies))
    if draw(st.booleans()):
        name = json.dumps(draw(st.sampled_from(["string", "float32", "int64", "bool"]))).encode()
        body = body.replace(b"{", b'{"signature_name":' + name + b",", 1)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 4)))
        body = body[:start] + draw(st.sampled_from(WORDS) | st.binary(max_size=3)) + body[end:]
    return body


class Server:
    """Keeps its connection."""

    def __init__(self, address):
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self.models_of = collections.defaultdict(list)
        for model in MODELS:
            for name in self._signatures(model):
                self.models_of[name].append(model)
        self.signatures = [*sorted(self.models_of), "", "no"]

    def _signatures(self, model):
        self._connection.request("GET", f"/v1/models/{model}/metadata")
        found = json.loads(self._connection.getresponse().read())
        # What takes its time is for other tests.
        return found["metadata"]["signature_def"]["signature_def"].keys() - {"count_down"}

    def ask(self, model, method, body):
        self._connection.request("POST", f"/v1/models/{model}:{method}", body)
        response = self._connection.getresponse()
        answer = response.read().decode("utf-8", "surrogateescape")
        assert response.status in (200, 400, 501), (response.status, answer)
        assert ("error" in json.loads(answer)) == (response.status != 200), answer


def sweep(server):
    """Every signature with tensors of every kind of leaf, rank and size."""
    cases = itertools.product(list(server.models_of), ("x", "inputs"), ("a", 1.5, True), RANKS, ([1], [0], [1, 0]))
    for signature, name, leaf, rank, sizes in cases:
        value = leaf
        for size in reversed(sizes):
            value = [value] * size
        for _ in range(rank - len(sizes)):
            value = [value]
        for document in ({"instances": [value]}, {"inputs": {name: value}}):
            body = json.dumps({"signature_name": signature, **document}).encode()
            for model in server.models_of[signature]:
                server.ask(model, "predict", body)


def run(address, seconds, first):
    """Rounds of a hundred requests until the time is over."""
    end = time.monotonic() + seconds
    server = Server(address)
    if first == 0:
        sweep(server)
    with gzip.open(RECORDED, "rt") as file:
        bodies = [json.loads(line)["body"].encode("latin-1") for line in file]
    anything = documents(server.signatures) | mutations(bodies)
    count = 0
    for number in itertools.count(first):

        @seed(number)
        @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(MODELS), st.sampled_from(METHODS), anything)
        def ask(model, method, body):
            nonlocal count
            count += 1
            server.ask(model, method, body)

        ask()
        if time.monotonic() > end:
            break
    sys.stdout.write(f"{count} requests\n")


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
