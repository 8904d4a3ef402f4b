"""What every section of the YAML is made of: frozen models that refuse unknown keys, and common types."""

import re
from typing import Annotated

import pydantic
from pydantic import BeforeValidator, Field


class ConfigError(ValueError):
    """The configuration is at fault: the place (``file:line``, ``$.path``), what was given, what is allowed. Exit 2."""


def _integral(value: object) -> object:
    """``2e9`` is a count too, though YAML reads it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: object) -> object:
    """One item may stand without brackets."""
    return value if isinstance(value, list) else [value]


Count = Annotated[int, BeforeValidator(_integral), Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Paths = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Columns = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
# What a model is asked: as a line of `tfx-bert predict`, or by the columns of its records.
Asked = Annotated[list[str | dict[str, str]], BeforeValidator(_listed), Field(max_length=20)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]
# Of a number, in ``LabelRanges``.
RANGE = re.compile(r"^(<=|<|>=|>)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)$")


class Section(pydantic.BaseModel):
    """A part of the YAML."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
