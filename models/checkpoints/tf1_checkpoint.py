"""Google's own BERT releases: ``bert_config.json``, ``vocab.txt``, ``bert_model.ckpt.*`` to a Hugging Face folder.

Names as in ``modeling.py`` and ``run_pretraining.py`` of google-research/bert.
"""

import json
import pathlib
import re
import tempfile

import numpy as np
import safetensors.numpy

from schemas import DataError

CONFIG = "bert_config.json"
_INDEX = ".ckpt.index"
# Beside the weights: the optimizer's state, the step, and a classifier's layer, which run_classifier.py calls output_*.
_PASSED_OVER = re.compile(r"(^global_step$|^output_(weights|bias)$|/adam_[mv]$|^(beta|power)\w*power\w*$)")


def is_release(folder: pathlib.Path) -> bool:
    """Whether the folder is such a release."""
    return (
        (folder / CONFIG).is_file() and bool(list(folder.glob(f"*{_INDEX}"))) and not (folder / "config.json").exists()
    )


def files(folder: pathlib.Path) -> list[str]:
    """What is read.

    Raises:
      DataError: there is more than one checkpoint, or no vocabulary.
    """
    indices = sorted(path.name for path in folder.glob(f"*{_INDEX}"))
    if len(indices) > 1:
        raise DataError(
            f"{folder}: holds {len(indices)} checkpoints, {', '.join(indices)}; keep the one to start from."
        )
    if not (folder / "vocab.txt").is_file():
        raise DataError(f"{folder}/vocab.txt: no such file; it comes with {CONFIG} and the weights.")
    data = sorted(path.name for path in folder.glob(f"{indices[0].removesuffix('.index')}.data-*"))
    return [CONFIG, "vocab.txt", indices[0], *data]


def convert(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Writes ``target``, which appears whole.

    The release does not say whether text is lower-cased: its vocabulary does, by having capitals or not.

    Raises:
      DataError: a file is missing, truncated, or not what it should be.
    """
    import tensorflow as tf

    index = files(folder)[2]
    try:
        reader = tf.train.load_checkpoint(str(folder / index.removesuffix(".index")))
        names = [name for name in reader.get_variable_to_shape_map() if not _PASSED_OVER.search(name)]
        tensors = dict(_tensor(name, reader.get_tensor(name)) for name in names)
    # IndexError: shorter than its index says.
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise DataError(
            f"{folder / index}: truncated or damaged ({str(error).splitlines()[0]}); fetch it again."
        ) from None
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / CONFIG}: not JSON ({error}); fetch the checkpoint again.") from None
    text = (folder / "vocab.txt").read_text("utf-8")
    pieces = [piece for piece in text.split("\n") if not re.fullmatch(r"\[\w+\]", piece)]
    lower = not any(re.search("[A-Z]", piece) for piece in pieces)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as staging:
        stage = pathlib.Path(staging) / "checkpoint"
        stage.mkdir()
        (stage / "config.json").write_text(json.dumps({"model_type": "bert", **config}, indent=2), "utf-8")
        (stage / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}), "utf-8")
        (stage / "vocab.txt").write_text(text, "utf-8")
        safetensors.numpy.save_file(tensors, stage / "model.safetensors", metadata={"format": "pt"})
        try:
            stage.rename(target)
        except OSError:  # another process was first: the name is a digest of what both read
            if not target.is_dir():
                raise


def _tensor(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
    """As transformers calls it and keeps it: dense weights (out, in)."""
    path = re.sub(r"layer_(\d+)", r"layer.\1", name).replace("/", ".")
    if path.endswith(".kernel"):
        path, value = path.removesuffix("kernel") + "weight", value.T
    elif path.endswith("_embeddings"):
        path += ".weight"
    path = path.replace(".output_weights", ".weight").replace(".output_bias", ".bias")
    return path.replace(".gamma", ".weight").replace(".beta", ".bias"), np.ascontiguousarray(value)
