"""Artifacts of our own, and of Kubeflow. The names carry a dot: a bare type name fails on Kubeflow."""

from tfx.types import artifact, system_artifacts


class Vocabulary(artifact.Artifact):
    """A WordPiece vocabulary and how text becomes words.

    ``vocab.txt`` (a piece a line), ``text.json`` (``models.text.tokenization.TextRules``) and ``report.json``
    (``models.text.wordpiece.Report``).
    """

    TYPE_NAME = "bert.Vocabulary"
    TYPE_ANNOTATION = system_artifacts.Dataset


class BadRecords(artifact.Artifact):
    """Records that were set aside: ``bad_records.csv`` with the columns file, line, reason."""

    TYPE_NAME = "bert.BadRecords"
    TYPE_ANNOTATION = system_artifacts.Dataset


class GateReport(artifact.Artifact):
    """``gate.json``: the splits that were checked, and the anomalies that did not stop the run."""

    TYPE_NAME = "bert.GateReport"
    TYPE_ANNOTATION = system_artifacts.Metrics


class Analysis(artifact.Artifact):
    """What was found inside a model.

    ``metrics.json`` (figures by name), ``arrays.npz`` (of heads and layers), ``sections.json``, ``examples.json``
    (texts that may be shown) and ``analysis.html``.
    """

    TYPE_NAME = "bert.Analysis"
    TYPE_ANNOTATION = system_artifacts.Metrics


class Metrics(artifact.Artifact):
    """Numbers that Kubeflow and Vertex show as a table: the artifact's own custom properties."""

    TYPE_NAME = "system.Metrics"
    TYPE_ANNOTATION = system_artifacts.Metrics


class ClassificationMetrics(artifact.Artifact):
    """A confusion matrix and a ROC curve: the custom properties ``confusionMatrix`` and ``confidenceMetrics``."""

    TYPE_NAME = "system.ClassificationMetrics"
    TYPE_ANNOTATION = system_artifacts.Metrics


class HTML(artifact.Artifact):
    """A page. Its URI names the file itself, not a folder."""

    TYPE_NAME = "system.HTML"


def titles() -> dict[str, str]:
    """Dotted paths of the classes above, by the title of their type in a compiled pipeline."""
    kinds: tuple[type[artifact.Artifact], ...] = (
        Vocabulary,
        BadRecords,
        GateReport,
        Analysis,
        Metrics,
        ClassificationMetrics,
        HTML,
    )
    return {kind.TYPE_NAME: f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
