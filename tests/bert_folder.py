"""A Hugging Face BERT folder of two layers, 4 wide, that transformers would load."""

import json
import pathlib

import numpy as np
import safetensors.numpy

TINY = pathlib.Path(__file__).parent / "data" / "bert_tiny"
CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 4,
    "intermediate_size": 8,
    "max_position_embeddings": 512,
    "vocab_size": 10,
    "num_attention_heads": 1,
}
# The sizes of TINY, which transformers wrote, and what they are here: its names with other shapes.
SIZES = {37: 10, 24: 4, 40: 8, 16: 512}


def write(folder, *, lower=False):
    """Zeros for weights."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    tiny = safetensors.numpy.load_file(TINY / "model.safetensors")
    tensors = {
        name: np.zeros([SIZES.get(size, size) for size in value.shape], np.float32)
        for name, value in tiny.items()
        if ".layer.2." not in name
    }
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
