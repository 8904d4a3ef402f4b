"""``tfx-bert export``: a pushed model for other libraries, encoder, head and tokenizer together."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from components.deploy.versions import versions
from models import families, task
from models.checkpoints import checkpoint, layout, task_head
from models.export import card, golden
from models.families.text import TEXTS
from pipeline.inference.predict import newest
from pipeline.run import lineage
from pipeline.run.result import RunError, RunResult, runs_of
from pipeline.terminal import noise
from pipeline.terminal.numbers import plain, scientific, size

_BATCH = 64
_LIBRARIES = {"huggingface": "transformers", "keras": "keras", "onnx": None}  # as the Hub names them
_LENGTH = 64  # tokens a golden text: an MLM head's logits are a vocabulary a token
Batch = Mapping[str, Any]


def export(root: Path, model: str, target: Path, *, version: int | None, to: str, int8: bool = False) -> None:
    """Writes the folder ``target``, whole or not at all.

    Args:
      root: the environment's ``runs`` folder.
      model: the name of an experiment, a folder of pushed versions, or one of these.
      target: does not exist yet, or is empty.
      version: which of the pushed versions; None is the latest.
      to: ``huggingface``, ``keras`` or ``onnx``.
      int8: whether ONNX is quantized too, and both are asked about the test split.

    Raises:
      RunError: there is no such model, it cannot be said in that format, or ``target`` is taken.
    """
    if target.is_dir() and any(target.iterdir()):
        raise RunError(f"{target} is not empty; name a new folder")
    folder = _pushed(root, model, version)
    assets = folder / "assets.extra"
    noise.hush()
    with noise.captured(root / "export.log") as terminal:
        console = Console(file=terminal, highlight=False, markup=False)
        with console.status(f"exporting {folder}"):
            family = families.load(golden.read(assets)["family"])
            if family.architecture and to != "huggingface":
                raise RunError(f"a {family.name} model is exported as huggingface alone, not as {to}")
            said = None if family.architecture else checkpoint.read(assets / "checkpoint")
            if said:
                _complete(assets, said)
            part = target.with_name(f".{target.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of an export that was killed
            try:
                shutil.copytree(assets / "checkpoint", part, ignore=_weights if to != "huggingface" else None)
                (part / "README.md").write_text(_card(folder, to), "utf-8")
                notes = _FORMATS[to](assets / "checkpoint", part, said) if said else ["ids in and out"]
                if said and int8:
                    notes += _quantized(folder, part, said)
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        weight = size(sum(file.stat().st_size for file in target.iterdir()))
        architecture = said.architecture if said else family.architecture
        told = f"{target}: {architecture} of {folder.parent.name} v{folder.name} · {weight}"
        console.print(Text.assemble(("✓ ", "green"), " · ".join([told, *notes])), soft_wrap=True)
        console.print(Text.assemble(("Next:  ", "dim"), _next(to, target, architecture)), soft_wrap=True)


def _pushed(root: Path, model: str, version: int | None) -> Path:
    folder = Path(model)
    if there := versions(folder):
        folder /= str(version or there[-1])
    if (folder / "assets.extra" / "checkpoint").is_dir():
        return folder
    return newest(root, f"{model}/{version}" if version else model)


def _complete(assets: Path, said: checkpoint.Checkpoint) -> None:
    """Raises RunError where the head or the tokenizer is not in the folder."""
    from models.text import tokenization, tokenizer_json

    if said.head is None and (the_task := golden.answers(assets)) and the_task.head:
        raise RunError(f"{assets.parent} was pushed before heads were kept; run the experiment again")
    if not (assets / "checkpoint" / "tokenizer.json").is_file():
        try:
            tokenizer_json.build(said.vocabulary, tokenization.TextRules.load(said.rules))
        except tokenizer_json.Inexpressible as error:
            raise RunError(
                f"$.text.replace: {error}, which tokenizer.json cannot say. The weights are in {assets}/checkpoint; "
                "whoever loads them has to replace the text first"
            ) from None


def _card(folder: Path, to: str) -> str:
    """The model card for the Hub, with the figures of the run that pushed the model, where that run is here."""
    result = _run(folder)
    figures = result.metrics if result else {}
    text = (folder / "assets.extra" / card.FILE).read_text("utf-8")
    return card.published(text, folder.parent.name, _LIBRARIES[to], figures, folder.parent.name)


def _run(folder: Path) -> RunResult | None:
    """The run that pushed ``folder``; None where it is not here."""
    above = folder.absolute().parents
    if len(above) < 3:  # no serving_model/NAME of an experiment
        return None
    for run in reversed(runs_of(above[2].parent, folder.parent.name)):
        try:
            result = RunResult.read(run)
        except RunError:
            continue  # tfx-bert runs names the damaged ones
        if result.pushed and result.pushed.version == int(folder.name):
            return result
    return None


def _weights(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name in layout.WEIGHTS]


def _next(to: str, target: Path, architecture: str | None) -> str:
    if to == "keras":
        return f'import keras, models.export.keras_model; keras.saving.load_model("{target}/model.keras")'
    if to == "onnx":
        return f'onnxruntime.InferenceSession("{target}/model.onnx")'
    return f'transformers.{architecture}.from_pretrained("{target}")'


# --- formats -------------------------------------------------------------------------------------------------------


def _huggingface(source: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    del source, target, said  # the folder is one already
    return []


def _keras(source: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    import keras

    from models.export import keras_model

    model, batch = keras_model.load(source), _golden_batch(said)
    model.save(target / "model.keras")
    return [_parity(model(batch), keras.saving.load_model(target / "model.keras")(batch))]


def _onnx(source: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    from models.export import keras_model, onnx_graph

    onnx_graph.write(source, target / onnx_graph.FILE)
    batch = _golden_batch(said)
    return [_parity(keras_model.load(source)(batch), onnx_graph.session(target / onnx_graph.FILE)(batch))]


_FORMATS: dict[str, Callable[[Path, Path, checkpoint.Checkpoint], list[str]]] = {
    "huggingface": _huggingface,
    "keras": _keras,
    "onnx": _onnx,
}


def _golden_batch(said: checkpoint.Checkpoint) -> Batch:
    """The golden texts as pairs: ``token_ids``, ``segment_ids`` int64, ``padding_mask`` bool (B, S)."""
    from models.text import tokenization

    tokenizer = tokenization.Tokenizer(said.vocabulary, tokenization.TextRules.load(said.rules))
    a, b = (tokenizer.tokenize(texts) for texts in (TEXTS, TEXTS[::-1]))
    length = min(_LENGTH, said.encoder["max_positions"])
    token_ids, segment_ids = tokenization.pair(a, b, tokenizer.cls_id, tokenizer.sep_id, length)
    return task.dense({"token_ids": token_ids, "segment_ids": segment_ids})


def _parity(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    pairs = zip(ours.values(), theirs.values(), strict=True)
    worst = max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)
    if worst > 1e-3:  # float32 sums in another order differ by 1e-5; more means another model
        raise RunError(
            f"the exported model differs from the pushed one by {worst:.2g} in its logits; nothing is written"
        )
    return f"logits within {scientific(worst)}" if worst else "the same logits"


# --- int8 ----------------------------------------------------------------------------------------------------------


def _quantized(folder: Path, target: Path, said: checkpoint.Checkpoint) -> list[str]:
    from models.export import onnx_graph

    paths = {"fp32": target / onnx_graph.FILE, "int8": target / onnx_graph.INT8_FILE}
    onnx_graph.quantize(paths["fp32"], paths["int8"])
    sizes = " → ".join(size(path.stat().st_size) for path in paths.values())
    if said.head is not task_head.HEADS["classification"]:
        return [f"int8: {sizes}"]
    files = _test_files(folder)
    if not files:
        return [f"int8: {sizes}, accuracy unknown: the run that pushed it is not here"]
    right = {name: _right(folder, files, onnx_graph.session(path)) for name, path in paths.items()}
    count = len(right["fp32"])
    figures = " → ".join(plain(float(np.mean(each))) for each in right.values())
    return [f"fp32 → int8: {sizes}, accuracy {figures} on {count:,} test records"]


def _test_files(folder: Path) -> list[str]:
    """The test split of the run that pushed ``folder``; none where that run is not here."""
    result, experiment = _run(folder), folder.absolute().parents[2]
    if result is None or not result.pipeline_run or result.remote:
        return []
    examples = lineage.outputs(lineage.executions(experiment, result.pipeline_run), "ExampleGen", "examples")
    return sorted(str(path) for uri in examples[-1:] for path in Path(uri, "Split-test").glob("*"))


def _right(folder: Path, files: list[str], model: Callable[[Batch], Batch]) -> list[bool]:
    """Whether ``model`` answers each test record with its label."""
    import tensorflow as tf

    from models.text import tokenization

    assets = folder / "assets.extra"
    the_task, said = golden.answers(assets), checkpoint.read(assets / "checkpoint")
    assert the_task is not None
    tokenizer = tokenization.Tokenizer(said.vocabulary, tokenization.TextRules.load(said.rules))
    columns = [*golden.read(assets)["inputs"], "label"]
    spec = {column: tf.io.FixedLenFeature([], tf.string) for column in columns}
    right: list[bool] = []
    for rows in tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH):
        batch = task.dense(the_task.featurize(tf.io.parse_example(rows, spec), tokenizer))
        right += (model(batch)["logits"].argmax(-1) == batch["label_id"].numpy()).tolist()
    return right
