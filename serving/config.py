"""What is served from where: TensorFlow Serving's own model configuration, as flags or as a file in its text format."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """A flag or a file that cannot be used; the text says what, where, and what is allowed."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which of the versions in the folder are served.

    Attributes:
      latest: so many of the highest ones; None: see the others.
      specific: these; empty with ``latest`` None: all of them.
    """

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    def choose(self, there: Iterable[int]) -> set[int]:
        """The versions to serve out of ``versions``."""
        if self.latest is not None:
            return set(sorted(there)[-self.latest :])
        return set(there) & self.specific if self.specific else set(there)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model.

    Attributes:
      name: in the URL.
      base_path: the folder above the numbered versions.
      policy: which of them.
      labels: names for versions, in the URL too.
    """

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


def of_flag(text: str) -> ModelConfig:
    """``NAME=DIR``.

    Raises:
      ConfigError: it is not, or DIR is no folder.
    """
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ConfigError(f"--model takes NAME=DIR, DIR being the folder above the numbered versions. Received: {text}")
    return _checked(ModelConfig(name, Path(folder)), "--model")


def read(path: Path) -> list[ModelConfig]:
    """A model config file: the text format of ``tensorflow.serving.ModelServerConfig``.

    Raises:
      ConfigError: it cannot be read, or says what this server does not do.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        config = text_format.Parse(path.read_text("utf-8"), model_server_config_pb2.ModelServerConfig())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if config.WhichOneof("config") != "model_config_list":
        raise ConfigError(f"{path}: a model_config_list is expected. Received: {config.WhichOneof('config')}")
    found = [_of_proto(each, path) for each in config.model_config_list.config]
    names = [model.name for model in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{path}: each model has a name of its own. Twice: {', '.join(sorted(twice))}")
    if not found:
        raise ConfigError(f"{path}: no model is configured")
    return found


def _of_proto(given: Any, path: Path) -> ModelConfig:
    if given.model_platform not in ("tensorflow", ""):
        raise ConfigError(
            f'{path}: {given.name}: model_platform must be "tensorflow". Received: {given.model_platform}'
        )
    kind = given.model_version_policy.WhichOneof("policy_choice")
    policy = Policy()
    if kind == "latest":
        policy = Policy(latest=given.model_version_policy.latest.num_versions or 1)
    elif kind == "all":
        policy = Policy(latest=None)
    elif kind == "specific":
        wanted = frozenset(given.model_version_policy.specific.versions)
        if not wanted:
            raise ConfigError(f"{path}: {given.name}: specific names no versions")
        policy = Policy(latest=None, specific=wanted)
    model = ModelConfig(given.name, Path(given.base_path), policy, dict(given.version_labels))
    return _checked(model, str(path))


def _checked(model: ModelConfig, where: str) -> ModelConfig:
    if not model.name or "/" in model.name or ":" in model.name:
        raise ConfigError(f"{where}: a model's name must stand in a URL: no / and no :. Received: {model.name!r}")
    if not model.base_path.is_dir():
        raise ConfigError(f"{where}: {model.name}: {model.base_path} is no folder")
    return model
