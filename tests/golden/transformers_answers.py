"""Whether transformers answers the golden texts as the pushed classifier did: from text, by its own tokenizer.

In the environment of make_bert_golden.py:

    tfx-bert export sentiment build/sentiment --to huggingface
    /tmp/golden/bin/python tests/golden/transformers_answers.py build/sentiment runs/sentiment/serving_model/sentiment/1
"""

import json
import pathlib
import sys

import torch
import transformers

folder, pushed = map(pathlib.Path, sys.argv[1:])
golden = json.loads((pushed / "assets.extra" / "golden.json").read_text("utf-8"))
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
assert list(model.config.id2label.values()) == golden["outputs"]["labels"][0]
encoded = tokenizer(*golden["inputs"].values(), truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    scores = model(**encoded).logits.softmax(-1)
difference = (scores - torch.tensor(golden["outputs"]["scores"])).abs().max().item()
told = f"transformers {transformers.__version__}: {len(scores)} texts, scores differ by {difference:.1e} at most\n"
sys.stdout.write(told)
assert difference < 1e-5, told
