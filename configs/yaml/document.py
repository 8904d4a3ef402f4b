"""Reads YAML 1.2 and keeps the line of every value, so that an error can name it."""

import dataclasses
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from configs.base import ConfigError

Key = str | int
_HINTS = {
    "found character '\\t' that cannot start any token": "indent with blanks, not with tabs",
    "mapping values are not allowed here": "text that contains ': ' stands in quotes",
    "expected a single document in the stream": "one experiment a file: remove the line '---'",
}


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2 (chapter 10.3): ``3e-5`` is a number, ``no`` is a word, ``010`` is ten."""

    yaml_implicit_resolvers = {}


_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _NUMBER + r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+0123456789.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0 if text[:2] in ("0x", "0o") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


@dataclasses.dataclass
class Document:
    """The content of a YAML file.

    Attributes:
      file: the path as the person wrote it.
      values: nested dicts and lists. Keys without a value are left out.
      places: ``file:line`` or ``--set …`` of each path into ``values``.
    """

    file: Path
    values: dict[str, Any]
    places: dict[tuple[Key, ...], str]

    def place(self, path: tuple[Key, ...]) -> str:
        """``file:line`` of ``path``, or of the closest section around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, str(self.file))

    def complain(self, path: tuple[Key, ...], sentence: str) -> str:
        """One error: ``reviews.yaml:12 $.train.epochs: …``."""
        return f"{self.place(path)} {spell(path)}: {sentence}"

    def override(self, assignment: str) -> None:
        """Applies ``a.b=c``; ``c`` is YAML, and nothing after ``=`` takes the key away.

        Raises:
          ConfigError: there is no ``=``, or the path leads into a value that is no section.
        """
        name, equals, text = assignment.partition("=")
        *parents, last = name.split(".")
        if not equals or not all([*parents, last]):
            raise ConfigError(f"--set takes KEY.KEY=VALUE, such as train.batch_size=64. Received: {assignment!r}")
        place = f"--set {assignment}"
        try:
            value = yaml.load(text, _Loader)
        except yaml.YAMLError:
            raise ConfigError(f"{place}: the value is not YAML; text with brackets or ': ' stands in quotes") from None
        node: Any = self.values
        path: tuple[Key, ...] = ()
        for key in parents:
            path += (_step(node, key, place),)
            if isinstance(node, dict) and key not in node:
                node[key] = {}
                self.places[path] = place
            node = node[path[-1]]
        path += (_step(node, last, place),)
        if value is None and isinstance(node, dict):
            node.pop(last, None)
        else:
            node[path[-1]] = value
        self.places = {known: where for known, where in self.places.items() if known[: len(path)] != path}
        self.places[path] = place


def spell(path: tuple[Key, ...]) -> str:
    """``$.text.replace[0].pattern``."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


class _Dumper(yaml.SafeDumper):
    """Quotes what ``_Loader`` would not read back as text."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Unicode's line ends are YAML 1.1's too, and would be read back as a space: between double quotes, escaped."""
        style = '"' if any(letter in text for letter in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


def write(values: dict[str, Any]) -> str:
    """``values`` as YAML that ``read`` gives back unchanged."""
    return yaml.dump(values, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)


def inline(value: Any) -> str:
    """``value`` on one line: ``{path: reviews.csv}``."""
    text = yaml.dump(
        value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=math.inf, default_flow_style=True
    )
    return str(text).removesuffix("\n").removesuffix("\n...")


def read(file: Path) -> Document:
    """Reads one YAML document: UTF-8 with or without a BOM, any line ends.

    Raises:
      ConfigError: no such file, not UTF-8, not YAML, a key twice, or not a mapping.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{file}:{line} is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        ) from None
    try:
        return _parsed(text, file)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or "cannot be read"
        hint = _HINTS.get(problem) or _HINTS.get(error.context or "", "")
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise ConfigError(f"{where} is not YAML: {problem}" + (f" ({hint})" if hint else "")) from None
    except yaml.reader.ReaderError as error:
        line, character = text[: error.position].count("\n") + 1, ord(text[error.position])
        raise ConfigError(f"{file}:{line} holds the control character 0x{character:02x}; remove it") from None
    except RecursionError:
        raise ConfigError(f"{file}: an alias (*name) stands inside the value that it repeats") from None


def _parsed(text: str, file: Path) -> Document:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{file} is empty")
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{file}:{node.start_mark.line + 1}: expected keys, such as 'name: reviews'")
        repeated = _repeated(node, file)
        if repeated:
            raise ConfigError("\n".join(repeated))
        places = _places(node, file)
        return Document(file, _without_nulls(loader.construct_document(node)), places)
    finally:
        loader.dispose()


def _step(node: Any, key: str, place: str) -> Key:
    """``key`` as it indexes ``node``."""
    if isinstance(node, dict):
        return key
    if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        return int(key)
    what = f"a list of {len(node)}" if isinstance(node, list) else f"{node!r:.60}"
    raise ConfigError(f"{place}: there is no {key!r} in {what}")


def _repeated(node: yaml.Node, file: Path, path: tuple[Key, ...] = ()) -> list[str]:
    """A sentence for each duplicate key. PyYAML would silently keep the last one."""
    complaints = []
    seen: dict[Hashable, int] = {}
    for key, child in _children(node):
        if isinstance(key, yaml.Node):
            line = key.start_mark.line + 1
            if key.value in seen:
                complaints.append(
                    f"{file}:{line} {spell((*path, key.value))}: stands twice, first on line {seen[key.value]}"
                )
            seen.setdefault(key.value, line)
        complaints += _repeated(child, file, (*path, key if isinstance(key, int) else key.value))
    return complaints


def _places(node: yaml.Node, file: Path, path: tuple[Key, ...] = ()) -> dict[tuple[Key, ...], str]:
    places = {}
    for key, child in _children(node):
        below = (*path, key if isinstance(key, int) else key.value)
        places[below] = f"{file}:{(child if isinstance(key, int) else key).start_mark.line + 1}"
        places |= _places(child, file, below)
    return places


def _children(node: yaml.Node) -> list[tuple[Any, yaml.Node]]:
    """Pairs of key node (or index) and value node."""
    if isinstance(node, yaml.MappingNode):
        # A key that is itself a list or a mapping has no text; constructing the document refuses it.
        return [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    return list(enumerate(node.value)) if isinstance(node, yaml.SequenceNode) else []


def _without_nulls(value: Any) -> Any:
    """Drops keys without a value: ``epochs:`` alone means the default."""
    if isinstance(value, dict):
        return {key: _without_nulls(below) for key, below in value.items() if below is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def near(path: Path) -> Path:
    """``path`` relative to the current folder, if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
