"""A smaller encoder that starts from a larger one: fewer layers, or a lesser width.

Fewer layers: every n-th one is kept (Sanh et al. 2019, section 3; Jiao et al. 2020, section 4.2, the uniform mapping).
A lesser width: the embeddings are those of the larger one on the principal axes of its tokens' vectors, the axes along
which these differ most; the blocks start from random weights, for a projection of them computes something else.
"""

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from models.checkpoints import checkpoint

if TYPE_CHECKING:
    from models.bert.encoder import BertEncoder

_HEAD = 64  # what a head is wide, in every BERT of Turc et al. 2019, table 1
_SPREAD = 0.02  # standard deviation of BERT's random weights (Devlin et al. 2019; google-research/bert, modeling.py)


def write(source: pathlib.Path, target: pathlib.Path, layers: int | None, width: int | None) -> None:
    """Writes a Hugging Face folder without heads, always the same for the same arguments.

    Args:
      source: a Hugging Face BERT folder.
      target: does not exist yet; its weights appear last.
      layers: at most those of ``source``; None: all.
      width: a multiple of 64 below the width of ``source``, or that width; None: that.

    Raises:
      ValueError: the source is smaller.
      DataError: as ``checkpoint.load``.
    """
    from models.bert.encoder import BertEncoder

    read = checkpoint.read(source)
    shape = shape_of(read.encoder, layers, width)
    large, small = BertEncoder(**read.encoder), BertEncoder(**shape)
    checkpoint.load(source, large)
    if small.hidden_dim == large.hidden_dim:
        _copy(large, small)
    else:
        _project(large, small)
    checkpoint.save(target, small, read.vocabulary, read.rules)


def shape_of(encoder: dict[str, Any], layers: int | None, width: int | None) -> dict[str, Any]:
    """The arguments of the smaller encoder; see ``write``."""
    most, whole = encoder["num_layers"], encoder["hidden_dim"]
    layers, width = layers or most, width or whole
    for name, wanted, there in (("layers", layers, most), ("width", width, whole)):
        if wanted > there:
            raise ValueError(f"{name} {wanted} is more than the {there} of the model that is made smaller")
    if width == whole:
        return {**encoder, "num_layers": layers}
    if width % _HEAD:
        raise ValueError(f"width takes a multiple of {_HEAD}, which a head is wide. Received: {width}")
    heads = {"num_heads": width // _HEAD, "intermediate_dim": 4 * width}
    return {**encoder, "num_layers": layers, "hidden_dim": width, **heads}


def kept(layers: int, fewer: int) -> list[int]:
    """Which layers are kept: evenly spread, the last one among them; ``[1, 3, 5]`` of 6."""
    return [(i + 1) * layers // fewer - 1 for i in range(fewer)]


def _copy(large: "BertEncoder", small: "BertEncoder") -> None:
    pairs = [(large.layers_of_variables[0], small.layers_of_variables[0])]
    for place, block in zip(kept(large.num_layers, small.num_layers), small.blocks, strict=True):
        pairs.append((large.blocks[place].variables, block.variables))
    pairs.append((large.pooler.variables, small.pooler.variables))
    for theirs, ours in pairs:
        for value, variable in zip(theirs, ours, strict=True):
            variable.assign(value)


def _project(large: "BertEncoder", small: "BertEncoder") -> None:
    draws = np.random.default_rng(0)
    for variable in small.trainable_variables:
        if variable.name == "kernel":
            drawn = draws.normal(0.0, _SPREAD, variable.shape)
            variable.assign(np.clip(drawn, -2 * _SPREAD, 2 * _SPREAD).astype(np.float32))
    axes = principal_axes(np.asarray(large.token_embedding), small.hidden_dim)
    for name in ("token_embedding", "position_embedding", "segment_embedding"):
        getattr(small, name).assign(np.asarray(getattr(large, name)) @ axes)


def principal_axes(vectors: np.ndarray, count: int) -> np.ndarray:
    """The directions along which vectors (N, D) differ most: float32 (D, ``count``), orthonormal."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)  # ascending
    found: np.ndarray = axes[:, ::-1][:, :count].astype(np.float32)
    return found
