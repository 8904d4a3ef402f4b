"""The Evaluator: TFMA's figures are scikit-learn's, and a refusal says which threshold failed."""

import functools
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

import schemas
from components import artifacts
from components.evaluate import evaluation, references, verdict
from components.evaluate.evaluator import Executor
from models.bert.encoder import BertEncoder
from models.export import saved_model
from models.tasks.classification import Task
from models.text.tokenization import SPECIAL, TextRules, Tokenizer
from tests.component.transforming import artifact

WORDS = ["좋다", "나쁘다", "보통", "영화", "good", "bad", "film", "very", "not"]
TOKENIZER = Tokenizer([*SPECIAL, *WORDS], TextRules("uncased_nfc"))
LABELS = {2: ["negative", "positive"], 3: ["부정", "중립", "긍정"]}
BLESS = {"max_regression": 0.01}


def write_model(folder, labels, seed):
    keras.utils.set_random_seed(seed)
    encoder = BertEncoder(
        vocabulary_size=TOKENIZER.size, num_layers=1, hidden_dim=16, num_heads=2, intermediate_dim=32, max_positions=32
    )
    task = Task({"labels": labels, "max_length": 24})
    model = task.build(encoder)
    for variable in model.trainable_variables:
        variable.assign(variable * 8 if "norm" not in variable.path else variable)
    saved_model.write(
        str(folder / "Format-Serving"),
        family="text",
        model=model,
        the_task=task,
        featurize=lambda record: task.featurize(record, TOKENIZER),
        raw_spec={"text": tf.io.FixedLenFeature([], tf.string)},
    )
    return folder


def records(labels, count=120):
    generator = np.random.default_rng(4)
    for index in range(count):
        text = " ".join(generator.choice(WORDS, size=generator.integers(1, 20)))
        # The first label is the majority.
        yield {
            "text": text,
            "label": labels[max(0, index % (len(labels) + 1) - 1)],
            "genre": "드라마" if index % 3 else "sf",
            "origin": f"a.csv:{index + 2}",
        }


def serialized(record):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                if isinstance(value, str)
                else tf.train.Feature(float_list=tf.train.FloatList(value=value))
                for name, value in record.items()
            }
        )
    ).SerializeToString()


def write(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), options="GZIP") as writer:
        for each in records:
            writer.write(serialized(each))


