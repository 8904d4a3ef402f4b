"""The versions of a pushed model, as TF Serving sees them: folders whose names are whole numbers."""

import pathlib


def versions(folder: pathlib.Path) -> list[int]:
    """The versions that a server may load, oldest first; none where there is no such folder."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())
