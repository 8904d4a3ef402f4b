"""The experiment: what a person writes in YAML, typed.

Every model is frozen, refuses unknown keys and takes no other type than the one it names. Paths are relative to the
folder the command runs in. ``configs.yaml.loader.load`` turns a file into an ``Experiment``.
"""

import codecs
import re
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import override


class ConfigError(ValueError):
    """The configuration is at fault: the place (``file:line``, ``$.path``), what was given, what is allowed. Exit 2."""


def _integral(value: object) -> object:
    """``2e9`` is a count too, though YAML reads it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: object) -> object:
    """One item may stand without brackets."""
    return value if isinstance(value, list) else [value]


Count = Annotated[int, BeforeValidator(_integral), Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Paths = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Columns = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]


class Section(pydantic.BaseModel):
    """A part of the YAML."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


# --- records -------------------------------------------------------------------------------------------------------

# What a labelled record holds under names of its own, whatever its columns are called.
RECORD_FEATURES = (
    *("text", "text_pair", "label", "labels", "span_start", "span_end", "span_label", "answers", "answer_start"),
    "origin",
)

RANGE = re.compile(r"^(<=|<|>=|>)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)$")


class LabelRanges(Section):
    """Labels cut from a number: ``{column: sentiment, ranges: {negative: "< -0.5", positive: "> 0.5"}}``.

    A record whose number lies in no range is left out, and counted as left out.
    """

    column: str
    ranges: dict[str, Annotated[str, Field(pattern=RANGE.pattern)]] = Field(min_length=2)


class Split(Section):
    """Shares of the distinct texts in each split. Decided by the hash of the normalised text."""

    train: Share = 0.8
    eval: Share = 0.1
    test: Share = 0.1

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.eval + self.test - 1) > 1e-6 or not self.train:
            raise ValueError(
                f"the shares must sum to 1 and train must not be 0. Received: {self.train}, {self.eval}, {self.test}"
            )
        return self


# Names that files are given for what they are in: WHATWG's Encoding Standard, 4.2, reads them likewise.
_MEANT = {
    "iso8859-1": "cp1252",  # has the same letters, and the typographic marks that such files hold
    "shift-jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "utf-8-sig": "utf-8",  # a byte-order mark is never text
    "utf-16-le": "utf-16",
    "utf-16-be": "utf-16",
}
# ASCII, and what encodings that write more than bytes with it would read as something else.
_ASCII = bytes(range(128)) + b".xn--mnchen-3ya \x1b$B!!"


def encoding_name(value: object) -> object:
    """Python's name for an encoding, whose names are spelt in many ways.

    Raises:
      ValueError: there is none of that name, or it is neither UTF-16 nor ASCII with more letters.
    """
    if not isinstance(value, str):
        return value
    try:
        name = codecs.lookup(value).name.replace("_", "-")
        name = _MEANT.get(name, name)
        known = name == "utf-16" or ("escape" not in name and _ASCII.decode(name) == _ASCII.decode("ascii"))
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"allowed utf-8, utf-16, cp1252 (Western European), cp949 (Korean) and the others that Python has, such as "
            f"cp1251, cp932, gb18030; received {value[:60]!r}"
        )
    return name


Encoding = Annotated[str, BeforeValidator(encoding_name)]


class Source(Section):
    """Files of records, or of text.

    Attributes:
      path: files or globs, gzip by their ending ``.gz``.
      format: from the file's ending where not given: ``csv``, ``tsv``, ``jsonl`` (``.json``, ``.ndjson``), ``parquet``,
        ``text`` (``.txt``). ``jsonl`` is an object a line, or one array of objects; ``labels.score`` names the key
        ``score`` of the object ``labels``.
      header: the names of all columns, for csv and tsv files that begin with a record.
      encoding: of the text files, by any of its names. ``latin-1`` is read as ``cp1252``, as browsers do.
      on_bad_record: ``fail`` stops before anything is trained; ``quarantine`` sets bad records aside, with place and
        reason.
      max_bad_share: ``quarantine`` fails past this share of the records.
      section: where it stands in the YAML; empty where options of the command line say it.
    """

    section: ClassVar[str]

    path: Paths
    format: Literal["csv", "tsv", "jsonl", "parquet", "text"] | None = None
    header: Columns | None = None
    encoding: Encoding = "utf-8"
    on_bad_record: Literal["fail", "quarantine"] = "fail"
    max_bad_share: Share = 0.05


