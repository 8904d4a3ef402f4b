"""Validates a document against its pydantic model. Each fault is a sentence with line, value and allowed values."""

import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails
from rapidfuzz import process
from rapidfuzz.distance import OSA

from configs.base import NAME, RANGE, ConfigError
from configs.yaml.document import Document, Key, spell

Model = TypeVar("Model", bound=pydantic.BaseModel)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a section (KEY: VALUE)",
    "model_type": "a section (KEY: VALUE)",
    "model_attributes_type": "a section (KEY: VALUE)",
}
_LIMITS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}
_PATTERNS = {
    NAME: "takes lower-case letters, digits, - and _, at most 63",
    RANGE.pattern: "takes a comparison with a number, such as '< -0.5'",
}


def validate(
    model: type[Model], document: Document, ignore: tuple[tuple[Key, ...], ...] = ()
) -> tuple[Model | None, list[str]]:
    """``document`` as ``model``, or the sentences that say why not.

    Args:
      model: refuses unknown keys.
      document: what was read.
      ignore: sections whose faults are not reported.
    """
    try:
        return model.model_validate(document.values), []
    except pydantic.ValidationError as error:
        faults = list(_faults(error, document.values))
    suggested = {(*path[:-1], _nearest(path, model)) for path, fault in faults if fault["type"] == "extra_forbidden"}
    complaints: dict[tuple[Key, ...], str] = {}
    for path, fault in faults:
        if fault["type"] == "missing" and path in suggested:  # the misspelt key is reported already
            continue
        if any(path[: len(section)] == section for section in ignore):
            continue
        complaints.setdefault(path, document.complain(path, _sentence(path, fault, model)))
    return None, list(complaints.values())


def nearest(word: str, allowed: list[str]) -> str | None:
    """The closest allowed word; None if none is close."""
    longer = [name for name in allowed if len(word) > 2 and name.startswith(word.lower())]
    # Count two swapped letters as one typo.
    similar = OSA.normalized_similarity
    found = process.extractOne(word.lower(), longer or allowed, scorer=similar, score_cutoff=0 if longer else 0.6)
    return found[0] if found else None


def shown(value: Any) -> str:
    """``value`` as YAML would write it, at most 60 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= 60 else text[:59] + "…"
    return f"'{text}'" if isinstance(value, str) else text


def raise_all(complaints: list[str]) -> None:
    """Raises one ConfigError with all of ``complaints``, a line each, in the order of the file."""
    if complaints:
        raise ConfigError("\n".join(sorted(complaints, key=_line)))


def _line(complaint: str) -> int:
    found = re.match(r"\S+:(\d+) ", complaint)
    return int(found[1]) if found else 0


def _faults(error: pydantic.ValidationError, values: Any) -> Iterator[tuple[tuple[Key, ...], ErrorDetails]]:
    """Each fault with its path in the YAML; pydantic's locations also name the branches of unions."""
    faults = [(_path(fault, values), fault) for fault in error.errors(include_url=False)]
    for path, fault in faults:
        below = [other for other, each in faults if each is not fault and other[: len(path)] == path]
        if (
            fault["type"] in _EXPECTED
            and isinstance(fault["input"], dict)
            and any(len(each) > len(path) for each in below)
        ):
            continue  # the section's own fault says more
        if fault["type"] == "literal_error" and not isinstance(fault["input"], str) and below:
            continue  # no word was given; what it is instead has a fault of its own
        yield path, fault


def _path(fault: ErrorDetails, values: Any) -> tuple[Key, ...]:
    path: list[Key] = []
    for number, key in enumerate(fault["loc"], start=1):
        missing = fault["type"] == "missing" and number == len(fault["loc"])
        if isinstance(values, dict) and (key in values or missing):
            path.append(key)
            values = values.get(key)
        elif isinstance(values, list) and isinstance(key, int) and key < len(values):
            path.append(key)
            values = values[key]
    return tuple(path)


def _sentence(path: tuple[Key, ...], fault: ErrorDetails, model: type[pydantic.BaseModel]) -> str:
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, model)
    if kind == "missing":
        return "missing"
    if kind in _EXPECTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(given, int | float) else ""
        return f"expected {_EXPECTED[kind]}, received {shown(given)}{quotes}"
    if kind in _LIMITS:
        name, rule = _LIMITS[kind]
        return f"{rule} {context[name]}, received {shown(given)}"
    if kind == "literal_error":
        return one_of(given, [str(allowed) for allowed in _literals(path, model)] or [context["expected"]])
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(context['pattern'], 'must match ' + context['pattern'])}, received {shown(given)}"
    if kind == "too_short":
        return f"needs at least {context['min_length']} entries, received {shown(given)}"
    if kind == "value_error":
        return str(context["error"])
    return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}, received {shown(given)}"


def one_of(received: Any, allowed: list[str]) -> str:
    """``allowed a|b, received 'c', did you mean …?``."""
    close = nearest(received, allowed) if isinstance(received, str) else None
    return f"allowed {'|'.join(allowed)}, received {shown(received)}" + (f", did you mean {close}?" if close else "")


def _unknown(path: tuple[Key, ...], model: type[pydantic.BaseModel]) -> str:
    key = str(path[-1])
    close = _nearest(path, model)
    if close:
        return f"unknown key, did you mean {close}?"
    homes = [spell(section) for section, fields in _sections(model) if key in fields]
    if homes:
        return f"unknown key here; {key} stands in {' or '.join(homes)}"
    section = _section(path[:-1], model)
    return f"unknown key, allowed {', '.join(_fields(section)) if section else 'none'}"


def _nearest(path: tuple[Key, ...], model: type[pydantic.BaseModel]) -> str | None:
    section = _section(path[:-1], model)
    return nearest(str(path[-1]), list(_fields(section))) if section else None


def _fields(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """Annotations by the key that a person writes."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _section(path: tuple[Key, ...], model: type[pydantic.BaseModel]) -> type[pydantic.BaseModel] | None:
    """The model of the section at ``path``."""
    found: Any = model
    for key in path:
        if isinstance(key, str):
            found = _below(found, key)
    return next(_models(found), None)


def _below(annotation: Any, key: str) -> Any:
    """The annotation at ``key``: a field of a section, or a value of a mapping with free keys."""
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return _fields(annotation).get(key)
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) in (dict, Mapping):
        return inner[1]
    return next((found for each in inner if (found := _below(each, key)) is not None), None)


def _sections(
    model: type[pydantic.BaseModel], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every section with its keys."""
    fields = _fields(model)
    yield path, fields
    for key, annotation in fields.items():
        for below in _models(annotation):
            yield from _sections(below, (*path, key))


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """The models inside an annotation such as ``list[Replacement] | None``."""
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _literals(path: tuple[Key, ...], model: type[pydantic.BaseModel]) -> list[Any]:
    """The words that the field at ``path`` allows."""
    words = [key for key in path if isinstance(key, str)]
    section = _section(tuple(words[:-1]), model)

    def inside(annotation: Any) -> Iterator[Any]:
        if typing.get_origin(annotation) is typing.Literal:
            yield from typing.get_args(annotation)
        else:
            for inner in typing.get_args(annotation):
                yield from inside(inner)

    return list(inside(_fields(section).get(words[-1]))) if section and words else []
