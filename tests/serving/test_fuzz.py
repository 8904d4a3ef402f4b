"""No request ends the server or brings a 5xx. FUZZ_SECONDS and FUZZ_PROCESSES make it longer, and more at a time."""

import os
import pathlib
import subprocess
import sys

import psutil
import pytest

SECONDS, PROCESSES = os.environ.get("FUZZ_SECONDS", "10"), int(os.environ.get("FUZZ_PROCESSES", "1"))


@pytest.fixture(scope="module")
def client(start, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    config = models.write(folder)
    models.odd(folder / "odd/1")
    models.classifier(folder / "text/1")
    more = [f'config {{ name: "{name}" base_path: "{folder / name}" }}' for name in ("odd", "text")]
    config.write_text(config.read_text().removesuffix("}\n") + "\n".join(more) + "}\n")
    with start(folder, "--config", config, "--metrics", warm=False) as client:
        client.ready()
        yield client


def memory(client):
    """Of the server and what it started, in bytes."""
    server = psutil.Process(client.process.pid)
    return sum(each.memory_info().rss for each in (server, *server.children(recursive=True)))


def test_whatever_is_sent(client):
    script = str(pathlib.Path(__file__).parent / "fuzz.py")
    before = {process.pid for process in psutil.Process(client.process.pid).children(recursive=True)}
    run = [sys.executable, script, client.address]
    subprocess.run([*run, "0", "0"], check=True, timeout=300)  # every rank and size; what grows once has grown
    start = memory(client)
    fuzzers = [
        subprocess.Popen(
            [*run, SECONDS, str(1000 * number)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for number in range(1, PROCESSES + 1)
    ]
    told = [fuzzer.communicate()[0] for fuzzer in fuzzers]
    assert [fuzzer.returncode for fuzzer in fuzzers] == [0] * PROCESSES, "\n".join(told)
    grown = (memory(client) - start) / 2**20
    sys.stdout.write(f"{', '.join(each.strip() for each in told)}; {start / 2**20:.0f} MB, then {grown:+.0f} MB\n")
    assert grown < 200
    # The same processes as before, and they answer right.
    assert {process.pid for process in psutil.Process(client.process.pid).children(recursive=True)} == before
    assert client.post("/v1/models/half_plus_two:predict", {"instances": [2.0]}) == (200, {"predictions": [5.0]})
    status, answer = client.post("/v1/models/text:predict", {"instances": ["a good film"]})
    assert (status, set(answer["predictions"][0])) == (200, {"label", "labels", "score", "scores"})