class Unlabelled(Source):
    """Records to answer: one text, or two, and whatever else they hold.

    Under ``score`` only ``path`` must be given: the rest is as ``task.data`` has it.
    """

    section = "score"

    text: str = "text"
    text_pair: str | None = None


class SplitSource(Source):
    """Files to learn from.

    Attributes:
      eval: files of the eval split; then ``path`` is train.
      test: files of the test split.
      split: shares of the splits that have no files of their own.
    """

    eval: Paths | None = None
    test: Paths | None = None
    split: Split = Split()

    @model_validator(mode="after")
    def _three_splits(self) -> Self:
        for name in ("eval", "test"):
            if getattr(self, name) is None and not getattr(self.split, name):
                raise ValueError(f"the {name} split is empty: give split.{name} a share, or {name} files of its own")
        return self


class TextData(SplitSource):
    """Records of one text, or two, and of what they are judged by."""

    section = "task.data"

    text: str = "text"
    text_pair: str | None = None

    @property
    def label_column(self) -> str | None:
        """The column that holds the right answer."""
        found = getattr(self, "label", None)
        return found.column if isinstance(found, LabelRanges) else found

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        return [name for name in (self.text, self.text_pair, self.label_column) if name is not None]


class TaskData(TextData):
    """A label each."""

    label: str | LabelRanges = "label"


class LabelsData(TextData):
    """Any number of labels each, none included.

    Attributes:
      label: a column of JSON lists, or of text with ``separator`` between the labels.
      separator: of labels in one cell.
    """

    label: str = "labels"
    separator: Annotated[str, Field(min_length=1)] = ","


class NumberData(TextData):
    """A number each.

    Attributes:
      label: its column.
      min, max: a record with a number beyond is bad.
    """

    label: str = "label"
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min must be less than max. Received: min={self.min:g}, max={self.max:g}")
        return self


class PairNumberData(NumberData):
    """Two texts and a number each: how alike they are."""

    text_pair: str = "text_pair"


class SpanData(TextData):
    """Labels on parts of a text.

    CoNLL files: a word a line, its columns separated by white space (with ``unit: character`` by a tab), a blank line
    after each sentence; first column the word, last one the tag. Other formats hold a JSON list in the column
    ``label``: of ``{"start": 0, "end": 4, "label": "ORG"}``, in characters; or of tags, where ``text`` lists the words.

    Attributes:
      label: the column of tags or spans. Unused for CoNLL.
      scheme: how tags are read: with ``word`` each is the label of its word. As ``task.scheme``, where not given.
      unit: what a line of a CoNLL file holds; words are joined by spaces, characters by nothing.
    """

    format: Literal["conll", "jsonl", "parquet"] | None = None  # type: ignore[assignment]
    label: str = "entities"
    scheme: Literal["BIO", "word"] = "BIO"
    unit: Literal["word", "character"] = "word"


class AnswerData(TextData):
    """Questions with their context and answers: SQuAD 1.1 or 2.0 JSON, as is, or a question a line of JSON Lines.

    Attributes:
      text: the question.
      text_pair: the context.
      answers: of JSON Lines: ``{"text": [...], "answer_start": [...]}``, in characters; empty lists: no answer.
    """

    format: Literal["squad", "jsonl", "parquet"] | None = None  # type: ignore[assignment]
    text: str = "question"
    text_pair: str = "context"
    answers: str = "answers"

    @property
    @override
    def label_column(self) -> str | None:
        return self.answers


# By record kind.
DATA: dict[str, type[TextData]] = {
    "classification": TaskData,
    "multi_label": LabelsData,
    "regression": NumberData,
    "similarity": PairNumberData,
    "token_classification": SpanData,
    "question_answering": AnswerData,
}


