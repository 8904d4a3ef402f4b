"""Figures for Prometheus, under TensorFlow Serving's names.

Those of its servables/tensorflow/util.cc, written as by its util/prometheus_exporter.cc.
"""

import bisect
import collections
from collections.abc import Iterator, Sequence

Labels = tuple[tuple[str, str], ...]

# monitoring::Buckets::Exponential(10, 1.8, 33), microseconds; and (1, 2, 15), examples.
_MICROSECONDS = [10 * 1.8**power for power in range(33)]
_EXAMPLES = [2.0**power for power in range(15)]


class _Histogram:
    """Counts by upper bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_right(self.bounds, value)] += 1
        self.sum += value


class Metrics:
    """What was asked and how long it took. On the event loop only."""

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, Labels]] = collections.Counter()
        self._histograms: dict[tuple[str, Labels], _Histogram] = {}
        self._counts["compute_process_restarts", ()] = 0

    def request(self, model: str, method: str, code: str, seconds: float) -> None:
        """A request to a model was answered.

        Args:
          model: its name in the URL.
          method: ``predict``, ``classify`` or ``regress``.
          code: canonical, ``OK`` for a result.
          seconds: it took.
        """
        self._counts["request_count", (("model_name", model), ("status", code))] += 1
        if code == "OK":
            labels = (("model_name", model), ("API", method), ("entrypoint", "REST"))
            self._add("request_latency", labels, seconds * 1e6, _MICROSECONDS)

    def runtime(self, model: str, method: str, seconds: float) -> None:
        """A model computed, or waited to."""
        labels = (("model_name", model), ("API", method.capitalize()), ("runtime", "TF1"))
        self._add("runtime_latency", labels, seconds * 1e6, _MICROSECONDS)

    def examples(self, model: str, count: int) -> None:
        """A classify or regress request held so many."""
        self._counts["request_example_count_total", (("model", model),)] += count
        self._add("request_example_counts", (("model", model),), count, _EXAMPLES)

    def restart(self) -> None:
        """The process that computes ended, and is started again."""
        self._counts["compute_process_restarts", ()] += 1

    def _add(self, name: str, labels: Labels, value: float, bounds: Sequence[float]) -> None:
        histogram = self._histograms.get((name, labels))
        if histogram is None:
            histogram = self._histograms[name, labels] = _Histogram(bounds)
        histogram.add(value)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        lines: list[str] = []
        for name in sorted({name for name, _ in (*self._counts, *self._histograms)}):
            scalar = any(name == each for each, _ in self._counts)
            lines.append(f"# TYPE :tensorflow:serving:{name} {'counter' if scalar else 'histogram'}")
            lines += self._scalars(name) if scalar else self._buckets(name)
        return ("\n".join(lines) + "\n").encode()

    def _scalars(self, name: str) -> Iterator[str]:
        for (each, labels), value in sorted(self._counts.items()):
            if each == name:
                yield f":tensorflow:serving:{name}{{{_written(labels)}}} {value}"

    def _buckets(self, name: str) -> Iterator[str]:
        full = f":tensorflow:serving:{name}"
        for (each, labels), histogram in sorted(self._histograms.items(), key=lambda item: item[0]):
            if each != name:
                continue
            total = 0
            for bound, count in zip([*histogram.bounds, None], histogram.counts, strict=True):
                total += count
                limit = "+Inf" if bound is None else f"{bound:.6g}"
                yield f'{full}_bucket{{{_written(labels)},le="{limit}"}} {total}'
            yield f"{full}_sum{{{_written(labels)}}} {histogram.sum:.6g}"
            yield f"{full}_count{{{_written(labels)}}} {total}"


def _written(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
