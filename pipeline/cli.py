"""The ``tfx-bert`` command. Heavy imports stand inside the commands, so that ``--help`` answers at once.

Longer than other files: every command and its options stand here, so that one file shows them all.
"""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pipeline import arguments
from pipeline.exits import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tfx-bert", message="tfx-bert %(version)s")
def main() -> None:
    """BERT on your text: CSV in, REST answer out.

    \b
    tfx-bert init --data reviews.csv    writes reviews.yaml from what it sees in the file
    tfx-bert check reviews.yaml         seconds: is everything there, how long will it take
    tfx-bert run reviews.yaml           validate, tokenize, train, evaluate, bless, push
    tfx-bert predict "a gorgeous film"  ask the pushed model
    """  # noqa: D301


@main.command()
@click.option(
    "--data", "data", required=True, metavar="FILE", help="The data: CSV, TSV, JSON or Parquet, plain or .gz."
)
@click.option("--name", help="Name of the experiment. Default: from the file's name.")
@click.option("--text", help="The column of text, if the guess is wrong.")
@click.option("--label", help="The column of labels, if the guess is wrong.")
@click.option(
    "--encoding",
    callback=arguments.encoding,
    metavar="NAME",
    help="The file's encoding, such as cp1252, if the guess is wrong.",
)
@click.option("--checkpoint", metavar="FOLDER", help="A Hugging Face BERT folder to start from.")
@click.option("--user", help="Of events: the column that says who, if the guess is wrong.")
@click.option("--item", help="Of events: the column that says what.")
@click.option("--time", help="Of events: the column that says when.")
@click.option("--catalogue", metavar="FILE", help="Of events: a file with the titles of the items.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init(**options: Any) -> None:
    """Write an experiment and a schema for your data file."""
    from pipeline.start.init import init as write

    write(**options)


@main.command()
@click.argument("experiment", default="sentiment")
@arguments.environment
@arguments.overrides
@click.option("--schema", is_flag=True, help="Print the JSON Schema of an experiment's YAML, for editors.")
def check(experiment: str, env: str, overrides: tuple[str, ...], schema: bool) -> None:
    """Validate an experiment and its data in seconds; estimate time and memory."""
    if schema:
        import json

        from pipeline.loader import json_schema

        click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
        return
    from configs import environment
    from pipeline import loader
    from pipeline.start.check import check as look

    look(loader.load(experiment, overrides), environment.load(env))


@main.command()
@click.argument("experiment", default="sentiment")
@arguments.environment
@arguments.overrides
@click.option(
    "--from",
    "from_nodes",
    multiple=True,
    metavar="NODE",
    help="Start at this node; reuse the last run's results of earlier nodes. Repeatable.",
)
@click.option("--to", "to_nodes", multiple=True, metavar="NODE", help="Stop after this node. Repeatable.")
@click.option("--no-cache", is_flag=True, help="Run every node again, and ignore training checkpoints.")
@click.option(
    "--dry-run", is_flag=True, help="With a cluster's --env: execute on this machine what would be submitted."
)
@click.option(
    "--sample",
    type=click.IntRange(min=20),
    metavar="N",
    help="A rehearsal: run every node on N records, and push nothing.",
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    metavar="N",
    envvar="TFX_BERT_CORES",
    show_envvar=True,
    help="Number of cores that a data node uses on this machine. Default: all of them.",
)
def run(
    experiment: str,
    env: str,
    overrides: tuple[str, ...],
    no_cache: bool,
    dry_run: bool,
    cores: int | None,
    **options: Any,
) -> None:
    """Run an experiment: a YAML file, or a name in configs/experiments/."""
    from configs import environment
    from pipeline import loader
    from pipeline.run.execute import execute
    from pipeline.start.check import cores_here

    given, where = loader.load(experiment, overrides), environment.load(env)
    if cores:
        if click.get_current_context().get_parameter_source("cores") is ParameterSource.COMMANDLINE and not dry_run:
            cores_here(where)
        os.environ["TFX_BERT_CORES"] = str(cores)  # no Beam flag: flags are part of a node's cache key
    if dry_run:
        from pipeline.cluster.rehearsal import rehearse

        code = rehearse(given, where, cache=not no_cache, **options)
    else:
        code = execute(given, where, cache=not no_cache, **options)
    click.get_current_context().exit(code)


@main.command("compile")
@click.argument("experiment", default="sentiment")
@arguments.environment
@arguments.overrides
@click.option("--output", metavar="FILE", help="The file to write. Default: build/EXPERIMENT-ENVIRONMENT.yaml.")
@click.option("--no-cache", is_flag=True, help="Let every node run again.")
def compile_(experiment: str, env: str, overrides: tuple[str, ...], output: str | None, no_cache: bool) -> None:
    """Compile an experiment for Kubeflow or Vertex, without submitting it."""
    from configs import environment
    from pipeline import loader
    from pipeline.cluster.command import compile_to

    compile_to(loader.load(experiment, overrides), environment.load(env), output, cache=not no_cache)


@main.command()
@click.argument("experiment", required=False)
@arguments.environment
def runs(experiment: str | None, env: str) -> None:
    """List the runs, newest last."""
    from configs import environment
    from pipeline.review.history import runs as listing

    listing(Path(environment.load(env).runs), experiment)


@main.command()
@click.argument("run", required=False)
@arguments.environment
def show(run: str | None, env: str) -> None:
    """Show a run: nodes, figures, artifacts, lineage.

    RUN is reviews/2, or reviews (its latest run), or 2 (of the experiment that ran last). Default: the latest run.
    """
    from configs import environment
    from pipeline.review.history import show as one

    one(Path(environment.load(env).runs), run)


@main.command()
@click.argument("run", required=False)
@click.option("--open", "open_", is_flag=True, help="Open the report in the browser.")
@click.option("--texts", is_flag=True, help="Show the mistakes on the test split with the text of their records.")
@arguments.environment
def report(run: str | None, open_: bool, texts: bool, env: str) -> None:
    """Write the report of a run again: one HTML file, which every run writes at its end.

    RUN is named as for show. Without --texts, the report holds no text of records.
    """
    from configs import environment
    from pipeline.review.report import report as write

    write(Path(environment.load(env).runs), run, show=open_, texts=texts)


@main.command()
@click.argument("run", required=False)
@click.option(
    "--texts", type=arguments.File, metavar="FILE", help="Look at these texts, one a line, not at the records."
)
@arguments.environment
def analyze(run: str | None, texts: Path | None, env: str) -> None:
    """Look into the model of a run: heads, probes by layer, geometry, pruning curves. Writes analysis.html.

    RUN is named as for show.
    """
    from configs import environment
    from pipeline.review.analyze import analyze as look

    look(Path(environment.load(env).runs), run, texts)


@main.command()
@click.option("--port", default=8502, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@arguments.environment
def ui(port: int, open_: bool, env: str) -> None:
    """Serve a page over the runs, on this machine only: figures over time, a run as it goes on, two side by side."""
    from configs import environment
    from pipeline.ui.ui import ui as serve_page

    serve_page(Path(environment.load(env).runs), port=port, show=open_)


@main.command()
@click.argument("run", required=False)
@click.option("--node", metavar="NODE", help="Print the log of this node only.")
@arguments.environment
def logs(run: str | None, node: str | None, env: str) -> None:
    """Print the log of a run, here or on its cluster."""
    from configs import environment
    from pipeline.review.history import logs as lines

    lines(Path(environment.load(env).runs), run, node)


@main.command()
@click.argument("run", required=False)
@arguments.environment
def stop(run: str | None, env: str) -> None:
    """Stop a run on a cluster."""
    from configs import environment
    from pipeline.cluster.submit import stop as cancel

    click.echo(cancel(Path(environment.load(env).runs), run))


@main.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]…")
@click.option(
    "--model",
    metavar="NAME[/VERSION]",
    help="The experiment, or one version of it, whose pushed model answers. Default: the newest model.",
)
@click.option(
    "--input",
    "input_file",
    type=arguments.FileOrAddress(exists=True, dir_okay=False),
    metavar="FILE",
    help="The records to answer: .csv, .tsv, .jsonl (each also .gz) or .parquet; a path, s3://… or gs://….",
)
@click.option(
    "--output",
    type=arguments.FileOrAddress(dir_okay=False),
    metavar="FILE",
    help="The file for records and answers. Its ending says the format.",
)
@click.option(
    "--text", metavar="COLUMN", help="The column of text. Default: the column that the model was trained on, or text."
)
@click.option("--text-pair", metavar="COLUMN", help="The column of the second text of a pair. Default: likewise.")
@click.option(
    "--encoding",
    callback=arguments.encoding,
    metavar="NAME",
    help="The encoding of --input, such as cp1252. Default: UTF-8.",
)
@click.option(
    "--on-bad-record",
    type=click.Choice(["fail", "quarantine"]),
    help="Stop at bad records (the default), or set them aside.",
)
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    help="With quarantine: stop if more than this share is bad. Default: .05.",
)
@click.option("--prefix", metavar="TEXT", help="Put TEXT before the names of the added columns.")
@click.option("--explain", is_flag=True, help="Say which words, or items, decided each answer.")
@arguments.environment
def predict(
    texts: tuple[str, ...],
    model: str | None,
    env: str,
    input_file: str | None,
    output: str | None,
    explain: bool,
    **options: Any,
) -> None:
    """Ask the pushed model.

    Without TEXT, it reads one text a line from standard input. A tab separates the two texts of a pair.

    With --input and --output, it answers every record of a file. If it is stopped, the same command goes on.
    """
    from configs import environment

    asked = {name: value for name, value in options.items() if value is not None}
    if (input_file is None) != (output is None) or (input_file and texts) or (asked and not input_file):
        raise click.UsageError("--input and --output go together, without TEXT; the options of a file need both")
    if explain and input_file:
        raise click.UsageError("--explain is for texts on the command line or standard input, not for --input")
    root = Path(environment.load(env).runs)
    if input_file and output:
        from pipeline.inference.bulk_remote import answer as answer_all

        answer_all(root, model, input_file, output, **asked)
    else:
        from pipeline.inference.predict import predict as answer

        answer(root, model, texts, explain=explain)