class Corpus(SplitSource):
    """Text for pretraining: a document is a blank-line separated paragraph, a file, a row, or rows that share a value.

    Attributes:
      text: the column, or several: each is a sentence of the row's document. Unused for plain text, where a line is a
        sentence.
      sentences: ``lines``: as above; ``split``: a column, or the lines of a plain-text document run together, are
        running text, whose sentences are found by its punctuation. Only pairs of sentences (nsp, sop) need them.
      document: rows with the same value here are one document; for plain text ``file``: a file is one document.
      order: sorts the rows of a document; else they keep the file's order.
    """

    section = "corpus"

    text: Columns = ["text"]
    sentences: Literal["lines", "split"] = "lines"
    document: str | None = None
    order: str | None = None

    @model_validator(mode="after")
    def _order_needs_document(self) -> Self:
        if self.order and not self.document:
            raise ValueError("order sorts the rows of a document: name the column that joins them in document")
        return self


# --- text and vocabulary -------------------------------------------------------------------------------------------


class Replacement(Section):
    r"""An RE2 rule, applied in the graph before WordPiece, so served identically; ``with`` may use ``\1`` … ``\9``."""

    pattern: Annotated[str, Field(min_length=1)]
    with_: str = Field(alias="with")

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="after")
    def _written_in_re2(self) -> Self:
        import pyarrow
        import pyarrow.compute

        try:  # TensorFlow's kernel is RE2 too, but ignores in silence what it cannot write
            pyarrow.compute.replace_substring_regex("", self.pattern, self.with_)
        except pyarrow.ArrowInvalid as error:
            said, groups = str(error), r"; groups in with are \1 to \9, a backslash is \\"
            hint = groups * said.startswith("Invalid replacement")
            raise ValueError(f"{said[:1].lower()}{said[1:]}{hint}") from None
        return self


class Text(Section):
    """How text becomes words.

    Attributes:
      mode: ``bert_uncased`` (Google's, exactly: lower-case, accents stripped), ``cased`` or ``uncased_nfc``
        (lower-case, NFC, accents kept: right for Korean). A checkpoint brings its own.
      replace: rules applied first, in order.
    """

    mode: Literal["bert_uncased", "cased", "uncased_nfc"] | None = None
    replace: list[Replacement] = []


class Vocabulary(Section):
    """``{learn: 32000, reserve: ["[URL]"]}`` or ``{path: vocab.txt}``.

    Attributes:
      learn: pieces to learn from the train splits.
      reserve: pieces that get an id of their own and are never split.
      path: a vocabulary to import, a piece a line.
    """

    learn: Annotated[Count, Field(ge=100)] | None = None  # letters alone are dozens
    reserve: list[str] = []
    path: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.learn is None) == (self.path is None):
            raise ValueError("give either learn (how many pieces) or path (a vocab.txt)")
        return self


class Encoder(Section):
    """The shape of a BERT encoder (Devlin et al. 2019, section 3). Defaults: BERT-base.

    Attributes:
      num_layers: transformer blocks.
      hidden_dim: width D.
      num_heads: attention heads; divides ``hidden_dim``.
      intermediate_dim: width of the feed-forward layer; 4·D where not given.
      max_positions: longest row in tokens.
      dropout: of embeddings and of each sublayer's output.
      attention_dropout: of the attention weights.
    """

    num_layers: Count = 12
    hidden_dim: Count = 768
    num_heads: Count = 12
    intermediate_dim: Count | None = None
    max_positions: Count = 512
    dropout: Share = 0.1
    attention_dropout: Share = 0.1

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide hidden_dim. Received: num_heads={self.num_heads}, hidden_dim={self.hidden_dim}"
            )
        return self

    def arguments(self) -> dict[str, Any]:
        """What ``models.bert.encoder.BertEncoder`` takes, the vocabulary's size left out."""
        return {**self.model_dump(), "intermediate_dim": self.intermediate_dim or 4 * self.hidden_dim}


class FromExperiment(Section):
    """``checkpoint: {experiment: NAME}``: that experiment's latest blessed base model."""

    experiment: Name


# --- training ------------------------------------------------------------------------------------------------------


class Optimization(Section):
    """AdamW as in BERT: linear warm-up, then a decay; no weight decay on biases and LayerNorm.

    Attributes:
      batch_size: rows a step.
      learning_rate: the peak.
      warmup: share of the steps.
      schedule: of the learning rate behind the warm-up: ``linear`` or ``cosine`` to 0, or ``inverse_square_root``.
      weight_decay: decoupled (Loshchilov & Hutter 2019).
      clip_norm: of the global gradient norm.
      precision: that a step computes in; weights, optimizer, evaluation and exports are float32 either way.
    """

    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    warmup: Share = 0.1
    schedule: Literal["linear", "cosine", "inverse_square_root"] = "linear"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"


