"""``tfx-bert init`` and ``check`` as a person types them, and files that they read."""

import csv

from click.testing import CliRunner

from pipeline import cli

ENGLISH = [
    ("the plot of this film is as good as it was in the book", "good"),
    ("it is a bad film and the end is not for me", "bad"),
]
KOREAN = [("정말 재미있는 영화였어요 또 보고 싶습니다", "긍정"), ("너무 지루해서 졸았습니다 돈이 아까워요", "부정")]


def init(*arguments, code=0):
    result = CliRunner().invoke(cli.main, ["init", "--data", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def checked(*arguments, code=0):
    result = CliRunner().invoke(cli.main, ["check", *arguments])
    # The starting checkpoint is not among these files.
    assert result.exit_code in (code, 2 * (code == 0)), result.output
    return result.output


def table(path, rows, header=("id", "text", "label"), encoding="utf-8", delimiter=","):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *((str(n), *row) for n, row in enumerate(rows))])
    return path
