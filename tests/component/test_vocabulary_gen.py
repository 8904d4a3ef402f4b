"""The VocabularyGen executor: learning, importing, and what it refuses."""

import json
import pathlib

import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from components.artifacts import Vocabulary
from components.data import vocabulary_gen
from models.text.tokenization import SPECIAL, Tokenizer
from schemas import DataError


def source(folder: pathlib.Path, **splits: list[dict[str, list[str]]]) -> standard_artifacts.Examples:
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder), json.dumps(list(splits))
    for split, records in splits.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), options="GZIP") as writer:
            for columns in records:
                record = tf.train.Example()
                for name, values in columns.items():
                    record.features.feature[name].bytes_list.value.extend(value.encode() for value in values)
                writer.write(record.SerializeToString())
    return examples


def run(out: pathlib.Path, sources: list[standard_artifacts.Examples], base_model=None, **settings) -> pathlib.Path:
    node = vocabulary_gen.VocabularyGen(
        [channel_utils.as_channel([one]) for one in sources],
        source_digest="d",
        base_model=channel_utils.as_channel([base_model]) if base_model else None,
        **settings,
    )
    vocabulary = Vocabulary()
    vocabulary.uri = str(out)
    inputs = {"examples": sources[:1], **({"more_examples": sources[1:]} if sources[1:] else {})}
    inputs |= {"base_model": [base_model]} if base_model else {}
    vocabulary_gen.Executor().Do(inputs, {"vocabulary": [vocabulary]}, node.exec_properties)
    return out


@pytest.fixture
def corpus(tmp_path):
    documents = [{"sentences": ["low lower lowest", "low"], "origin": ["secret:1"]}] * 3
    return source(tmp_path / "corpus", train=documents, test=[{"sentences": ["unseen"], "origin": ["f:2"]}])


@pytest.fixture
def task(tmp_path):
    records = [{"text": ["newer newest"], "text_pair": ["wide"], "label": ["positive"], "origin": ["secret:1"]}] * 3
    return source(tmp_path / "task", train=records, eval=[{"text": ["unseen"], "label": ["x"], "origin": ["f:2"]}])


def test_learns_from_the_texts_of_all_train_splits_and_of_nothing_else(tmp_path, corpus, task):
    folder = run(tmp_path / "out", [corpus, task], learn=120, reserve=["[URL]"])
    tokenizer = Tokenizer.read(folder)
    assert tokenizer.vocabulary[:6] == (*SPECIAL, "[URL]")
    assert {"low", "lowest", "newest", "wide"} <= set(tokenizer.vocabulary)
    # "u" (unseen), "p" (positive) and ":" (origin) occur in no text of a train split.
    assert set("".join(tokenizer.vocabulary[6:])) == set("#lowernstwid")


def test_one_source_and_two_give_the_same_files_twice(tmp_path, corpus, task):
    first = run(tmp_path / "a", [corpus, task], learn=60)
    second = run(tmp_path / "b", [task, corpus], learn=60)
    for name in ("vocab.txt", "text.json", "report.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_imports_a_vocabulary_and_reports_unknown_words(tmp_path, corpus):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "low", "##er"]) + "\n")
    folder = run(
        tmp_path / "out", [corpus], path=str(path), mode="uncased_nfc", replace=[{"pattern": "x", "with": "y"}]
    )
    assert json.loads((folder / "report.json").read_text()) == {
        "size": 7,
        "words": 12,
        "unknown": 0.25,
        "pieces_per_word": 1.25,
        "top_unknown": [["lowest", 3]],
    }
    assert json.loads((folder / "text.json").read_text()) == {
        "kind": "wordpiece",
        "mode": "uncased_nfc",
        "replace": [{"pattern": "x", "with": "y"}],
        "reserve": [],
    }


def test_imports_casing_and_rules_with_a_checkpoint_folder(tmp_path, corpus):
    base = standard_artifacts.Model()
    base.uri = str(tmp_path / "base")
    folder = tmp_path / "base" / "Format-Serving" / "assets.extra" / "checkpoint"
    folder.mkdir(parents=True)
    shape = {
        "model_type": "bert", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 8, "max_position_embeddings": 16,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    }  # fmt: skip
    rules = {"mode": "cased", "replace": [{"pattern": "a", "with": "b"}], "reserve": ["[URL]"]}
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, "low", "##er", "[URL]"]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tfx_bert": rules}))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    out = run(tmp_path / "out", [corpus], base_model=base)
    assert json.loads((out / "text.json").read_text()) == {"kind": "wordpiece", **rules}


def test_a_train_split_without_text_is_refused(tmp_path):
    empty = source(tmp_path / "in", train=[{"text": ["  "], "label": ["x"]}])
    with pytest.raises(DataError, match="train split has no text"):
        run(tmp_path / "out", [empty], learn=100)


def test_a_vocabulary_without_special_pieces_is_refused(tmp_path, corpus):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\nlow\n")
    with pytest.raises(DataError, match=r"lacks \[CLS\] \[SEP\] \[MASK\]"):
        run(tmp_path / "out", [corpus], path=str(path))


def test_a_vocabulary_that_knows_nearly_no_word_stops_the_run(tmp_path, corpus, caplog):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(SPECIAL) + "\nlow\n")  # 2 of the 4 words of a document
    run(tmp_path / "out", [corpus], path=str(path))
    assert "50% of the words are [UNK]; take a vocabulary or a checkpoint" in caplog.text
    path.write_text("\n".join(SPECIAL) + "\n낮은\n")
    with pytest.raises(DataError, match=r"100% of the 12 words are \[UNK\] with this vocabulary; take"):
        run(tmp_path / "none", [corpus], path=str(path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of learn, path and base_model"),
        ({"learn": 10, "path": "vocab.txt"}, "one of learn, path and base_model"),
        ({"learn": 10, "mode": "lower"}, "mode must be one of"),
        ({"learn": 10, "reserve": ["[MASK]"]}, "reserved piece"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_run(tmp_path, corpus, settings, message):
    with pytest.raises(ValueError, match=message):
        vocabulary_gen.VocabularyGen([channel_utils.as_channel([corpus])], source_digest="d", **settings)


def test_a_vocabulary_in_s3_is_read_there(tmp_path, task, s3):
    given = "\n".join([*SPECIAL, "new", "##er", "##est", "wide"]) + "\n"
    s3.put_object(Bucket="bucket", Key="imports/1/vocab.txt", Body=given.encode())
    folder = run(tmp_path / "out", [task], path="s3://bucket/imports/1/vocab.txt")
    assert (folder / "vocab.txt").read_text() == given
    with pytest.raises(DataError, match=r"s3://bucket/imports/2/vocab\.txt does not exist: it should hold the vocab"):
        run(tmp_path / "other", [task], path="s3://bucket/imports/2/vocab.txt")
