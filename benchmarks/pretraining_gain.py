"""What pretraining buys: the same fine-tuning with and without it, over seeds, by whole runs of the pipeline.

    python -m benchmarks.pretraining_gain [EXPERIMENT] [--seeds 3] [--set KEY=VALUE …]

The second arm leaves out the corpus and the pretraining and keeps everything else: the checkpoint, or, where the
vocabulary is learned, the first arm's vocabulary. The figure is the Evaluator's headline, on the test split. Finished
runs stay in build/pretraining_gain.jsonl; one is measured again when settings or source change. Seconds of a run that
was cut off and resumed count what was left to do.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks import pipeline, runs
from benchmarks.measure import BUILD, Results, mean_sd, spread, table
from components import digest
from configs.experiment import Experiment
from configs.text import Vocabulary
from pipeline import loader

WORK = BUILD / "pretraining_gain"
ARMS = ("with", "without")


def without(experiment: Experiment, vocabulary: Path) -> Experiment:
    """The experiment with nothing to pretrain on, and the vocabulary at hand instead of a learned one."""
    plain = runs.task_only(experiment, f"{experiment.name}-without")
    if experiment.vocabulary is None:
        return plain
    given = Vocabulary(path=str(vocabulary), reserve=experiment.vocabulary.reserve)
    return plain.model_copy(update={"vocabulary": given})


def measure(results: Results, experiment: Experiment, arm: str, records: str) -> dict[str, Any]:
    """One run, or what an earlier one found."""
    source = digest.of_source("components.train.trainer", "components.train.pretrainer", "components.data.transform")
    settings = experiment.dump()
    settings.pop("vocabulary", None)  # the second arm's is a path; it depends on the first arm's settings
    key = {"arm": arm, "experiment": settings, "records": records, "source": source}
    if found := results.find(key):
        return found
    done = pipeline.run([str(runs.saved(experiment, WORK))], WORK / arm)
    summaries = {node.node: node.summary for node in done.result.nodes}
    trainers = [node.cost for name, node in done.nodes.items() if name in pipeline.TRAINERS]
    return results.add(
        key,
        headline=next(iter(done.result.metrics.items())),
        cpu=sum(cost.cpu for cost in trainers),
        wall=sum(cost.wall for cost in trainers),
        pretrained=summaries.get("Pretrainer", ""),
    )


def main() -> None:
    """Runs what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="from_scratch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    given = loader.load(options.experiment, options.overrides)
    assert given.task is not None and given.corpus is not None
    records = digest.of_files([*given.task.data.path, *given.corpus.path])
    results = Results("pretraining_gain")
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for seed in range(1, options.seeds + 1):
        pretrained = given.model_copy(update={"seed": seed})
        found["with"].append(measure(results, pretrained, "with", records))
        learned = runs.artifact(WORK / "with" / given.name, "VocabularyGen", "vocabulary") / "vocab.txt"
        found["without"].append(measure(results, without(pretrained, learned), "without", records))
    name = found["with"][0]["headline"][0]
    figures = {arm: [each["headline"][1] for each in mine] for arm, mine in found.items()}
    gains = [100 * (a - b) for a, b in zip(*figures.values(), strict=True)]
    rows = [
        (
            f"{arm} pretraining",
            mean_sd(figures[arm]),
            spread([each["cpu"] for each in mine], 0),
            spread([each["wall"] for each in mine], 0),
        )
        for arm, mine in found.items()
    ]
    table(
        f"{options.experiment}: test {name} over {options.seeds} seeds, mean ± sd; seconds of the trainers",
        ("", name, "CPU s", "wall s"),
        rows,
        [
            f"gain, paired: {mean_sd(gains, 2)} points; each seed: {', '.join(f'{gain:+.2f}' for gain in gains)}",
            f"median {statistics.median(gains):+.2f}",
            *(f"seed {seed}: {each['pretrained']}" for seed, each in enumerate(found["with"], start=1)),
        ],
    )


if __name__ == "__main__":
    main()
