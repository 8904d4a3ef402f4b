import json
from pathlib import Path

import pytest

from configs.base import ConfigError
from configs.experiment import FromExperiment
from models.task import Metric
from models.tasks.classification import Config
from pipeline import loader
from tests.toy import vowels

GOLDEN = Path("tests/data/experiments")
PRETRAINING = "name: x\ncorpus: {path: a.txt}\nvocabulary: {learn: 100}\nencoder: bert_tiny\npretrain: {steps: 3}\n"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])


def complaints(text, tmp_path, *overrides):
    file = tmp_path / "x.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        loader.load(file, overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


def test_own_csv_from_a_korean_folder():
    found = loader.load(GOLDEN / "reviews.yaml")
    assert found.checkpoint == "./klue-bert-base"
    assert found.task.labels == ["부정", "중립", "긍정"]
    assert found.task.data.path == ["data/*.csv"]
    assert found.task.data.encoding == "cp949"
    assert found.train.learning_rate == 3e-5
    assert found.evaluate.bless.recall == {"부정": 0.7}
    assert found.evaluate.bless.max_regression == 0.01
    assert isinstance(found.task, Config)


def test_own_corpus():
    found = loader.load(GOLDEN / "chat-bert.yaml")
    assert found.task is None
    assert found.pretrain.tokens == 2_000_000_000
    assert found.encoder.hidden_dim == 512
    assert (found.text.replace[0].pattern, found.text.replace[0].with_) == ("ㅋ{3,}", "ㅋㅋ")
    assert found.corpus.text == ["message"]


def test_a_task_that_does_not_exist_yet_is_one_sentence():
    with pytest.raises(ConfigError) as caught:
        loader.load(GOLDEN / "entities.yaml", ["task.type=summarization"])
    assert "$.task.type: there is no task 'summarization'; models/tasks/ has classification, multi_label" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_a_task_and_a_record_kind_that_live_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "next_item.py").write_text(
        "from models.tasks import classification\n\nConfig = classification.Config\n\n\n"
        "class Task(classification.Task):\n    schema = 'tests.component.events'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = "name: x\ncheckpoint: a\ntask: {type: theirs.next_item, labels: [a, b], data: {path: a.csv, user: who}}\n"
    file = tmp_path / "x.yaml"
    file.write_text(text)
    assert loader.load(file).task.data.columns == [("user", "who"), ("item", "item"), ("time", "time")]
    (sentence,) = complaints(text, tmp_path, "task.data.item=who")
    assert "$.task.data.item: column 'who' is the user already" in sentence
    (sentence,) = complaints(text, tmp_path, "evaluate.slices=[items]")
    assert "$.evaluate.slices[0]: the records have a 'items' of their own" in sentence
    for name in ("theirs.nowhere", "nobodys.task", "..task"):
        (sentence,) = complaints(text, tmp_path, f"task.type={name}")
        assert f"$.task.type: there is no task '{name}'; models/tasks/ has classification" in sentence


def test_spans_on_characters_load():
    task = loader.load(GOLDEN / "entities.yaml").task
    assert (task.data.format, task.data.unit, task.own()["scheme"], task.own()["labels"]) == (
        "conll",
        "character",
        "BIO",
        [],
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluate.bless.accuracy=.5", "max_regression, entity_f1, entity_f1_macro, character_f1_macro"),
        ("evaluate.bless.entity_f1=2", "$.evaluate.bless.entity_f1: must be at most 1.0, received 2"),
        ("task.data.format=csv", "$.task.data.format: allowed conll|jsonl|parquet, received 'csv'"),
        ("task.scheme=IOB", "$.task.scheme: allowed BIO|word, received 'IOB'"),
        ("task.labels=[PER, PER]", "labels must be distinct"),
        ("task.data.label=text", "$.task.data.label: column 'text' is the text already"),
    ],
)
def test_faults_of_a_task_on_spans(override, sentence):
    with pytest.raises(ConfigError) as caught:
        loader.load(GOLDEN / "entities.yaml", [override])
    assert sentence in str(caught.value)


