"""The versions of a pushed model, as TF Serving sees them: folders whose names are whole numbers."""

import pathlib


def model_of(version: str) -> str | None:
    """``models.export.identity``'s digest of a pushed version; None where it holds no model that is whole."""
    from components.storage import files
    from models.export import identity

    with files.opened(version) as folder:
        return identity.of_whole(folder)


def versions(folder: str | pathlib.Path) -> list[int]:
    """The versions that a server may load, oldest first; none where there is no such folder.

    Args:
      folder: on this machine, or an address such as ``s3://bucket/models/reviews``. There a version that is still being
        written has a name already, so one counts when ``components.deploy.pusher`` is through with it.
    """
    if "://" not in str(folder):
        return sorted(int(path.name) for path in pathlib.Path(folder).glob("[0-9]*") if path.name.isdigit())
    from components.storage.files import fileio

    names = [name.rstrip("/") for name in fileio.listdir(folder)] if fileio.isdir(folder) else []
    whole = [name for name in names if name.isdigit() and fileio.exists(f"{folder}/{name}/saved_model.pb")]
    return sorted(map(int, whole))
