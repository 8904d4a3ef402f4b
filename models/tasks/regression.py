"""A number for one text or for a pair, such as STS-B's 0 to 5: a linear layer over the pooled [CLS]."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from models import task
from models.figures import Figures
from models.judging import baseline_answers
from models.pooled_task import Pooled, PooledTask


class Config(Pooled):
    """The task's own keys.

    Attributes:
      max_length, dropout, pooling: as above.
      threshold: numbers from here on are positive, for the figure ``f1``; none where left out.
    """

    threshold: float | None = None


class Task(PooledTask):
    """One number for one text, or for two."""

    schema = "regression"
    head = "regression"
    answers = ("value",)
    targets = ("target",)
    metrics = (
        task.Metric("pearson"),
        task.Metric("spearman"),
        task.Metric("mse", better="lower"),
        task.Metric("mae", better="lower"),
    )
    baselines = ("mean", "tfidf")
    layer = "regressor"
    taught = "value"
    explains = True

    def __init__(self, config: Config | Mapping[str, Any]) -> None:
        self.config: Config = config if isinstance(config, Config) else Config.model_validate(dict(config))

    @property
    @override
    def width(self) -> int:
        return 1

    @override
    def target(self, record: task.Tensors) -> dict[str, Any]:
        """``target`` float32 (B,)."""
        return {"target": record["label"]}

    @override
    def loss(self, outputs: task.Tensors, batch: task.Tensors) -> Any:
        """Mean squared error."""
        import tensorflow as tf

        from models.training import replicas

        return replicas.mean(tf.square(outputs["logits"][:, 0] - batch["target"]))

    @override
    def soft_loss(self, outputs: task.Tensors, answers: Any, temperature: float) -> Any:
        """Squared difference of the numbers."""
        del temperature
        import tensorflow as tf

        return tf.square(outputs["logits"][:, 0] - answers[:, 0])

    @override
    def answer(self, outputs: task.Tensors, features: task.Tensors, record: task.Tensors) -> dict[str, Any]:
        """``value`` float32 (B,)."""
        del features, record
        return {"value": outputs["logits"][:, 0]}

    @override
    def explained(self, outputs: task.Tensors) -> Any:
        """The number."""
        return outputs["logits"]

    @property
    @override
    def row_metric_names(self) -> tuple[str, ...]:
        """The right number, and the answer."""
        return ("target", "value")

    @override
    def row_metrics(self, answer: Mapping[str, np.ndarray], record: Mapping[str, np.ndarray]) -> list[float]:
        return [record["label"].item(), answer["value"].item()]

    @override
    def headline(self, rows: np.ndarray) -> float:
        """``pearson``."""
        return pearson(rows)

    @override
    def figures(self, rows: np.ndarray) -> Figures:
        """``pearson`` and ``spearman``, correlations of answers and right numbers; ``mse`` and ``mae``, mean errors.

        With ``threshold`` also ``f1``, of the answers from there on, as KLUE has it for STS.
        """
        values = {"pearson": self.headline(rows), "spearman": spearman(rows), **_errors(rows)}
        if self.config.threshold is not None:
            from sklearn import metrics

            right, answered = (rows >= self.config.threshold).T
            values["f1"] = float(metrics.f1_score(right, answered, zero_division=0)) if len(rows) else math.nan
        return Figures(values)

    @override
    def baseline(self, name: str, train: Sequence[task.Record], test: Sequence[task.Record]) -> task.Answers:
        if name == "mean":
            return baseline_answers.mean(train, test)
        if name == "tfidf":
            return baseline_answers.ridge(train, test)
        return super().baseline(name, train, test)

    @override
    def wrong(self, row: np.ndarray) -> float:
        """How far the answer is off."""
        return float(abs(row[1] - row[0]))

    @override
    def expected(self, record: Mapping[str, np.ndarray]) -> str:
        """The number."""
        return task.brief(record["label"].item())

    @override
    def summarize(self, answer: Mapping[str, np.ndarray]) -> str:
        """The number."""
        return task.brief(answer["value"].item())

    @override
    def to_row(self, answer: Mapping[str, np.ndarray]) -> dict[str, str | int | float]:
        """``value``."""
        return {"value": task.decimal(answer["value"])}


def pearson(rows: np.ndarray) -> float:
    """Pearson's correlation of the columns of ``rows`` (N, 2); NaN where one of them does not vary."""
    from scipy import stats

    return math.nan if _constant(rows) else float(stats.pearsonr(*rows.T).statistic)


def spearman(rows: np.ndarray) -> float:
    """Spearman's correlation of the columns of ``rows`` (N, 2); NaN where one of them does not vary."""
    from scipy import stats

    return math.nan if _constant(rows) else float(stats.spearmanr(*rows.T).statistic)


def _constant(rows: np.ndarray) -> bool:
    return len(rows) < 2 or bool((rows == rows[0]).all(axis=0).any())


def _errors(rows: np.ndarray) -> dict[str, float]:
    errors = rows[:, 1] - rows[:, 0]
    if not len(rows):
        return {"mse": math.nan, "mae": math.nan}
    return {"mse": float(np.square(errors).mean()), "mae": float(np.abs(errors).mean())}
