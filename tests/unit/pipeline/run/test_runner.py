import os
import subprocess
import sys
import tempfile
import threading

import pytest
from apache_beam.runners.portability.job_server import StopOnExitJobServer, SubprocessJobServer
from apache_beam.utils.subprocess_server import pick_port

from configs.environment import Local
from pipeline.run import runner

SERVER = """
import grpc, sys, time
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(1))
server.add_insecure_port(f"localhost:{sys.argv[1]}")
server.start()
time.sleep(600)
"""


class Server(SubprocessJobServer):
    """One of Beam's, but for the program: any gRPC server will do."""

    def __init__(self, port):
        super().__init__()
        self.port = port

    def subprocess_cmd_and_endpoint(self):
        return [sys.executable, "-c", SERVER, str(self.port)], f"localhost:{self.port}"


def test_beams_job_server_ends_with_the_run(tmp_path, monkeypatch):
    begun = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **named: begun.append(popen(*given, **named)) or begun[-1])
    with runner._temporary(tmp_path):
        server = StopOnExitJobServer(Server(*pick_port(None)))
        server.start()
        (process,) = begun
        assert process.poll() is None
        assert tempfile.gettempdir() == str(tmp_path / "tmp") == os.environ["TMPDIR"]
    assert process.poll() is not None
    assert not (tmp_path / "tmp").exists()


def test_ctrl_c_that_beam_wraps_stays_ctrl_c(monkeypatch):
    pressed = threading.Event()

    def run(*_, **__):
        pressed.set()
        raise RuntimeError("KeyboardInterrupt [while running 'Records/Read']")  # as Beam 2.77 writes it

    monkeypatch.setattr(runner.LocalDagRunner, "run", run)
    with pytest.raises(KeyboardInterrupt):
        runner._run(None, Local(), [], [], pressed)