@main.command()
@click.argument("name", required=False)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=DIR",
    help="Serve another model, whose versions DIR holds. Repeatable.",
)
@click.option(
    "--config",
    "config_file",
    type=arguments.File,
    metavar="FILE",
    help="Serve what this model config file of TensorFlow Serving names.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Number of threads that compute. Default: one for each core."
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0.001),
    help="Seconds until a request gets 504.",
)
@click.option("--cors", is_flag=True, help="Answer requests of pages from other origins.")
@click.option("--metrics", is_flag=True, help="Give metrics to Prometheus at /monitoring/prometheus/metrics.")
@arguments.environment
def serve(name: str | None, env: str, **options: Any) -> None:
    """Serve a pushed model over TensorFlow Serving's REST API, for development and tests.

    NAME is the experiment whose pushed model is served. Default: the newest model.
    """
    from configs import environment
    from pipeline.inference.serve import serve as answer

    answer(Path(environment.load(env).runs), name, **options)


@main.command()
@click.argument("model", metavar="EXPERIMENT|FOLDER")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", required=True, type=click.Choice(["huggingface", "keras", "onnx"]), help="The format to write.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="The pushed version. Default: the latest.")
@click.option(
    "--int8", is_flag=True, help="With --to onnx: quantize the weights too, and measure the accuracy of both."
)
@arguments.environment
def export(model: str, target: Path, env: str, to: str, int8: bool, version: int | None) -> None:
    """Write a pushed model to DIR for other libraries.

    EXPERIMENT|FOLDER is the experiment whose pushed model is written, or the folder of pushed versions.
    """
    if int8 and to != "onnx":
        raise click.UsageError("--int8 goes with --to onnx")
    from configs import environment
    from pipeline.inference.export import export as write

    write(Path(environment.load(env).runs), model, target, version=version, to=to, int8=int8)