class Phase(Section):
    """Steps with shorter rows.

    Attributes:
      share: of the steps.
      max_length: tokens a row.
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    max_length: Annotated[Count, Field(ge=8)]


class Pretrain(Optimization):
    """Masked language model, and next-sentence or sentence-order prediction.

    Attributes:
      objectives: ``[mlm, nsp]``, ``[mlm, sop]`` or ``[mlm]``. Hugging Face has no BERT with sentence-order prediction:
        its head stands where NSP's would, ``cls.seq_relationship`` of BertForPreTraining, and answers the other
        question.
      steps: the budget in optimizer steps, or
      tokens: … in real tokens: a step counts ``batch_size · max_length`` at most.
      batch_tokens: tokens a step, padding included, at most, beside at most ``batch_size`` rows: rows of about one
        length share a batch. Not with ``pack``, whose rows are of one length.
      accumulate: micro-batches a step: ``batch_size`` rows are computed in so many parts, which need their share of the
        memory, to the same weights.
      max_length: tokens a row, special ones included.
      phases: of shorter rows that come first, as in Devlin et al. 2019, A.2:
        ``{max_length: 512, phases: [{share: 0.9, max_length: 128}]}``. Figures are of ``max_length``.
      mask_share: of the tokens; 80 % [MASK], 10 % random, 10 % kept.
      masking: what is hidden together: a ``token``, all pieces of a ``whole_word``, or an ``ngram`` of one to three
        words.
      pack: several short texts in one row, with no attention across them; for ``[mlm]`` only.
      jit_compile: XLA compiles the step, once for each ``max_length``; with ``pack``, whose batches have one shape.
    """

    objectives: Annotated[list[Literal["mlm", "nsp", "sop"]], Field(min_length=1)] = ["mlm", "nsp"]
    steps: Count | None = None
    tokens: Count | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    batch_tokens: Count | None = None
    accumulate: Count = 1
    max_length: Annotated[Count, Field(ge=8)] = 128
    phases: list[Phase] = []
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    masking: Literal["token", "whole_word", "ngram"] = "token"
    pack: bool = False
    jit_compile: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give either steps or tokens as the budget")
        if "mlm" not in self.objectives:
            raise ValueError(f"objectives must contain mlm. Received: {self.objectives}")
        if self.batch_tokens and (self.pack or self.batch_tokens < self.max_length):
            rule = "packed rows are all of max_length" if self.pack else f"a row has up to max_length {self.max_length}"
            raise ValueError(f"{rule} tokens: remove or raise batch_tokens. Received: batch_tokens={self.batch_tokens}")
        if self.jit_compile and not self.pack:
            raise ValueError("jit_compile needs batches of one shape: add pack: true, or remove it")
        if self.jit_compile and self.accumulate > 1:
            raise ValueError("micro-batches have no one shape: give accumulate or jit_compile")
        if self.lengths[-1][0] <= 0:
            raise ValueError("the phases' shares must sum to less than 1: the rest of the steps has max_length")
        if longer := [phase.max_length for phase in self.phases if phase.max_length > self.max_length]:
            raise ValueError(f"phases have shorter rows than max_length {self.max_length}. Received: {longer[0]}")
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate divides batch_size {self.batch_size}. Received: accumulate={self.accumulate}")
        if {"nsp", "sop"} <= set(self.objectives):
            raise ValueError(f"a pair has one label: objectives takes nsp or sop. Received: {self.objectives}")
        if self.pack and len(self.objectives) > 1:
            raise ValueError("pack joins unrelated texts in one row, so it goes with objectives: [mlm] only")
        return self

    @property
    def lengths(self) -> list[tuple[float, int]]:
        """Share of the steps and ``max_length`` of every phase, the last one included."""
        shorter = [(phase.share, phase.max_length) for phase in self.phases]
        return [*shorter, (1 - sum(share for share, _ in shorter), self.max_length)]


class EarlyStopping(Section):
    """When fine-tuning ends before its last epoch.

    Attributes:
      patience: epochs without a better headline figure on the eval split. The schedule still spans all epochs: it does
        not know which one will be the last.
    """

    patience: Count


class Train(Optimization):
    """Fine-tuning; the epoch with the best figure on the eval split is kept.

    Attributes:
      seeds: trains once with each, of the head's weights, the order of the records and dropout, and keeps the best by
        the eval split; where not given, the experiment's ``seed``.
      calibrate: whether logits are divided by one number, so that scores are as sure as they are right (Guo et al.
        2017): classification and multi_label, fitted on the eval split. No answer changes, but those of multi_label
        where ``threshold`` is not .5.
      layer_decay: from the head down, each layer's learning rate is that of the layer above times this; the embeddings
        have the lowest one (Sun et al. 2019, section 3.1; ELECTRA takes 0.9 for small models, 0.8 for others).
      freeze: ``embeddings``, or N: the embeddings and the first N layers keep the weights that training starts from.
    """

    epochs: Count = 3
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 3e-5
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    early_stopping: EarlyStopping | None = None
    calibrate: bool = True
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    freeze: Literal["embeddings"] | Count | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct. Received: {self.seeds}")
        return self


class Range(Section):
    """Every value between two, drawn by its logarithm."""

    min: Annotated[float, Field(gt=0)]
    max: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"min must be below max. Received: min={self.min}, max={self.max}")
        return self


Choices = Annotated[
    Annotated[list[int | float], Field(min_length=1), pydantic.Tag("list")] | Annotated[Range, pydantic.Tag("range")],
    pydantic.Discriminator(lambda value: "list" if isinstance(value, list) else "range"),  # one complaint, not two
]
Tuned = Literal["learning_rate", "batch_size", "epochs", "warmup", "weight_decay", "clip_norm", "layer_decay"]


class Tune(Section):
    """A search for settings of ``train`` before the training: each trial is one, judged by the eval split.

    Attributes:
      trials: how many; fewer where the space has no more.
      space: by the setting, a list of values, or ``{min: …, max: …}``.
      algorithm: ``random``, or ``bayesian``: a Gaussian process over the trials so far.
    """

    trials: Count
    space: Annotated[dict[Tuned, Choices], Field(min_length=1)]
    algorithm: Literal["random", "bayesian"] = "random"


# --- evaluation ----------------------------------------------------------------------------------------------------

Threshold = Annotated[float, Field(ge=0)]


class Bless(Section):
    """What a model must reach on the test split.

    Nothing given: better than always answering the majority class, and no regression.

    Attributes:
      …: a bound for each figure of the task, ``metrics`` of ``models/tasks/<type>.py``: ``accuracy``, ``f1``, ``auc``,
        ``mcc``; ``pearson``, ``mse`` …
      precision, recall: lower bounds for single labels.
      slices: bounds of the headline figure on parts of the test split, by ``length_bucket`` or a column of
        ``evaluate.slices``: ``{category: 0.8}`` on every value with at least 30 records, ``{category: {book: 0.8}}``
        on the named ones.
      mlm_loss: upper bound in nats, for experiments that pretrain alone. Nothing given: below the unigram entropy.
      max_regression: how far the headline figure may fall below the latest blessed model's.
    """

    precision: dict[str, Share] = {}
    recall: dict[str, Share] = {}
    slices: dict[str, Share | Annotated[dict[str, Share], Field(min_length=1)]] = {}
    mlm_loss: Threshold | None = None
    max_regression: Threshold = 0.01


class Evaluate(Section):
    """How a model is judged, on the test split.

    Attributes:
      slices: columns whose values are figures of their own; length bucket and label always are.
      bless: thresholds.
    """

    slices: list[str] = []
    bless: Bless = Bless()


# --- the whole -----------------------------------------------------------------------------------------------------


class Task(Section):
    """The part of a task's section that every task has; ``models/tasks/<type>.py`` defines the rest as its ``Config``.

    Attributes:
      schema_: a TFMD schema to validate against; where not given, the task's own with the labels and columns named
        here.
    """

    type: str
    data: TextData
    schema_: str | None = Field(default=None, alias="schema")

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _tags_of_words(cls, section: Any) -> Any:
        """Tags are read as the task takes them."""
        tagged = isinstance(section, dict) and section.get("type") == "token_classification"
        if tagged and section.get("scheme") == "word" and isinstance(section.get("data"), dict):
            return {**section, "data": {"scheme": "word", **section["data"]}}
        return section

    def own(self) -> dict[str, Any]:
        """The keys that ``models/tasks/<type>.py`` defines: what its ``Config`` takes."""
        return self.model_dump(mode="json", exclude=set(Task.model_fields))


class Experiment(Section):
    """What is trained on what. ``corpus`` pretrains, ``task`` fine-tunes; at least one of them.

    Attributes:
      checkpoint: a Hugging Face BERT folder, here or in a bucket (``gs://…``, ``s3://…``), or another experiment's
        base model.
      score: records without labels, which the model answers once it is blessed.
      encoder: a name in ``configs/encoders/`` or the values themselves; a checkpoint brings its own.
      vocabulary: to learn or to import; a checkpoint brings its own.
      tune: a search for settings of ``train``.
      seed: of every random stream.
      deterministic: on one machine two runs end with the same weights, bit for bit; slower. Without it sums of many
        threads may differ in their last bits.
    """

    name: Name
    checkpoint: str | FromExperiment | None = None
    corpus: Corpus | None = None
    task: pydantic.SerializeAsAny[Task] | None = None
    score: Unlabelled | None = None
    text: Text = Text()
    vocabulary: Vocabulary | None = None
    encoder: Encoder | None = None
    pretrain: Pretrain | None = None
    train: Train = Train()
    tune: Tune | None = None
    evaluate: Evaluate = Evaluate()
    seed: Seed = 1
    deterministic: bool = False

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.corpus is None and self.task is None:
            raise ValueError("give corpus (pretraining), task (fine-tuning), or both")
        if (self.corpus is None) != (self.pretrain is None):
            raise ValueError("corpus and pretrain go together: one is the text, the other the budget")
        if self.checkpoint is None and (self.vocabulary is None or self.encoder is None):
            raise ValueError("without a checkpoint, vocabulary and encoder must be given")
        if self.checkpoint is not None and (self.vocabulary is not None or self.encoder is not None):
            raise ValueError("a checkpoint brings its own vocabulary and encoder: remove those sections")
        if self.tune and self.task is None:
            raise ValueError("tune searches for settings of the fine-tuning: give task, or remove tune")
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        for name, values in self.tune.space.items() if self.tune else ():
            if isinstance(values, Range) and isinstance(getattr(self.train, name), int):
                raise ValueError(f"tune.space.{name}: whole numbers are a list: [1, 2]")
            for value in values if isinstance(values, list) else (values.min, values.max):
                try:
                    Train.model_validate({**self.train.model_dump(), name: value})
                except pydantic.ValidationError as error:
                    reason = error.errors()[0]["msg"]
                    raise ValueError(
                        f"tune.space.{name} holds {value}, which train.{name} does not take: {reason}"
                    ) from None
        return self

    @property
    def scored(self) -> Unlabelled | None:
        """``score``, with what it leaves out as ``task.data`` has it."""
        if self.score is None or self.task is None:
            return None
        shared = self.task.data.model_dump(include=set(Unlabelled.model_fields))
        return Unlabelled.model_validate(shared | self.score.model_dump(exclude_unset=True))

    def dump(self) -> dict[str, Any]:
        """The resolved experiment, ready for YAML or JSON."""
        return self.model_dump(mode="json", exclude_none=True)

    def shortened(self, sample: int) -> Self:
        """The experiment as a rehearsal over ``sample`` records: few steps, one epoch, under a name of its own."""
        update: dict[str, object] = {
            "name": f"{self.name[:56]}-sample",
            "train": self.train.model_copy(update={"epochs": 1}),
        }
        if self.tune:
            update["tune"] = self.tune.model_copy(update={"trials": min(self.tune.trials, 2)})
        if self.pretrain:
            steps = max(1, min(self.pretrain.steps or 20, 20, sample // self.pretrain.batch_size))
            update["pretrain"] = self.pretrain.model_copy(update={"steps": steps, "tokens": None})
        return self.model_copy(update=update)