def test_faults_of_tasks_without_labels(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ncheckpoint: c\ntask: {type: regression, data: {path: a.csv}}\n")
    for override, sentence in {
        "evaluate.bless.recall.a=.5": "$.evaluate.bless.recall: judges labels, and regression has none",
        "task.labels=[a]": "$.task.labels: unknown key",
        "task.data.min=a": "$.task.data.min: expected a number, received 'a'",
        "task.data={path: a.csv, min: 2.0, max: 1.0}": "min must be less than max",
        "evaluate.bless.slices={length_buckets: .5}": "slices.length_buckets: allowed length_bucket, received",
    }.items():
        with pytest.raises(ConfigError) as caught:
            loader.load(file, [override])
        assert sentence in str(caught.value)
    assert loader.load(file, ["evaluate.bless.mse=3.5"]).evaluate.bless.mse == 3.5


def test_an_environment_is_no_experiment():
    with pytest.raises(ConfigError, match="is an environment, not an experiment: pass it as --env"):
        loader.load(GOLDEN / "cluster.yaml")


@pytest.mark.parametrize("name", ["sentiment", "from_scratch", "korean"])
def test_shipped_experiments_load_by_name(name):
    assert loader.load(name).name == name


def test_every_fault_is_told_at_once_with_its_line(tmp_path):
    assert complaints(
        """name: My Reviews
checkpoint: {experimnt: x}
task:
  type: classification
  data: {path: a.csv, text: 1, label: {column: x, ranges: {a: low, b: '> 2'}}, encoding: cp94}
  labels: [0, b]
train:
  epochs: 0
  bath_size: 32
  learning_rate: fast
max_length: 3
vocabulary: [1]
evaluate:
  bless: {accuracy: 87, recall: 3}
""",
        tmp_path,
    ) == [
        "x.yaml:1 $.name: takes lower-case letters, digits, - and _, at most 63, received 'My Reviews'",
        "x.yaml:2 $.checkpoint.experimnt: unknown key, did you mean experiment?",
        "x.yaml:5 $.task.data.encoding: allowed utf-8, utf-16, cp1252 (Western European), cp949 (Korean) and the "
        "others that Python has, such as cp1251, cp932, gb18030; received 'cp94'",
        "x.yaml:5 $.task.data.text: expected text, received 1; put it in quotes",
        "x.yaml:5 $.task.data.label.ranges.a: takes a comparison with a number, such as '< -0.5', received 'low'",
        "x.yaml:6 $.task.labels[0]: expected text, received 0; put it in quotes",
        "x.yaml:8 $.train.epochs: must be at least 1, received 0",
        "x.yaml:9 $.train.bath_size: unknown key, did you mean batch_size?",
        "x.yaml:10 $.train.learning_rate: expected a number, received 'fast'",
        "x.yaml:11 $.max_length: unknown key here; max_length stands in $.task or $.pretrain or $.pretrain.phases",
        "x.yaml:12 $.vocabulary: expected a section (KEY: VALUE), received [1]",
        "x.yaml:14 $.evaluate.bless.recall: expected a section (KEY: VALUE), received 3",
        "x.yaml:14 $.evaluate.bless.accuracy: must be at most 1.0, received 87",
    ]


TASK = """name: x
checkpoint: c
task:
  type: classification
  data: {path: a.csv}
  labels: [a, b]
"""


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.bath_size=3", "$.train.bath_size: unknown key, did you mean batch_size?"),
        ("train.batch=3", "$.train.batch: unknown key, did you mean batch_size?"),
        ("task.type=clasification", "did you mean classification?"),
        ("task.type=", "$.task: type is missing"),
        ("task.labels=[a]", "$.task.labels: needs at least 2 entries"),
        ("task.labels=[a, a]", "labels must be distinct"),
        ("task.class_weights={c: 2}", "$.task.class_weights: weighs labels that are none: c; labels: a, b"),
        ("task.class_weights={a: 0}", "$.task.class_weights.a: must be more than 0.0, received 0"),
        ("task.class_weights=balance", "$.task.class_weights: allowed balanced, received 'balance', did you mean"),
        ("task.label_smoothing=1", "$.task.label_smoothing: must be less than 1.0, received 1"),
        ("task.data.path=", "$.task.data.path: missing"),
        ("task=3", "$.task: expected a section (KEY: VALUE), received 3"),
        ("task=", "give corpus (pretraining), task (fine-tuning), or both"),
        ("checkpoint=", "without a checkpoint, vocabulary and encoder must be given"),
        ("checkpoint=5", "$.checkpoint: expected text, received 5"),
        ("encoder=bert_tiny", "a checkpoint brings its own vocabulary and encoder"),
        ("encoder=bert_tine", "did you mean bert_tiny?"),
        ("evaluate.bless.recall.c=.5", "$.evaluate.bless.recall.c: allowed a|b, received 'c'"),
        ("evaluate.bless.slices={length_buckets: .5}", "slices.length_buckets: allowed length_bucket, received"),
        ("evaluate.bless.slices={length_bucket: {9-16: .5}}", "did you mean 9-16 words?"),
        ("evaluate.slices=[origin]", "the records have a 'origin' of their own; rename that column"),
        ("evaluate.bless.slices={length_bucket: {}}", "$.evaluate.bless.slices.length_bucket"),
        ("evaluate.baselines=[tfidf,tf-idf]", "$.evaluate.baselines[1]: allowed majority|tfidf, received 'tf-idf'"),
        ("evaluate.baselines=some", "$.evaluate.baselines"),
        ("evaluate.bless.beats=[mean]", "$.evaluate.bless.beats[0]: allowed majority|tfidf, received 'mean'"),
        ("evaluate.slices=[length_bucket]", "$.evaluate.slices[0]: 'length_bucket' is a slice anyway; remove it"),
        ("train.weight_decay=.inf", "$.train.weight_decay"),
        ("seed=99999999999999999999", "$.seed: must be less than 2147483648"),
        ("task.data.split={train: .9, eval: 0, test: .1}", "the eval split is empty: give split.eval a share"),
        ("text={replace: [{pattern: '(', with: x}]}", "$.text.replace[0]: invalid regular expression: missing )"),
        ("text={replace: [{pattern: '(?<=a)b', with: x}]}", "$.text.replace[0]: invalid regular expression: invalid"),
        ("text={replace: [{pattern: '', with: x}]}", "$.text.replace[0].pattern"),
        ("text={replace: [{pattern: '(a)', with: '\\2'}]}", "groups in with are \\1 to \\9, a backslash is \\\\"),
        ("evaluate.bless.slices={label: .5}", "received 'label'; recall judges labels"),
        ("evaluate.bless.slices={length_bucket: 5}", "$.evaluate.bless.slices.length_bucket"),
        ("evaluate.bless.mlm_loss=3", "judges experiments that pretrain alone"),
        ("evaluate.slices=[text]", "$.evaluate.slices[0]: 'text' is the text; labels are slices anyway"),
        ("task.data.label=text", "$.task.data.label: column 'text' is the text already"),
        ("task.data.text_pair=text", "$.task.data.text_pair: column 'text' is the text already"),
        ("task.data.format=text", "plain text has no labels"),
        ("task.data.label={column: n, ranges: {a: '< 1', c: '> 2'}}", "label.ranges.c: allowed a|b, received 'c'"),
        ("task.data.label={column: n, ranges: {a: '< 1', c: '> 2'}}", "$.task.data.label.ranges: b has no range"),
        ("task.data.split={train: .5, eval: .5, test: .5}", "the shares must sum to 1"),
        ("train.freeze=embedding", "$.train.freeze: allowed embeddings, received 'embedding', did you mean"),
        ("train.seeds=[1, 1]", "$.train: seeds must be distinct. Received: [1, 1]"),
        ("train.seeds=[]", "$.train.seeds: needs at least 1 entries"),
        ("tune={trials: 2, space: {}}", "$.tune.space: needs at least 1 entries"),
        ("tune={trials: 2, space: {batch_size: []}}", "$.tune.space.batch_size"),
        ("tune={trials: 2, space: {rate: [1]}}", "$.tune.space.rate: allowed 'learning_rate', 'batch_size', "),
        ("tune={trials: 2, space: {batch_size: [.5]}}", "tune.space.batch_size holds 0.5, which train.batch_size does"),
        ("tune={trials: 2, space: {epochs: {min: 1, max: 3}}}", "tune.space.epochs: whole numbers are a list: [1, 2]"),
        ("tune={trials: 2, space: {warmup: {min: .2, max: .1}}}", "min must be below max. Received: min=0.2, max=0.1"),
        ("train.early_stopping=2", "$.train.early_stopping: expected a section (KEY: VALUE), received 2"),
        ("train.early_stopping={patience: 0}", "$.train.early_stopping.patience: must be at least 1, received 0"),
        ("train.freeze=0", "$.train.freeze: must be at least 1, received 0"),
        ("train.epochs=true", "$.train.epochs: expected a whole number, received true"),
        ("train.epochs=1.5", "$.train.epochs: expected a whole number, received 1.5"),
        ("pretrain={steps: 3}", "corpus and pretrain go together"),
        ("score={}", "$.score.path: missing"),
        ("score={path: a.csv, label: x}", "$.score.label: unknown key"),
        ("score={path: a.csv, text_pair: x}", "$.score.text_pair: the task takes one text, not a pair"),
        ("score={path: a.txt, format: text}", "$.score.format: plain text has no columns"),
    ],
)  # fmt: skip
def test_one_fault(tmp_path, override, sentence):
    found = complaints(TASK, tmp_path, override)
    assert any(sentence in line for line in found), found


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        ("{hidden_dim: 4, num_layers: 2}", "x.yaml:3 $.encoder.num_layers: unknown key, allowed hidden_dim"),
        ("{hidden_dim: wide}", "x.yaml:3 $.encoder.hidden_dim: expected a whole number, received 'wide'"),
        ("bert_tiny", "$.encoder.num_layers: unknown key, allowed hidden_dim"),
    ],
)
def test_a_family_says_what_the_encoder_section_holds(tmp_path, encoder, sentence):
    task = "name: x\ntask: {type: tests.toy.vowels, data: {path: a.csv}}\n"
    toy = task + "encoder: {hidden_dim: 8}\nvocabulary: {learn: 100}\n"
    (tmp_path / "x.yaml").write_text(toy)
    assert loader.load(tmp_path / "x.yaml").encoder.arguments() == {"hidden_dim": 8}
    found = complaints(toy.replace("{hidden_dim: 8}", encoder), tmp_path)
    assert any(sentence in line for line in found), found


