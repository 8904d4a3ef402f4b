import gzip
import json

import pytest

from configs.base import ConfigError
from models import families
from pipeline import loader
from pipeline.start import estimate
from pipeline.start.check import checkpoint
from tests import bert_folder

AMOUNTS = {"corpus": (64_000, 20.0), "task.data": (10_000, 27.0)}


def test_operations_follow_parameters_and_tokens():
    experiment = loader.load("from_scratch")
    size = estimate.shape(experiment)
    work, dense = estimate.flops(experiment, AMOUNTS, size), estimate.cost(experiment, size).multiplied
    assert work["fine-tuning"] == pytest.approx(6 * dense * 10_000 * 27 * 0.8 * 5)
    twice = estimate.flops(loader.load("from_scratch", ["train.epochs=10"]), AMOUNTS, size)
    assert twice["fine-tuning"] == 2 * work["fine-tuning"]
    seeds = estimate.flops(loader.load("from_scratch", ["train.seeds=[1, 2, 3]"]), AMOUNTS, size)
    assert seeds["fine-tuning"] == 3 * work["fine-tuning"]
    assert twice["pretraining"] == work["pretraining"]
    scoring = loader.load("from_scratch", ["score={path: new.csv}"])
    more = estimate.flops(scoring, {**AMOUNTS, "score": (50_000, 27.0)}, size)
    assert more == {**work, "scoring": 2 * dense * 50_000 * 27}


def test_tagged_words_are_read_and_go_through_each_network(tmp_path):
    """Two networks, and one of random weights for each of three seeds."""
    (tmp_path / "tags.conll").write_text("a DT\n")
    pos = f"analyze.probes.pos={{path: {tmp_path / 'tags.conll'}}}"
    plain, tagged = (loader.load("from_scratch", more) for more in (["analyze={}"], ["analyze={}", pos]))
    size, amounts = estimate.shape(plain), {**AMOUNTS, "analyze.probes.pos": (500, 20.0)}
    less, more = (
        estimate.flops(each, given, size)["analysis"] for each, given in ((plain, AMOUNTS), (tagged, amounts))
    )
    mean = AMOUNTS["task.data"][1]
    assert more - less == pytest.approx(2 * estimate.cost(plain, size).multiplied * mean * 500 * 5)
    assert "analysis" in estimate.text(tagged, amounts, None)


def test_a_training_is_judged_by_forward_passes():
    """Each of five epochs asks the eval split, a tenth of the records, and the Evaluator another tenth."""
    experiment = loader.load("from_scratch")
    size = estimate.shape(experiment)
    dense = estimate.cost(experiment, size).multiplied
    assert estimate.judged(experiment, AMOUNTS, size) == pytest.approx(2 * dense * 10_000 * 27 * 0.1 * 6)
    assert estimate.judged(loader.load("movies"), {"task.data": (100_000, 1.0)}, size) == 0


def test_a_context_in_windows_is_not_cut(tmp_path):
    task = "task: {type: question_answering, data: {path: q.jsonl}, max_length: 64, stride: 16, max_question: 16}"
    (tmp_path / "q.yaml").write_text(f"name: q\nvocabulary: {{learn: 100}}\nencoder: bert_tiny\n{task}")
    experiment = loader.load(str(tmp_path / "q.yaml"))
    size = estimate.shape(experiment)
    work = [estimate.flops(experiment, {"task.data": (100, tokens)}, size)["fine-tuning"] for tokens in (100.0, 200.0)]
    assert work[1] == 2 * work[0]


def test_items_are_trained_event_by_event_and_counts_are_not_trained():
    amounts = {"task.data": (100_000, 1.0), "task.data.catalogue": (1_700, 1.0)}
    experiment = loader.load("movies")
    size = estimate.shape(experiment, names=1_682)
    assert size["vocabulary_size"] == 1_682
    dense = estimate.cost(experiment, size).multiplied
    assert estimate.flops(experiment, amounts, size)["fine-tuning"] == 6 * dense * 100_000 * experiment.train.epochs
    assert "fine-tuning at most " in estimate.text(experiment, amounts, None, names=1_682)
    counts = loader.load("movies", ["task.objective=counts", "encoder="])
    assert estimate.flops(counts, amounts, estimate.shape(counts, names=1_682))["fine-tuning"] == 0


def test_a_pair_costs_each_side_its_own_half_of_the_network():
    """``translation_small`` multiplies 2.37 M weights with every source piece, 5.21 M with every piece written."""
    experiment = loader.load("bible_es")
    size = estimate.shape(experiment)
    work = estimate.flops(experiment, {"task.data": (13_520, 7.0 + 7.0)}, size)["fine-tuning"]
    assert work == pytest.approx(6 * (2.37e6 * 7 + 5.21e6 * 7) * 13_520 * 0.8 * 25, rel=0.01)
    # Both sides of a step and their padding are 4,096 pieces, however many rows that is.
    rows = [loader.load("bible_es", [f"train.batch_size={rows}"]) for rows in (512, 1024)]
    steps = [estimate.memory(each, size) - estimate.BASE_MEMORY - 16 * 7.71e6 for each in rows]
    assert steps[0] == steps[1] == pytest.approx(4096 * (34 * 256 * (3 + 1.5 * 3) + 4 * 8000), rel=0.01)


