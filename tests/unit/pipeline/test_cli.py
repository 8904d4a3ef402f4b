import csv
import errno
import gzip
import io
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from components import parallel
from configs.base import ConfigError
from pipeline import cli, exits
from pipeline.inference import predict
from schemas import DataError
from tests import bert_folder

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "data" / "experiments"
REVIEWS = [("a good film with a great cast", "good"), ("a bad film and a dull plot", "bad")] * 30


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, without a terminal's width in the way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def tfx_bert(*arguments, code=0):
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def write_csv(path, rows=REVIEWS, header=("text", "label"), encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_yaml(path, **lines):
    values = {
        "name": "x",
        "vocabulary": "{learn: 100}",
        "encoder": "bert_tiny",
        "task": "{type: classification, data: {path: r.csv}, labels: [bad, good]}",
    } | lines
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()), "utf-8")
    return path


def test_help_imports_nothing_heavy():
    code = (
        "import sys, pipeline.cli; print([m for m in ('tensorflow', 'tfx', 'pydantic', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_command_has_help():
    for name in cli.main.commands:
        assert "Usage:" in tfx_bert(name, "--help")


@pytest.mark.parametrize("arguments", ["--help", "check --help", "check --schema", "init --data r.csv"])
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_pipe_that_nobody_reads_ends_every_command_quietly(folder, arguments, both):
    write_csv(folder / "r.csv")
    ran = unread(*arguments.split(), stderr=both)
    assert (ran.returncode, ran.stderr or "") == (1, "")
    assert not (folder / "runs").exists()


def test_another_broken_pipe_is_told(folder, capsys):
    raised = BrokenPipeError(errno.EPIPE, "the cluster hung up")
    command = click.Command("x", callback=lambda: (_ for _ in ()).throw(raised))
    with pytest.raises(SystemExit, match="1"):
        exits.Group("tfx-bert", commands={"x": command})(["x"])
    assert "the cluster hung up" in capsys.readouterr().err


def unread(*arguments, stderr=False):
    """Runs Python with an output that nobody reads, as ``| head`` leaves it."""
    reader, writer = os.pipe()
    os.close(reader)
    code = "from pipeline.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        stdout=writer,
        stderr=writer if stderr else subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    return ran


def test_check_accepts_a_whole_experiment(folder):
    write_csv(folder / "r.csv")
    output = tfx_bert("check", write_yaml(folder / "x.yaml"))
    assert "✓ r.csv: 60 records · about 9 tokens mean · 50 % good · 50 % bad" in output
    assert "✓ runs/: writable" in output
    assert "estimate: 0:4" in output


def test_check_accepts_own_csv_from_a_korean_folder(folder):
    """Two files in cp949 under a pattern, Korean column names and labels, and a checkpoint folder."""
    klue, data = folder / "klue-bert-base", folder / "data"
    klue.mkdir()
    data.mkdir()
    bert_folder.write(klue)
    rows = [("좋아요", "긍정", "극장"), ("그저 그래요", "중립", "극장"), ("나빠요", "부정", "집")] * 5
    for name in ("a.csv", "b.csv"):
        write_csv(data / name, rows, ("리뷰", "감성", "category"), "cp949")
    output = tfx_bert("check", GOLDEN / "reviews.yaml")
    assert "✓ data/*.csv: 30 records · about 3 tokens mean · 33 % 긍정 · 33 % 중립 · 33 % 부정" in output
    assert "✓ ./klue-bert-base: BERT of 2 layers, 4 wide" in output


def test_check_accepts_own_corpus(folder):
    """Messages in gzipped JSON Lines, grouped by room and ordered by time."""
    (folder / "data").mkdir()
    with gzip.open(folder / "data" / "chat.jsonl.gz", "wt", encoding="utf-8") as file:
        for number in range(6):
            file.write(json.dumps({"message": "안녕하세요 ㅋㅋㅋㅋ", "room_id": number % 2, "sent_at": number}) + "\n")
    output = tfx_bert("check", GOLDEN / "chat-bert.yaml")
    assert "✓ data/*.jsonl.gz: 6 documents" in output
    assert "estimate:" in output


def test_a_cluster_is_checked_too(folder):
    write_csv(folder / "r.csv")
    assert "60 records" in tfx_bert("check", write_yaml(folder / "x.yaml"), "--env", GOLDEN / "cluster.yaml")


def test_what_lies_on_a_volume_of_the_cluster_is_not_looked_for_here(folder):
    cluster = (GOLDEN / "cluster.yaml").read_text() + "volumes: [{claim: corpora, mount: /mnt/corpora}]\n"
    (folder / "k.yaml").write_text(cluster.replace("…", "0" * 64))
    write_yaml(folder / "x.yaml")
    given = (folder / "x.yaml").read_text()
    (folder / "x.yaml").write_text(given.replace("path: r.csv", "path: /mnt/corpora/r.csv"))
    told = tfx_bert("check", "x.yaml", "--env", "k.yaml")
    assert "✓ $.task.data: /mnt/corpora/r.csv is on a volume of the cluster and is not looked at" in told
    assert "estimate: none" in told
    assert "no file matches '/mnt/corpora/r.csv'" in tfx_bert("check", "x.yaml", code=3)
    assert "14 nodes for kubeflow" in tfx_bert("compile", "x.yaml", "--env", "k.yaml")
    compiled = (folder / "build/x-kubeflow.yaml").read_text()
    assert "/mnt/corpora/r.csv" in compiled


def test_check_does_not_import_tensorflow(folder):
    write_csv(folder / "r.csv")
    write_yaml(folder / "x.yaml")
    code = "import sys; from pipeline import cli; cli.main(['check', 'x.yaml'], standalone_mode=False); " + (
        "print([m for m in ('tensorflow', 'tfx', 'apache_beam', 'keras') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.endswith("[]\n")


def test_a_configuration_fault_is_one_sentence_and_code_2(folder):
    write_yaml(folder / "x.yaml", train="{bath_size: 3}")
    assert tfx_bert("check", "x.yaml", code=2) == (
        "✗ x.yaml:5 $.train.bath_size: unknown key, did you mean batch_size?   (exit 2)\n"
    )
    assert "no such file" in tfx_bert("run", "none.yaml", code=2)
    assert "--env: allowed beam|kubeflow|local|vertex, received 'loca'" in tfx_bert(
        "run", "x.yaml", "--set", "train=", "--env", "loca", code=2
    )


def test_data_faults_are_code_3(folder):
    write_yaml(folder / "x.yaml")
    assert "no file matches 'r.csv'" in tfx_bert("check", "x.yaml", code=3)
    write_csv(folder / "r.csv", [("좋은 영화", "good"), ("나쁜 영화", "bad")], encoding="cp949")
    output = tfx_bert("check", "x.yaml", code=3)
    assert "it decodes as CP949" in output
    assert "Fix $.task.data.encoding: cp949   (exit 3)" in output
    write_csv(folder / "r.csv", header=("text", "class"))
    assert "no column 'label', which $.task.data.label names" in tfx_bert("check", "x.yaml", code=3)
    write_csv(folder / "r.csv", [("a", "good"), ("b", "good")])
    assert "every record has the label good" in tfx_bert("check", "x.yaml", code=3)


def test_bad_rows_are_told_by_reason_with_the_way_out(folder):
    write_yaml(folder / "x.yaml")
    write_csv(folder / "r.csv", [*REVIEWS, ("", "good"), ("fine", "soso"), ("fine too", "soso")])
    output = tfx_bert("check", "x.yaml", code=3)
    assert "✗ 3 of 63 rows bad; on_bad_record: fail" in output
    assert "2  label 'soso', allowed bad|good  first r.csv:63" in output
    assert "1  column 'text' is empty          first r.csv:62" in output
    assert "--set task.data.on_bad_record=quarantine" in output
    assert "3 bad, to be quarantined" in tfx_bert("check", "x.yaml", "--set", "task.data.on_bad_record=quarantine")


def test_all_faults_of_a_check_come_at_once(folder):
    write_yaml(folder / "x.yaml", checkpoint="nowhere", vocabulary="", encoder="")
    output = tfx_bert("check", "x.yaml", code=3)
    assert "no file matches 'r.csv'" in output
    assert "$.checkpoint: nowhere is no folder" in output


def test_run_looks_at_the_data_before_it_imports_tensorflow(folder):
    write_yaml(folder / "x.yaml")
    began = time.perf_counter()
    assert "no file matches 'r.csv'" in tfx_bert("run", "x.yaml", code=3)
    assert time.perf_counter() - began < 1
    assert not (folder / "runs").exists()


def test_how_many_cores_is_said_to_the_nodes_of_this_machine_only(folder, monkeypatch):
    monkeypatch.setenv("TFX_BERT_CORES", "two")
    write_yaml(folder / "x.yaml")
    assert "TFX_BERT_CORES" in tfx_bert("run", "x.yaml", code=2)
    assert "Invalid value for '--cores'" in tfx_bert("run", "x.yaml", "--cores", "0", code=2)
    refused = tfx_bert("run", "x.yaml", "--cores", "2", "--env", "kubeflow", code=2)
    assert "--cores: on a cluster a node uses those of its machine; give its pool another cpu" in refused
    assert os.environ["TFX_BERT_CORES"] == "two"
    tfx_bert("run", "x.yaml", "--cores", "2", code=3)  # no file
    assert os.environ[parallel.CORES] == "2"


@pytest.mark.parametrize("command", ["check", "run"])
def test_workers_with_a_folder_of_their_own_take_absolute_paths(folder, command):
    write_csv(folder / "r.csv")
    write_yaml(folder / "x.yaml")
    flags = ["--runner=PortableRunner", "--environment_type=EXTERNAL", "--job_endpoint=h:1"]
    (folder / "flink.yaml").write_text(f"beam_pipeline_args: {flags}\n")
    assert tfx_bert(command, "x.yaml", "--env", "flink.yaml", code=2).splitlines()[-1] == (
        "✗ $.task.data.path: r.csv is relative, and the workers of $.beam_pipeline_args have a working folder of their "
        f"own; give {folder}/r.csv, if they see it under that name   (exit 2)"
    )


def test_an_output_folder_that_cannot_be_written(folder):
    write_csv(folder / "r.csv")
    (folder / "runs").write_text("a file in its place")
    assert "runs" in tfx_bert("run", write_yaml(folder / "x.yaml"), code=1)


@pytest.mark.parametrize("command", [["runs"], ["show"], ["errors"], ["predict", "hello"], ["diff", "1", "2"]])
def test_before_the_first_run(folder, command):
    assert "tfx-bert run" in tfx_bert(*command, code=1)


def test_what_caused_an_exception_is_what_is_told():
    try:
        try:
            raise DataError("r.csv:3 is wrong")
        except DataError as error:
            raise RuntimeError("Beam wraps it") from error
    except RuntimeError as error:
        assert exits.explain(error) == ("r.csv:3 is wrong", 3)


def test_exit_codes_by_kind():
    assert exits.explain(ConfigError("x"))[1] == 2
    full = OSError(28, "No space left on device", "/runs/model")
    assert exits.explain(full) == ("the disk is full (/runs/model); free space and run again", 1)


def test_a_fault_that_nobody_foresaw_shows_no_traceback(folder, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("pipeline.loader.load", broken)
    output = tfx_bert("check", "x.yaml", code=1)
    assert output == "✗ ZeroDivisionError: division by zero\n  The traceback: runs/crash.log   (exit 1)\n"
    assert "Traceback" in (folder / "runs" / "crash.log").read_text()


def test_interrupted_is_130(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.loader.load", interrupted)
    assert "interrupted" in tfx_bert("check", "x.yaml", code=130)


def test_data_knows_its_names(folder):
    assert "'foo' is none of reviews, dialogues, minilm, spam, movies, korean, brown, replies" in tfx_bert(
        "data", "fetch", "foo", code=2
    )


def test_rows_longer_than_the_checkpoint_are_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path(__file__).parents[2] / "data" / "bert_tiny"
    (tmp_path / "r.csv").write_text("text,label\nfine,good\npoor,bad\n")
    (tmp_path / "r.yaml").write_text(
        f"name: r\ncheckpoint: {folder}\n"
        "task: {type: classification, data: {path: r.csv}, labels: [bad, good], max_length: 4096}\n"
    )
    result = CliRunner().invoke(cli.main, ["run", "r.yaml"])
    assert result.exit_code == 2
    assert "$.task.max_length: 4096 is longer than the" in result.output


@pytest.fixture
def base(folder):
    """An experiment that pushed a base model of 512 positions, cased."""
    place = folder / "runs/base/serving_model/base/3/assets.extra/checkpoint"
    place.mkdir(parents=True)
    bert_folder.write(place)
    write_csv(folder / "r.csv", REVIEWS)
    return place


def chained(folder, length, text="{}"):
    task = f"{{type: classification, data: {{path: r.csv}}, labels: [bad, good], max_length: {length}}}"
    write_yaml(folder / "x.yaml", checkpoint="{experiment: base}", vocabulary="", encoder="", task=task, text=text)


def test_an_experiment_to_start_from_is_read_like_a_folder(folder, base):
    chained(folder, 128)
    assert "✓ base v3: BERT of 2 layers, 4 wide" in tfx_bert("check", "x.yaml")
    chained(folder, 513)
    for command in ("check", "run"):
        output = tfx_bert(command, "x.yaml", code=2)
        assert "$.task.max_length: 513 is longer than the 512 positions of base v3" in output


def test_more_frozen_layers_than_the_checkpoint_has_are_refused(folder, base):
    chained(folder, 128)
    output = tfx_bert("check", "x.yaml", "--set", "train.freeze=3", code=2)
    assert "$.train.freeze: 3 is more than the 2 layers of base v3" in output
    tfx_bert("check", "x.yaml", "--set", "train.freeze=2")


def test_a_casing_that_the_checkpoint_was_not_trained_with_is_refused(folder, base):
    chained(folder, 128, "{mode: bert_uncased}")
    output = tfx_bert("check", "x.yaml", code=2)
    assert "$.text.mode: base v3 was trained with cased, not bert_uncased; leave text.mode out" in output
    chained(folder, 128, "{mode: cased}")
    tfx_bert("check", "x.yaml")


def test_an_experiment_that_pushed_nothing_is_the_configurations_fault(folder):
    chained(folder, 128)
    write_csv(folder / "r.csv", REVIEWS)
    for command in ("check", "run"):
        assert "experiment base has pushed no model" in tfx_bert(command, "x.yaml", code=2)


def test_check_refuses_the_share_of_bad_rows_that_a_run_refuses(folder):
    task = "{type: classification, data: {path: r.csv, on_bad_record: quarantine}, labels: [bad, good]}"
    write_yaml(folder / "x.yaml", task=task)
    write_csv(folder / "r.csv", [*REVIEWS, *[("", "good")] * 20])
    output = tfx_bert("check", "x.yaml", code=3)
    assert "20 of 80 rows bad; max_bad_share: 0.05" in output
    assert "--set task.data.max_bad_share=0.251" in output
    assert "20 bad, to be quarantined" in tfx_bert("check", "x.yaml", "--set", "task.data.max_bad_share=0.251")


def test_texts_for_predict_that_are_not_utf8():
    lines = predict._lines(io.BytesIO("\ufeffcafé\r\n\nfilm".encode() + b"\ncaf\xe9\n"))
    assert list(itertools.islice(lines, 3)) == ["café", "", "film"]
    with pytest.raises(DataError, match=r"^line 4 of standard input is not UTF-8 \(byte 0xe9\)$"):
        next(lines)
    with pytest.raises(DataError, match=r"^text 2 of the command line is not UTF-8 \(byte 0xe9\)$"):
        predict._decoded(["café", os.fsdecode(b"caf\xe9")])


def test_what_comes_before_a_fault_is_answered():
    found = predict.batches(predict._lines(io.BytesIO(b"one\ntwo\n\xff\n")), 32)
    assert next(found) == ["one", "two"]
    with pytest.raises(DataError, match="line 3 of standard input"):
        next(found)


def test_the_texts_of_mistakes_need_no_option():
    result = CliRunner().invoke(cli.main, ["errors", "--texts"])
    assert result.exit_code == 2
    assert "--texts goes with --labels; the mistakes of the test split always have their texts" in result.output
