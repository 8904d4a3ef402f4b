"""The package of its own sources that TFX builds for Beam's workers: only for workers elsewhere.

TFX builds it for each node, in three seconds (``dependency_utils.make_beam_dependency_flags``). Workers of DirectRunner
import the TFX that built it.
"""

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from tfx.utils import dependency_utils

_with_package = dependency_utils.make_beam_dependency_flags


def _flags(given: list[str]) -> list[str]:
    runner = PipelineOptions(given).view_as(StandardOptions).runner
    return given if runner in (None, StandardOptions.DEFAULT_RUNNER) else _with_package(given)


def build_where_needed() -> None:
    """TFX builds no package from here on where the runner is DirectRunner."""
    dependency_utils.make_beam_dependency_flags = _flags