def test_titles_are_read_once_and_projected_in_every_step(tmp_path):
    amounts = {"task.data": (100_000, 1.0), "task.data.catalogue": (1_700, 1.0)}
    plain = loader.load("movies")
    titled = loader.load("movies", ["task.titles=bert"])
    size = estimate.shape(titled, names=1_682)
    assert size == estimate.shape(plain, names=1_682)  # the text model is no part of what is trained
    bert_folder.write(tmp_path)
    work = estimate.flops(titled, amounts, size, tmp_path)
    before = estimate.flops(plain, amounts, size)["fine-tuning"]
    blocks = 2 * (4 * (4 * 4 + 4) + 2 * 4 * 8 + 8 + 4 + 4 * 4)
    dense = families.load("text").cost(
        {"num_layers": 2, "hidden_dim": 4, "intermediate_dim": 8, "max_positions": 512}, 10
    )
    assert blocks <= dense.multiplied < 2 * blocks
    assert work["titles"] == 2 * dense.multiplied * 1_682 * 8
    steps = 100_000 / 50 / 128 * plain.train.epochs
    assert work["fine-tuning"] - before == pytest.approx(6 * 1_682 * 4 * 64 * steps)


def test_a_refit_costs_at_most_one_training_more():
    amounts, size = {"task.data": (100_000, 1.0)}, estimate.shape(loader.load("movies"), names=1_682)
    once, again = (
        estimate.flops(loader.load("movies", more), amounts, size)["fine-tuning"] for more in ([], ["train.refit=true"])
    )
    assert again == 2 * once


def test_a_packed_row_is_full():
    amounts, size = {"corpus": (12_000, 16.0)}, estimate.shape(loader.load("korean"))
    packed = estimate.flops(loader.load("korean"), amounts, size)["pretraining"]
    loose = estimate.flops(loader.load("korean", ["pretrain.pack=false"]), amounts, size)["pretraining"]
    assert packed == 8 * loose  # rows of 128 tokens


def test_batches_by_tokens_and_micro_batches_count():
    plain, capped = (
        loader.load("from_scratch", ["train.batch_size=1", *more]) for more in ([], ["pretrain.batch_tokens=640"])
    )
    work = [estimate.flops(each, AMOUNTS, estimate.shape(each))["pretraining"] for each in (plain, capped)]
    assert work[0] == 2 * work[1]  # 64 rows of 20 tokens
    parts = loader.load("from_scratch", ["train.batch_size=1", "pretrain.accumulate=4"])
    whole, part = (estimate.memory(each, estimate.shape(each)) for each in (plain, parts))
    assert whole - part == 2 * 34 * 48 * 64 * 128 * 2  # of 48 rows of 64 tokens, two layers of 128


def test_memory_grows_with_the_model():
    experiments = [loader.load("from_scratch", [f"encoder={name}"]) for name in ("bert_tiny", "bert_base")]
    tiny, base = (estimate.memory(each, estimate.shape(each)) for each in experiments)
    assert estimate.BASE_MEMORY < tiny < base


def test_the_rate_is_measured():
    assert 1e8 < estimate.product_rate() < 1e14


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 2.0),
        ("one two three four", 7.2),
        ("영화가 좋았다", 5.6),
        ("삼성전자 좋은 소식을 발표했다", 9.8),
        ("这部电影很好看", 10.3),
        ("aletterafteranotherwithoutaspace", 7.33),
    ],
)
def test_tokens(text, tokens):
    assert estimate.tokens(text) == pytest.approx(tokens, abs=0.01)


def test_lines(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_text("a\nb\nc\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert (estimate.lines(str(plain), "csv"), estimate.lines(str(packed), "csv")) == (3, 3)


@pytest.fixture
def folder(tmp_path):
    bert_folder.write(tmp_path)
    return tmp_path


def test_a_checkpoint_folder_is_described(folder):
    assert "BERT of 2 layers, 4 wide, 0.0 M parameters, 46 tensors" in checkpoint(folder)[1]


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_checkpoint_folder_that_lacks_a_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}; a Hugging Face BERT folder is expected"):
        checkpoint(folder)


def test_a_checkpoint_in_shards(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds its weights in several files; save it again: save_pretrained"):
        checkpoint(folder)


def test_a_truncated_checkpoint(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2])
    with pytest.raises(ConfigError, match="truncated or damaged"):
        checkpoint(folder)


def test_another_kind_of_model(folder):
    (folder / "config.json").write_text(json.dumps({**bert_folder.CONFIG, "model_type": "roberta"}))
    with pytest.raises(ConfigError, match='model_type must be "bert", received "roberta": only BERT encoders'):
        checkpoint(folder)
