"""The peer of our recommenders: a sequential model of RecBole, by its public API, with its own settings.

    PEER_PYTHON benchmarks/peers/recbole_models.py JOB.json

Runs in an environment of its own (recbole, torch), so it imports nothing of this project. RecBole splits the events of
``folder``/events/events.inter by itself: each user's last event is tested, the one before it chooses the epoch. It
writes the scores of all items for every user's last event to ``scores``, an ``.npz``, and prints one JSON line. What
``cpu_limit`` seconds of training did not reach is left out, and ``ended`` is false.
"""

import contextlib
import json
import os
import pathlib
import sys
import time

# Threads that wait for each other sleep: CPU seconds count work, and other load does not multiply them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_logger, init_seed
from recbole.utils.case_study import full_sort_scores

AT_ONCE = 256  # users that are scored in a call


class LimitReachedError(Exception):
    """The CPU seconds of a training are used up."""


def configured(job):
    """RecBole's own defaults of the model, for these columns; cross-entropy over all items."""
    folder = pathlib.Path(job["folder"])
    settings = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": job["max_length"],
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "metrics": ["NDCG", "Hit"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "metric_decimal_place": 8,
        "epochs": job["epochs"],
        "stopping_step": job["patience"],
        "seed": job["seed"],
        "use_gpu": False,
        "show_progress": False,
        "checkpoint_dir": str(folder / "saved"),
    }
    return Config(model=job["model"], dataset="events", config_dict=settings)


def trained(job, config):
    """The trainer, the test data, and for each epoch its eval figure with the CPU and wall seconds so far."""
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    train, held_out, test = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    cpu, wall, curve = time.process_time(), time.perf_counter(), []

    def judged(epoch, score):
        curve.append((float(score), time.process_time() - cpu, time.perf_counter() - wall))
        print(f"epoch {epoch}: ndcg@10 {score:.4f}, {curve[-1][1]:.0f} CPU s", file=sys.stderr, flush=True)
        if job["cpu_limit"] and curve[-1][1] > job["cpu_limit"]:
            raise LimitReachedError

    try:
        trainer.fit(train, held_out, verbose=False, callback_fn=judged)
        ended = True
    except LimitReachedError:
        ended = False
    return trainer, test, curve, ended


def scored(trainer, test):
    """Users and items by name, and the scores of all items for each user's last event, float32 (users, items)."""
    data = test.dataset
    users = data.inter_feat[data.uid_field].numpy()
    parts = [users[start : start + AT_ONCE] for start in range(0, len(users), AT_ONCE)]
    scores = np.concatenate([full_sort_scores(part, trainer.model, test).detach().numpy() for part in parts])
    return {
        "users": data.id2token(data.uid_field, users).astype(str),
        "targets": data.id2token(data.iid_field, data.inter_feat[data.iid_field].numpy()).astype(str),
        "items": data.id2token(data.iid_field, np.arange(1, data.item_num)).astype(str),
        "scores": scores[:, 1:],  # without the padding
    }


def main():
    """Answers on standard output; what the library says goes to standard error."""
    job = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    answers = sys.stdout
    sys.argv = sys.argv[:1]  # RecBole reads the rest as settings of its own
    torch.set_num_threads(1)  # the fewest CPU seconds
    os.chdir(job["folder"])  # it writes its logs where it is
    with contextlib.redirect_stdout(sys.stderr):
        trainer, test, curve, ended = trained(job, configured(job))
        own = trainer.evaluate(test, load_best_model=True)
        np.savez(job["scores"], **scored(trainer, test))
    best = max(range(len(curve)), key=lambda epoch: curve[epoch][0])
    found = {
        "epoch": best + 1,
        "epochs": len(curve),
        "eval": curve[best][0],
        "cpu": curve[best][1],
        "wall": curve[best][2],
        "cpu_all": curve[-1][1],
        "ended": ended,
        "own_ndcg_10": float(own["ndcg@10"]),
        "versions": f"recbole {recbole.__version__}, torch {torch.__version__}",
    }
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
