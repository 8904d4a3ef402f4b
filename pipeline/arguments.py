"""Options that several commands of ``tfx-bert`` have, and the types of their values."""

from pathlib import Path
from typing import Any

import click
from typing_extensions import override


def encoding(_context: click.Context, _option: click.Parameter, name: str | None) -> Any:
    """The Python name of an encoding; a sentence if there is none."""
    from configs.encoding import encoding_name

    try:
        return encoding_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


environment = click.option(
    "--env", default="local", metavar="NAME|FILE", help="Where to run: a name in configs/environments/, or a YAML file."
)
File = click.Path(exists=True, dir_okay=False, path_type=Path)


class FileOrAddress(click.Path):
    """A file, or one in a bucket, of which nothing is asked before it is read."""

    @override
    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


Folder = click.Path(exists=True, file_okay=False, path_type=Path)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value: --set train.batch_size=64. Repeatable.",
)
