"""A check by hand, minutes long: ``kill -9`` during each node in turn, then one run that must go through.

    python tests/e2e/kill_each_node.py FOLDER     # with tiny.yaml and its data: tests.e2e.tiny.write

Each attempt is killed a moment after its nth node is done: inside the node that follows, or behind it if that is short.
"""

import itertools
import pathlib
import subprocess
import sys
import time

COMMAND = [str(pathlib.Path(sys.executable).parent / "tfx-bert"), "run", "tiny.yaml", "--set", "name=victim"]
MOMENT = 0.3  # seconds into the node: nodes take from 0.05 to 13


def main(folder: str) -> int:
    """The exit code of the run that nobody killed."""
    for done in itertools.count():
        process = subprocess.Popen(COMMAND, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        seen = ["the imports"]
        while len(seen) <= done and (line := process.stdout.readline()):
            if line.startswith("✓"):
                seen.append(line.split()[1])
        time.sleep(MOMENT)
        if process.poll() is not None:
            return process.returncode
        process.kill()
        rest = process.communicate()[0]
        if any(line.startswith(("✗", "BLESSED", "NOT")) for line in rest.splitlines()):
            sys.stdout.write(rest)
            return process.returncode if "BLESSED" not in rest else 0
        sys.stdout.write(f"killed behind {seen[-1]}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