@pytest.fixture(scope="module", params=LABELS, ids=["two labels", "three Korean labels"])
def judged(request, tmp_path_factory):
    """From thresholds, and whether there is a baseline, to the verdict; and what the models answered."""
    root, labels = tmp_path_factory.mktemp("evaluator"), LABELS[request.param]
    candidate, baseline = write_model(root / "a", labels, 1), write_model(root / "b", labels, 2)
    rows, given = list(records(labels)), {"labels": labels}
    folders = {split: root / f"examples/Split-{split}" for split in ("train", "test")}
    for split, folder in folders.items():
        write(folder, rows[::-1] if split == "train" else rows)
    compared = references.rows(Task(given), Task.baselines, [str(folders["train"])], [str(folders["test"])])
    (root / "schema").mkdir()
    resolved = schemas.resolve("classification", labels=labels, slices={"genre": []})
    (root / "schema/schema.pbtxt").write_text(schemas.dump(resolved))
    inputs = {
        "examples": [artifact(standard_artifacts.Examples, root / "examples", split_names='["train", "test"]')],
        "schema": [artifact(standard_artifacts.Schema, root / "schema")],
        "model": [artifact(standard_artifacts.Model, candidate)],
    }

    shown = {}

    @functools.cache
    def evaluated(with_baseline):
        """The folder of one evaluation; thresholds are judged on its figures afterwards."""
        folder = root / f"out-{len(list(root.glob('out-*')))}"
        outputs = {
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
            "blessing": [artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
            "metrics": [artifact(artifacts.Metrics, folder / "metrics")],
            "classification": [artifact(artifacts.ClassificationMetrics, folder / "classification")],
            "report": [artifact(artifacts.HTML, folder / "report")],
        }
        (folder / "blessing").mkdir(parents=True)
        context = Executor.Context(
            beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(folder), unique_id="1"
        )
        Executor(context).Do(
            inputs | ({"baseline_model": [artifact(standard_artifacts.Model, baseline)]} if with_baseline else {}),
            outputs,
            {
                "eval_config": proto_utils.proto_to_json(
                    evaluation.eval_config("classification", given, ["length_bucket", "genre"])
                ),
                "example_splits": '["test"]',
                "fairness_indicator_thresholds": "null",
                "task": json.dumps({"type": "classification", "config": given}),
                "bless": json.dumps(BLESS),
                "baselines": json.dumps(Task.baselines),
            },
        )
        found, blessing = verdict.read(str(folder / "evaluation")), outputs["blessing"][0]
        assert found == judge(BLESS, with_baseline, str(folder / "evaluation"))
        assert found.blessed == bool(blessing.get_int_custom_property("blessed"))
        assert (folder / "blessing" / ("BLESSED" if found.blessed else "NOT_BLESSED")).exists()
        shown[with_baseline] = outputs
        return str(folder / "evaluation")

    def judge(bless, with_baseline=False, folder=None, teacher=None):
        before, others = str(baseline) if with_baseline else None, dict(compared)
        if teacher is not None:
            write(root / "taught/Split-test", [{"teacher_answer": scores} for scores in teacher])
            others["teacher"] = references.taught(
                Task(given), [str(folders["test"])], [str(root / "taught/Split-test")]
            )
        return evaluation.verdict(
            folder or evaluated(with_baseline), the_task=Task(given), bless=bless, baseline=before, references=others
        )

    def answers(folder):
        serve = tf.saved_model.load(str(folder / "Format-Serving")).signatures["serving_default"]
        return serve(text=tf.constant([row["text"] for row in rows]))

    judge.shown = shown
    return judge, labels, rows, answers(candidate), answers(baseline)


def test_a_share_of_the_teachers_figure_is_a_threshold_and_the_teacher_a_baseline(judged):
    judge, _, rows, answers, others = judged
    truth = [row["label"] for row in rows]
    accuracy, of_teacher = (
        metrics.accuracy_score(truth, [label.decode() for label in each["label"].numpy()]) for each in (answers, others)
    )
    for share, passed in {accuracy / of_teacher - 1e-6: True, accuracy / of_teacher + 1e-6: False}.items():
        found = judge(BLESS | {"teacher": share}, teacher=others["scores"].numpy())
        (check,) = found.checks
        assert (check.name, check.relation, check.passed) == ("accuracy kept of the teacher's", "≥", passed)
        assert check.bound == pytest.approx(share * of_teacher)
        assert found.baselines[-1].name == "teacher"
        assert found.baselines[-1].value == pytest.approx(of_teacher)


def test_a_better_baseline_is_warned_of_unless_it_is_the_teacher_or_a_check_is_about_it(judged):
    judge, labels, rows, *_ = judged
    # A teacher that is always right is better than this untrained model by more than chance.
    right = np.eye(len(labels), dtype=np.float32)[[labels.index(row["label"]) for row in rows]]

    def warned(bless):
        told = judge(bless, teacher=right).warnings
        return {name for name in ("tfidf", "teacher") if any(f"baseline {name} is better" in each for each in told)}

    assert warned(BLESS) == {"tfidf"}  # it was fitted to these very records
    assert warned(BLESS | {"beats": ["tfidf"]}) == set()


def test_figures_are_scikit_learns(judged):
    judge, labels, rows, answers, _ = judged
    truth, guess = [row["label"] for row in rows], [label.decode() for label in answers["label"].numpy()]
    found = judge(BLESS)
    assert found.n == len(rows)
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess), abs=1e-9)
    assert found.trivial == pytest.approx(max(truth.count(label) for label in labels) / len(truth), abs=1e-9)
    recall = metrics.recall_score(truth, guess, labels=labels, average=None, zero_division=0)
    precision = metrics.precision_score(truth, guess, labels=labels, average=None, zero_division=0)
    for index, label in enumerate(labels):
        assert found.metrics[f"recall[{label}]"] == pytest.approx(recall[index], abs=1e-9)
        assert found.metrics[f"precision[{label}]"] == pytest.approx(precision[index], abs=1e-9)
    if len(labels) > 2:
        f1 = metrics.f1_score(truth, guess, labels=labels, average="macro", zero_division=0)
        assert found.metrics["f1"] == pytest.approx(f1, abs=1e-9)
    else:
        assert found.metrics["f1"] == pytest.approx(metrics.f1_score(truth, guess, pos_label=labels[1]), abs=1e-9)
    # A batch of another size moves the last bits of a score, and two equal ones are half a pair of the area.
    positive, scores = np.array(truth)[:, None] == np.array(labels), answers["scores"].numpy()
    of = range(len(labels)) if len(labels) > 2 else [1]
    least, most = (
        np.mean([metrics.roc_auc_score(positive[:, at], scores[:, at] + slack * positive[:, at]) for at in of])
        for slack in (-1e-6, 1e-6)
    )
    assert least - 1e-6 <= found.metrics["auc"] <= most + 1e-6
    assert most - least < 0.01
    assert found.metrics["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, guess), abs=1e-9)
    # A gap for each answer's bin of confidence, by the definition.
    best, right = answers["scores"].numpy().max(axis=1), np.array(truth) == np.array(guess)
    gaps = [
        abs(best[inside].sum() - right[inside].sum())
        for low in range(15)
        if (inside := (best >= low / 15) & (best < (low + 1) / 15)).any()
    ]
    assert found.metrics["ece"] == pytest.approx(sum(gaps) / len(truth), abs=1e-6)


@pytest.mark.parametrize("with_baseline", [False, True], ids=["alone", "with a baseline"])
def test_what_kubeflow_shows_is_scikit_learns_too(judged, with_baseline):
    judge, labels, rows, answers, _ = judged
    found = judge(BLESS, with_baseline)
    outputs = {name: made for name, (made,) in judge.shown[with_baseline].items()}
    truth, guess = [row["label"] for row in rows], [label.decode() for label in answers["label"].numpy()]
    matrix = outputs["classification"].get_json_value_custom_property("confusionMatrix")
    assert [row["row"] for row in matrix["rows"]] == metrics.confusion_matrix(truth, guess, labels=labels).tolist()
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == labels
    assert outputs["metrics"].get_float_custom_property("accuracy") == found.metrics["accuracy"]
    assert outputs["metrics"].get_float_custom_property("blessed") == found.blessed
    page = pathlib.Path(outputs["report"].uri).read_text("utf-8")
    beside = pathlib.Path(outputs["report"].uri).parent / "evaluation" / verdict.SECTIONS
    kept = {each.title: each for each in verdict.sections_of(beside.read_text("utf-8"))}
    assert [row[1:] for row in kept["Confusion"].rows] == [row["row"] for row in matrix["rows"]]
    assert "<h2>Confusion</h2>" in page
    assert ("Not blessed" in page) == (not found.blessed)
    if len(labels) == 2:
        points = outputs["classification"].get_json_value_custom_property("confidenceMetrics")
        positive, scores = np.array(truth) == labels[1], answers["scores"].numpy()[:, 1]
        for point in points:  # a batch of another size moves the last bits of a score
            most, least = (scores > point["confidenceThreshold"] + slack for slack in (-1e-5, 1e-5))
            for name, part in (("recall", positive), ("falsePositiveRate", ~positive)):
                assert least[part].mean() <= point[name] <= most[part].mean()
        area = metrics.auc([p["falsePositiveRate"] for p in points], [p["recall"] for p in points])
        assert area == pytest.approx(found.metrics["auc"], abs=1e-6)


def test_slices_are_by_length_label_and_named_column(judged):
    judge, labels, rows, answers, _ = judged
    found = {part.name: part for part in judge(BLESS).slices}
    right = [row["label"] == label.decode() for row, label in zip(rows, answers["label"].numpy(), strict=True)]
    drama = [ok for ok, row in zip(right, rows, strict=True) if row["genre"] == "드라마"]
    assert found["genre: 드라마"].n == len(drama)
    assert found["genre: 드라마"].value == pytest.approx(sum(drama) / len(drama), abs=1e-9)
    assert {f"label: {label}" for label in labels} <= found.keys()
    assert sum(part.n for name, part in found.items() if name.startswith("length_bucket: ")) == len(rows)


def test_a_reviewer_knows_which_records_are_in_a_slice(judged):
    judge, labels, rows, *_ = judged
    found = judge(BLESS, with_baseline=True)
    folder = judge.shown[True]["evaluation"][0].uri
    parts = evaluation._identities(folder, Task({"labels": labels}), "candidate")
    whole, _ = evaluation.rows(folder, Task({"labels": labels}), "candidate")
    assert {name: len(own) for name, own in parts.items()} == {
        part.name: part.n for part in found.slices if not part.name.startswith("label: ")
    }
    genre = np.concatenate([parts["genre: sf"], parts["genre: 드라마"]])
    assert sorted(genre) == sorted(whole)
    assert len(parts["genre: sf"]) == sum(row["genre"] == "sf" for row in rows)


def test_nothing_asked_means_better_than_the_majority(judged):
    judge, *_ = judged
    (check,) = judge(BLESS).checks
    found = judge(BLESS)
    assert (check.name, check.relation, check.bound) == ("accuracy", ">", found.trivial)
    assert check.passed == found.blessed == (found.metrics["accuracy"] > found.trivial)


def test_each_threshold_is_checked_and_named(judged):
    judge, labels, rows, *_ = judged
    figures = judge(BLESS).metrics
    label = min(labels, key=lambda label: figures[f"recall[{label}]"])
    recall = figures[f"recall[{label}]"]
    passing = {**BLESS, "accuracy": figures["accuracy"], "recall": {label: recall}}
    assert judge(passing).blessed
    failing = judge({**passing, "recall": {label: recall + 0.01}})
    assert not failing.blessed
    (failed,) = [check for check in failing.checks if not check.passed]
    assert (failed.name, failed.value, failed.bound) == (f"recall[{label}]", recall, recall + 0.01)
    assert failed.n == sum(row["label"] == label for row in rows)


def test_a_slice_that_falls_short_is_named_with_its_value_and_records(judged):
    judge, *_ = judged
    drama = next(part for part in judge(BLESS).slices if part.name == "genre: 드라마")
    found = judge({**BLESS, "slices": {"genre": {"드라마": drama.value + 0.01, "western": 0.0}}})
    checks = {check.name: check for check in found.checks}
    failed = checks["accuracy[genre: 드라마]"]
    assert (failed.value, failed.bound, failed.n, failed.passed) == (drama.value, drama.value + 0.01, drama.n, False)
    # A part that the test split has no record of was not judged, so it is not passed.
    absent = checks["accuracy[genre: western]"]
    assert (absent.value, absent.n, absent.passed) == (None, 0, False)
    assert "accuracy" in checks, "the majority is still to be beaten"
    assert not found.blessed


def test_a_bound_on_a_column_holds_for_each_value_with_enough_records(judged):
    judge, *_ = judged
    parts = [part for part in judge(BLESS).slices if part.name.startswith("genre: ")]
    enough = {f"accuracy[{part.name}]": part.value >= 0.5 for part in parts if part.n >= verdict.SLICE_RECORDS}
    checks = judge({**BLESS, "slices": {"genre": 0.5}}).checks
    assert {check.name: check.passed for check in checks if "genre" in check.name} == enough
    assert enough


def test_a_bound_on_a_column_without_a_value_of_enough_records_is_not_passed(judged, monkeypatch):
    judge, *_ = judged
    monkeypatch.setattr(evaluation, "SLICE_RECORDS", 1000)
    found = judge({**BLESS, "slices": {"genre": 0.0}})
    (check,) = [check for check in found.checks if "genre" in check.name]
    assert (check.name, check.value, check.passed) == ("accuracy[genre: any of 1000 records]", None, False)


def test_what_must_be_beaten_is_a_check_each_and_every_difference_has_an_interval(judged):
    judge, labels, rows, answers, before = judged
    found = judge({**BLESS, "beats": ["majority", "tfidf"]}, with_baseline=True)
    majority, tfidf = found.baselines
    truth = np.array([row["label"] for row in rows])
    # The majority of the train split, which holds the same records.
    usual = max(labels, key=truth.tolist().count)
    assert majority.value == pytest.approx((truth == usual).mean(), abs=1e-12)
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    texts = [row["text"] for row in rows]
    model = LogisticRegression(C=10, max_iter=1000).fit(vectors.fit_transform(texts[::-1]), truth[::-1])
    guess = model.predict(vectors.transform(texts))
    assert tfidf.value == pytest.approx((guess == truth).mean(), abs=1e-12)
    checks = {check.name: check for check in found.checks}
    for name, each in (("majority", majority), ("tfidf", tfidf)):
        check = checks[f"accuracy vs {name}"]
        assert (check.value, check.relation, check.bound) == (found.metrics["accuracy"], ">", each.value)
        assert check.passed == (found.metrics["accuracy"] > each.value)
    # By the definition: the same records of both, drawn with replacement.
    right = np.array([label.decode() for label in answers["label"].numpy()]) == truth
    apart = right.astype(float) - (guess == truth)
    draws = np.random.default_rng(7).integers(len(truth), size=(20_000, len(truth)))
    np.testing.assert_allclose(
        (tfidf.low, tfidf.high), np.percentile(apart[draws].mean(axis=1), (2.5, 97.5)), atol=0.02
    )
    np.testing.assert_allclose(
        found.intervals["accuracy"], np.percentile(right[draws].mean(axis=1), (2.5, 97.5)), atol=0.02
    )
    past = np.array([label.decode() for label in before["label"].numpy()]) == truth
    change = right.astype(float) - past
    np.testing.assert_allclose(
        found.intervals["change"], np.percentile(change[draws].mean(axis=1), (2.5, 97.5)), atol=0.02
    )


def test_no_regression_against_the_baseline(judged):
    judge, _, rows, answers, before = judged
    truth = [row["label"].encode() for row in rows]
    change = np.mean(answers["label"].numpy() == truth) - np.mean(before["label"].numpy() == truth)
    found = judge({"accuracy": 0.001, "max_regression": 0.0}, with_baseline=True)
    check = next(check for check in found.checks if check.name == "change")
    assert check.value == pytest.approx(change, abs=1e-9)
    assert found.blessed == check.passed == (change >= 0)
    assert found.metrics.keys() == judge(BLESS).metrics.keys()
    lenient = judge({"accuracy": 0.001, "max_regression": 1.0}, with_baseline=True)
    assert lenient.blessed
