"""Artifacts of our own. The names carry a dot: a bare type name fails on Kubeflow."""

from tfx.types import artifact, system_artifacts


class Vocabulary(artifact.Artifact):
    """A WordPiece vocabulary and how text becomes words.

    ``vocab.txt`` (a piece a line), ``text.json`` (``models.text.TextRules``) and ``report.json``
    (``models.wordpiece.Report``).
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