def _seeds(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(each) for each in text.split(","))
    except ValueError:
        raise click.BadParameter(f"whole numbers with commas between them, such as 1,2,3; received {text!r}") from None
    if len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"each seed once; received {text!r}")
    return seeds


def _suite(command: Any) -> Any:
    """The options of a benchmark."""
    options = (
        click.option(
            "--data",
            type=arguments.Folder,
            required=True,
            metavar="DIR",
            help="The folder of the benchmark, as published.",
        ),
        click.option("--checkpoint", required=True, metavar="FOLDER", help="A Hugging Face BERT folder to start from."),
        click.option(
            "--seeds",
            default="1,2,3,4,5",
            show_default=True,
            metavar="N,N…",
            callback=_seeds,
            help="One run for each task and seed.",
        ),
        arguments.overrides,
        arguments.environment,
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_suite
def glue(**options: Any) -> None:
    """Fine-tune on every task of GLUE in --data, and compare the dev figures with BERT's."""
    from pipeline.suites import suite
    from pipeline.suites.glue import SUITE

    click.get_current_context().exit(suite.run(SUITE, **options))


@main.command()
@_suite
def klue(**options: Any) -> None:
    """Do the same for KLUE: YNAT, STS, NLI, NER and MRC."""
    from pipeline.suites import suite
    from pipeline.suites.klue import SUITE

    click.get_current_context().exit(suite.run(SUITE, **options))


@main.group()
def data() -> None:
    """Download the demo data."""


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--folder", default="data", show_default=True, help="Where the files go.")
def fetch(names: tuple[str, ...], folder: str) -> None:
    """Download data at exact versions, checked by SHA-256.

    NAME is one of bible_es, brown, dialogues, korean, minilm, movies, office_ko, replies, reviews, spam.
    Default: what `tfx-bert run sentiment` needs.
    """
    from rich.console import Console

    from pipeline.start import data as demo
    from pipeline.terminal.numbers import size

    unknown = [name for name in names if name not in demo.NAMES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(demo.NAMES)}")
    console = Console(highlight=False, markup=False)
    with console.status("fetching and checking the demo data"):
        files = demo.fetch(names or demo.DEFAULT, folder)
    console.print(
        f"data ✓ sha256 · {len(files)} files · {size(sum(file.stat().st_size for file in files))} in {folder}/"
    )
    for line in demo.terms(names):
        console.print(line, soft_wrap=True)


@main.command()
@click.argument("run", required=False)
@arguments.environment
@click.option("--number", "-n", default=20, show_default=True, help="Number of mistakes, or of labels.")
@click.option("--labels", is_flag=True, help="List the train records whose labels are probably wrong.")
@click.option("--texts", is_flag=True, help="With --labels: show the text of these records too.")
def errors(run: str | None, env: str, number: int, labels: bool, texts: bool) -> None:
    """Show the confusion matrix and the most confident mistakes, with the text of their records."""
    if texts and not labels:
        raise click.UsageError("--texts goes with --labels; the mistakes of the test split always have their texts")
    from configs import environment

    runs = Path(environment.load(env).runs)
    if labels:
        from pipeline.review.label_errors import labels as doubtful

        doubtful(runs, run, number, texts=texts)
    else:
        from pipeline.review.errors import errors as mistakes

        mistakes(runs, run, number)


@main.command()
@click.argument("a")
@click.argument("b")
@arguments.environment
def diff(a: str, b: str, env: str) -> None:
    """Show what differs between two runs: configuration, data, metrics, predictions."""
    from configs import environment
    from pipeline.review.diff import diff as compare

    compare(Path(environment.load(env).runs), a, b)
