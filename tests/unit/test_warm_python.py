"""A fork of the Python that has imported TensorFlow is to its caller what a process of its own would be."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

SLEEPS = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"


def command(*arguments):
    return [os.environ["WARM_PYTHON"], *arguments]


@pytest.mark.parametrize("python", [lambda: sys.executable, lambda: os.environ["WARM_PYTHON"]], ids=["real", "warm"])
def test_arguments_folder_environment_and_files_are_the_callers(python, tmp_path):
    code = """if True:
        import os, sys
        print(sys.argv, os.getcwd(), os.environ["OWN"], "HOME" in os.environ, sys.stdin.read(), __name__)
        print(os.read(int(sys.argv[1]), 9).decode(), file=sys.stderr)
        sys.exit(4)"""
    read, write = os.pipe()
    os.write(write, b"piped")
    ran = subprocess.run(
        [python(), "-P", "-c", code, str(read)],
        cwd=tmp_path,
        env={"OWN": "한글", "PYTHONUTF8": "1"},
        pass_fds=[read],
        input="given",
        capture_output=True,
        text=True,
    )
    os.close(read)
    os.close(write)
    assert ran.returncode == 4
    assert ran.stdout == f"['-c', '{read}'] {tmp_path} 한글 False given __main__\n"
    assert ran.stderr == "piped\n"


def test_tensorflow_is_there_and_nothing_of_ours():
    ours = ("schemas", "configs", "models", "components", "serving", "pipeline")
    code = f"import sys; print('tensorflow' in sys.modules, [name for name in {ours} if name in sys.modules])"
    ran = subprocess.run(command("-P", "-c", code), capture_output=True, text=True)
    assert ran.stdout == "True []\n"


def test_a_module_and_a_file_are_run_as_main(tmp_path):
    (tmp_path / "made.py").write_text("import sys; print(__name__, sys.argv[1:])\n")
    for arguments in (["-m", "made"], ["made.py"]):
        ran = subprocess.run(command(*arguments, "a", "-b"), cwd=tmp_path, capture_output=True, text=True)
        assert ran.stdout == "__main__ ['a', '-b']\n", ran.stderr
    ran = subprocess.run(command("-P", "-m", "made"), cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, "No module named made" in ran.stderr) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_caller_ends_both(number, tmp_path):
    caller = subprocess.Popen(command("-c", SLEEPS), cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert caller.poll() is None
        time.sleep(0.01)
    fork = pathlib.Path("/proc", (tmp_path / "pid").read_text())
    assert fork.exists()
    caller.send_signal(number)
    assert caller.wait() == -number
    while fork.exists():
        time.sleep(0.01)


def test_a_signal_to_the_fork_is_how_the_caller_ends():
    ran = subprocess.run(command("-c", "import os; os.kill(os.getpid(), 9)"))
    assert ran.returncode == -signal.SIGKILL