def test_what_score_leaves_out_is_as_the_task_has_it(tmp_path):
    (tmp_path / "x.yaml").write_text(
        TASK.replace("path: a.csv", "path: a.csv, text: t, text_pair: u, encoding: cp949, on_bad_record: quarantine")
    )
    assert loader.load(tmp_path / "x.yaml").scored is None
    found = loader.load(tmp_path / "x.yaml", ["score={path: new/*.csv, text: review}"]).scored
    assert (found.path, found.text, found.text_pair) == (["new/*.csv"], "review", "u")
    assert (found.encoding, found.on_bad_record, found.max_bad_share) == ("cp949", "quarantine", 0.05)
    with pytest.raises(ConfigError, match=r"\$\.score\.text_pair: column 'u' is the text already"):
        loader.load(tmp_path / "x.yaml", ["score={path: n.csv, text: u}"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("objectives=[mlm, nsp, sop]", "a pair has one label: objectives takes nsp or sop. Received: "),
        ("accumulate=33", "accumulate divides batch_size 32. Received: accumulate=33"),
        ("batch_tokens=100", "a row has up to max_length 128 tokens: remove or raise batch_tokens. Received: "),
        ("phases=[{share: .6, max_length: 8}, {share: .4, max_length: 8}]", "shares must sum to less than 1"),
        ("phases=[{share: .9, max_length: 512}]", "phases have shorter rows than max_length 128. Received: 512"),
        ("jit_compile=true", "jit_compile needs batches of one shape: add pack: true, or remove it"),
        ("masking=word", "allowed token|whole_word|ngram, received 'word'"),
    ],
)
def test_contradictions_of_pretraining(tmp_path, override, sentence):
    (found,) = complaints(PRETRAINING, tmp_path, f"pretrain.{override}")
    assert "$.pretrain" in found
    assert sentence in found


