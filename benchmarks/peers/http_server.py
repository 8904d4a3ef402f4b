"""The peers of our server: the same weights behind FastAPI, by transformers and torch, or by onnxruntime.

    PEER_PYTHON benchmarks/peers/http_server.py FOLDER torch|onnx [--tuned]

Runs in an environment of its own (torch, transformers, onnx, onnxscript, onnxruntime, fastapi, uvicorn, uvloop,
httptools), so it imports nothing of this project. FOLDER is a Hugging Face BERT folder with ``classifier.npz``. Without
--tuned as it is usually written: a plain function behind a route, each library's own threads. With it: as many requests
at a time as there are cores, one thread each. Prints its address.
"""

import argparse
import os
import pathlib
import socket

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Threads that wait for each other sleep: CPU seconds count work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import anyio.to_thread
import fastapi
import numpy as np
import pydantic
import tokenizers
import torch
import transformers
import uvicorn

MAX_LENGTH = 128
CORES = len(os.sched_getaffinity(0))

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Request(pydantic.BaseModel):
    """Texts."""

    instances: list[str]


def torch_model(folder):
    """The classifier, its last layer taken from ``classifier.npz``."""
    layer = np.load(folder / "classifier.npz")
    model = transformers.BertForSequenceClassification.from_pretrained(folder, num_labels=len(layer["bias"])).eval()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(layer["kernel"].T.copy()))
        model.classifier.bias.copy_(torch.tensor(layer["bias"]))
    return model


def by_torch(folder, tuned):
    """Ids and mask to probabilities."""
    if tuned:
        torch.set_num_threads(1)
    model = torch_model(folder)

    def run(ids, mask):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
            return torch.softmax(logits, -1).numpy()

    return run


def by_onnx(folder, tuned):
    """The same, exported once."""
    import onnxruntime

    path = folder / "model.onnx"
    if not path.exists():
        ids = torch.ones(2, 8, dtype=torch.int64)
        axes = {0: "batch", 1: "length"}
        torch.onnx.export(
            torch_model(folder),
            (ids, ids),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes},
            opset_version=17,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    if tuned:
        options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids, mask):
        (logits,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        scores = np.exp(logits - logits.max(-1, keepdims=True))
        return scores / scores.sum(-1, keepdims=True)

    return run


def application(folder, run, tuned):
    """The service."""
    tokenizer = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    app = fastapi.FastAPI()

    @app.post("/predict")
    def predict(request: Request):
        encoded = tokenizer.encode_batch(request.instances)
        ids = np.array([each.ids for each in encoded], np.int64)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        return {"predictions": [{"scores": row.tolist()} for row in run(ids, mask)]}

    @app.on_event("startup")
    async def limit():
        if tuned:
            anyio.to_thread.current_default_thread_limiter().total_tokens = CORES

    return app


def main():
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("engine", choices=("torch", "onnx"))
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    run = {"torch": by_torch, "onnx": by_onnx}[options.engine](options.folder, options.tuned)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application(options.folder, run, options.tuned), access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
