"""The versions of the models: found in their folders, loaded, announced, replaced without a gap, unloaded.

A version is unloaded only when another one that is wanted is there, or when none is wanted (TensorFlow Serving's
AvailabilityPreservingPolicy).
"""

import asyncio
import dataclasses
import enum
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.config import ConfigError, ModelConfig
from serving.errors import ApiError, invalid
from serving.process import Lost, Process, Servable

log = logging.getLogger(__name__)

_DRAIN_POLL = 0.02  # seconds
_LOSSES = 3  # of the process, while it loads a version


class State(enum.IntEnum):
    """As in tensorflow/serving's apis/get_model_status.proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(eq=False)
class Version:
    """A version of a model.

    Attributes:
      folder: of its SavedModel.
      state: what is done with it.
      servable: while it is AVAILABLE, and until the last request that it answers is done.
      fault: why it could not be loaded.
      files: what was in the folder then; it is tried again when that changes.
      lost: how often the process ended that held it, or that was loading it.
    """

    folder: Path
    state: State = State.START
    servable: Servable | None = None
    fault: ApiError | None = None
    files: object = None
    lost: int = 0


@dataclasses.dataclass(eq=False)
class _Model:
    config: ModelConfig
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)
    labels: dict[str, int] = dataclasses.field(default_factory=dict)

    def available(self) -> dict[int, Servable]:
        return {
            number: version.servable
            for number, version in self.versions.items()
            if version.state is State.AVAILABLE and version.servable
        }


class Models:
    """All that is served.

    Args:
      configure: reads the configuration; called again at each ``refresh``.
      process: loads and computes.
    """

    def __init__(self, configure: Callable[[], Sequence[ModelConfig]], process: Process) -> None:
        self._configure, self._process = configure, process
        self._models: dict[str, _Model] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self._said: set[str] = set()

    @property
    def names(self) -> list[str]:
        """Of the models, as configured."""
        return list(self._models)

    @property
    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        return bool(self._models) and all(model.available() for model in self._models.values())

    def find(self, name: str, version: int | None = None, label: str | None = None) -> tuple[int, Servable]:
        """The version that answers, and its number.

        Raises:
          ApiError: there is none.
        """
        model = self._models.get(name)
        available = model.available() if model else {}
        if label is not None:
            version = self._labelled(name, label)
        if model and any(each.lost and each.state is State.START for each in model.versions.values()):
            raise Lost
        if version is None:
            if not available:
                raise ApiError("NOT_FOUND", f"Servable not found for request: Latest({name})")
            version = max(available)
        if version not in available:
            raise ApiError("NOT_FOUND", f"Servable not found for request: Specific({name}, {version})")
        return version, available[version]

    def versions(self, name: str, version: int | None = None) -> dict[int, Version]:
        """What is known of the versions of a model, the highest first.

        Raises:
          ApiError: nothing is.
        """
        known = self._models[name].versions if name in self._models else {}
        if version is None:
            if not known:
                raise ApiError("NOT_FOUND", f"Could not find any versions of model {name}")
            return dict(sorted(known.items(), reverse=True))
        if version not in known:
            raise ApiError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return {version: known[version]}

    def lost(self) -> None:
        """The process has ended, and all that it held; the next ``refresh`` loads it again."""
        for model in self._models.values():
            for version in model.versions.values():
                if version.state is State.AVAILABLE:
                    version.servable, version.state, version.lost = None, State.START, 1

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a model that have a version."""
        return dict(self._models[name].labels)

    def _labelled(self, name: str, label: str) -> int:
        labels = self._models[name].labels if name in self._models else {}
        if label not in labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return labels[label]

    async def refresh(self) -> None:
        """Looks at the configuration and the folders once, and does what they ask for."""
        try:
            wanted = {config.name: config for config in self._configure()}
        except ConfigError as error:
            self._say_once(logging.ERROR, f"the model configuration stays as it was: {error}")
            wanted = {name: model.config for name, model in self._models.items()}
        for name in [name for name in self._models if name not in wanted]:
            for number, version in self._models.pop(name).versions.items():
                self._unload(name, number, version)
        for name, config in wanted.items():  # all of them first: the server is ready when each has a version
            self._models.setdefault(name, _Model(config)).config = config
        for name in wanted:
            await self._refresh(name, self._models[name])

    async def _refresh(self, name: str, model: _Model) -> None:
        there = _folders(model.config.base_path)
        if not there:
            self._say_once(logging.WARNING, f"{name}: no versions in {model.config.base_path}")
        chosen = model.config.policy.choose(there)
        for number in sorted(chosen, reverse=True):
            await self._load(name, number, there[number], model)
        kept = chosen & model.available().keys()
        for number, version in model.versions.items():
            if version.state is State.AVAILABLE and number not in chosen and (kept or not chosen):
                self._unload(name, number, version)
        for label, number in model.config.labels.items():
            if number in model.available():
                model.labels[label] = number
            else:
                self._say_once(logging.WARNING, f"{name}: label {label} waits for version {number}")
        for label in model.labels.keys() - model.config.labels.keys():
            del model.labels[label]

    async def _load(self, name: str, number: int, folder: Path, model: _Model) -> None:
        known = model.versions.get(number)
        files = _files(folder)
        if known and known.state is State.AVAILABLE:
            if files != known.files:
                self._say_once(
                    logging.WARNING,
                    f"{name}: version {number} changed on disk; what was loaded is served. Push under a new number",
                )
            return
        if known and known.fault and files == known.files:
            return
        version = model.versions[number] = Version(folder, State.LOADING, files=files)
        started = time.monotonic()
        try:
            servable = Servable(self._process, folder)
            warmed = await servable.load()
        except Lost as error:
            version.lost = 1 + (known.lost if known else 0)
            if version.lost < _LOSSES:  # another model's request may have ended the process
                version.state = State.START
                return
            version.state, version.fault = State.END, error
            log.error("%s: version %d ends the process that loads it; it is not tried again", name, number)
            return
        except ApiError as error:
            version.state, version.fault = State.END, error
            log.error("%s: version %d cannot be loaded: %s", name, number, version.fault)
            return
        version.servable, version.state = servable, State.AVAILABLE
        took = time.monotonic() - started
        log.info("%s: version %d is available, after %.1f s and %d warm-up requests", name, number, took, warmed)

    def _unload(self, name: str, number: int, version: Version) -> None:
        """Hides the version at once; closes it after its last request."""
        if version.servable is None:
            return
        version.state = State.UNLOADING
        task = asyncio.get_running_loop().create_task(self._close(name, number, version))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _close(self, name: str, number: int, version: Version) -> None:
        assert version.servable is not None
        servable = version.servable
        while servable.users:
            await asyncio.sleep(_DRAIN_POLL)
        version.servable = None
        await servable.close()
        version.state = State.END
        log.info("%s: version %d is unloaded", name, number)

    def _say_once(self, level: int, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.log(level, sentence)


def _folders(base_path: Path) -> dict[int, Path]:
    """The numbered folders: file_system_storage_path_source.cc takes every name that is a whole number."""
    try:
        return {int(entry.name): Path(entry.path) for entry in os.scandir(base_path) if _is_number(entry.name)}
    except OSError:
        return {}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _files(folder: Path) -> object:
    """Names, sizes and times: enough to see that something changed."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118 (a thousand files a second)
            except OSError:
                continue
            found.append((place, name, status.st_size, status.st_mtime_ns, status.st_ino))
    return sorted(found)