def test_a_task_without_a_corpus_has_no_use_for_train_in_pretraining(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(PRETRAINING)
    loader.load(file)
    with pytest.raises(ConfigError, match="there is no task to train"):
        loader.load(file, ["train.epochs=9"])
    with pytest.raises(ConfigError, match=r"\$\.score: is answered by a task's model, and there is no task"):
        loader.load(file, ["score={path: a.csv}"])
    with pytest.raises(ConfigError, match=r"\$\.evaluate\.bless\.accuracy: judges a task"):
        loader.load(file, ["evaluate.bless.accuracy=.5"])
    with pytest.raises(
        ConfigError, match=r"\$\.pretrain\.max_length: 513 is longer than \$\.encoder\.max_positions 512"
    ):
        loader.load(file, ["pretrain.max_length=513"])


def test_overrides_reach_into_a_named_encoder():
    found = loader.load("from_scratch", ["encoder.num_layers=3"])
    assert (found.encoder.num_layers, found.encoder.hidden_dim) == (3, 128)
    with pytest.raises(ConfigError, match=r"num_heads must divide hidden_dim"):
        loader.load("from_scratch", ["encoder.hidden_dim=129"])


def test_only_layers_that_there_are_and_that_have_learned_are_frozen(tmp_path):
    with pytest.raises(
        ConfigError, match=r"\$\.train\.freeze: keeps what was learned before, and this experiment begins"
    ):
        loader.load("from_scratch", ["corpus=", "pretrain=", "train.freeze=embeddings"])
    with pytest.raises(ConfigError, match=r"\$\.train\.freeze: 3 is more than \$\.encoder\.num_layers 2"):
        loader.load("from_scratch", ["train.freeze=3"])
    assert loader.load("from_scratch", ["train.freeze=2"]).train.freeze == 2


def test_another_experiments_model_is_a_start(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(TASK)
    assert loader.load(file, ["checkpoint={experiment: chat}"]).checkpoint == FromExperiment(experiment="chat")


@pytest.mark.parametrize("name", ["sentiment", "from_scratch", "korean", "tests/data/experiments/chat-bert.yaml"])
def test_the_resolved_file_is_the_same_experiment(tmp_path, name):
    experiment = loader.load(name)
    loader.save_resolved(experiment, tmp_path / "resolved.yaml")
    assert loader.load(tmp_path / "resolved.yaml").dump() == experiment.dump()
    assert [path.name for path in tmp_path.iterdir()] == ["resolved.yaml"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean sentiment"):
        loader.load("sentimen")


def test_the_editors_schema_is_current():
    assert json.loads(Path("configs/experiment.schema.json").read_text("utf-8")) == loader.json_schema()


@pytest.mark.parametrize(
    ("name", "millions"),
    [("bert_tiny", 4.4), ("bert_mini", 11.3), ("bert_small", 29.1), ("bert_medium", 41.7), ("bert_base", 110.1)],
)
def test_encoders_have_the_published_size(name, millions):
    from pipeline.start import estimate

    experiment = loader.load("from_scratch", [f"encoder={name}", "vocabulary.learn=30522"])
    shape = estimate.shape(experiment)
    width, pieces = shape["hidden_dim"], shape["vocabulary_size"]
    mlm_head = width * width + 3 * width + pieces  # the papers count it
    assert (estimate.cost(experiment, shape).parameters + mlm_head) / 1e6 == pytest.approx(millions, abs=0.05)


TOY = (
    "name: x\ntask: {type: tests.toy.vowels, data: {path: a.csv}}\nencoder: {hidden_dim: 8}\nvocabulary: {learn: 100}\n"
)


def test_a_task_may_know_the_thresholds_that_suit_it(tmp_path, monkeypatch):
    monkeypatch.setattr(vowels.Task, "gate", {"mae": 2.0, "beats": ["mean"]})
    file = tmp_path / "x.yaml"
    for more, mae in {"": 2.0, "evaluate: {bless: {mae: 3.0}}": 3.0}.items():
        file.write_text(TOY + more)
        bless = loader.load(file).evaluate.bless
        assert (bless.mae, bless.beats, bless.pearson) == (mae, ["mean"], None)


def test_the_bound_of_a_figure_is_the_most_that_it_can_be(tmp_path, monkeypatch):
    """chrF and BLEU go to 100; so do bounds of the headline's slices, and what it may fall by is a point."""
    monkeypatch.setattr(vowels.Task, "metrics", (Metric("chrf", most=100), Metric("ratio", most=200)))
    file = tmp_path / "x.yaml"
    bounds = "chrf: 38, ratio: 120, slices: {length_bucket: 30}"
    file.write_text(f"{TOY}evaluate: {{slices: [length_bucket], bless: {{{bounds}}}}}\n")
    bless = loader.load(file).evaluate.bless
    assert (bless.chrf, bless.ratio, bless.max_regression) == (38, 120, 1.0)
    assert bless.slices == {"length_bucket": 30}
    (found,) = complaints(f"{TOY}evaluate: {{bless: {{chrf: 101}}}}\n", tmp_path)
    assert found == "x.yaml:5 $.evaluate.bless.chrf: must be at most 100.0, received 101"


def test_records_to_score_need_not_lie_in_two_files_of_lines(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "name: x\ntask: {type: translation, data: {path: [a.en, a.ko]}}\nvocabulary: {learn: 100}\n"
        "encoder: translation_tiny\nscore: {path: b.csv}\n"
    )
    found = loader.load(tmp_path / "x.yaml")
    assert (found.task.data.format, found.scored.format, found.scored.text) == ("aligned", None, "text")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("task: {type: token_classification, data: {path: a.csv}}", "token_classification answers with"),
        ("corpus: {path: a.txt}\npretrain: {steps: 3}", "there is no task"),
    ],
)
def test_only_an_answer_of_one_number_can_be_explained(file, reason, tmp_path):
    (sentence,) = [
        each for each in complaints(f"name: x\ncheckpoint: a\nexplain: true\n{file}\n", tmp_path) if "$.explain" in each
    ]
    assert sentence.startswith("x.yaml:3 $.explain: " + reason)
    assert "remove explain, which is for classification, multi_label, next_item, regression, similarity" in sentence
