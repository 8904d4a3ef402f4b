"""The experiment: what a person writes in YAML, typed.

Every model is frozen, refuses unknown keys and takes no other type than the one it names. Paths are relative to the
folder the command runs in. ``pipeline.loader.load`` turns a file into an ``Experiment``.
"""

from typing import Any, Self, TypeVar

import pydantic
from pydantic import Field, model_validator

from configs.analyze import Analyze, TaggedWords
from configs.base import Asked, Count, Name, Section, Seed
from configs.evaluation import Evaluate
from configs.events import UnlabelledEvents
from configs.pretraining import Pretrain
from configs.sources import ENDINGS, Corpus, Source, Unlabelled
from configs.teacher import TeacherTexts
from configs.text import Text, Vocabulary
from configs.training import Train
from configs.tuning import Range, Tune
from models.families import Shape

_Source = TypeVar("_Source", bound=Source)


class FromExperiment(Section):
    """``checkpoint: {experiment: NAME}``: that experiment's latest blessed model.

    Attributes:
      layers: every n-th layer of it, so many; all where not given.
      width: a lesser width: its embeddings on their principal axes, and layers that start from random weights.
    """

    experiment: Name
    layers: Count | None = None
    width: Count | None = None


class Task(Section):
    """The part of a task's section that every task has; ``models/tasks/<type>.py`` defines the rest as its ``Config``.

    Attributes:
      schema_: a TFMD schema to validate against; where not given, the task's own with the labels and columns named
        here.
    """

    type: str
    data: Source
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
      encoder: a name in ``configs/encoders/`` or the values themselves, those of the task's family; a checkpoint brings
        its own.
      vocabulary: to learn or to import; a checkpoint brings its own.
      tune: a search for settings of ``train``.
      analyze: what is looked at inside the model. With ``checkpoint`` and ``corpus``, and neither ``pretrain`` nor a
        task, nothing is trained and nothing is pushed.
      explain: whether the pushed model has a signature ``explain``: which words, or items, decided an answer.
      try_: what the model is asked at the end of a run on this machine: texts as ``tfx-bert predict`` takes them, or
        records by their columns: ``{question: …, context: …}``.
      seed: of every random stream.
      deterministic: on one machine two runs end with the same weights, bit for bit; slower. Without it sums of many
        threads may differ in their last bits.
    """

    name: Name
    checkpoint: str | FromExperiment | None = None
    corpus: Corpus | None = None
    task: pydantic.SerializeAsAny[Task] | None = None
    score: Unlabelled | UnlabelledEvents | None = None
    text: Text = Text()
    vocabulary: Vocabulary | None = None
    encoder: pydantic.SerializeAsAny[Shape] | None = None
    pretrain: Pretrain | None = None
    train: Train = Train()
    tune: Tune | None = None
    analyze: Analyze | None = None
    evaluate: Evaluate = Evaluate()
    explain: bool = False
    try_: Asked = Field(default=[], alias="try")
    seed: Seed = 1
    deterministic: bool = False

    model_config = pydantic.ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.corpus is None and self.task is None:
            raise ValueError("give corpus (pretraining), task (fine-tuning), or both")
        if (self.corpus is None) != (self.pretrain is None) and not self.analyzed_alone:
            raise ValueError("corpus and pretrain go together: one is the text, the other the budget")
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
    def analyzed_alone(self) -> bool:
        """Whether a checkpoint is looked into, and nothing is trained."""
        alone = self.task is None and self.pretrain is None
        return alone and None not in (self.analyze, self.checkpoint, self.corpus)

    @property
    def tagged_words(self) -> TaggedWords | None:
        """What the probe ``pos`` reads beside the records."""
        return self.analyze.probes.pos if self.analyze else None

    @property
    def scored(self) -> Unlabelled | UnlabelledEvents | None:
        """``score``, with what it leaves out as ``task.data`` has it."""
        return self._as_data(self.score) if self.score else None

    @property
    def taught_on(self) -> TeacherTexts | None:
        """``train.teacher.texts``, likewise."""
        return self._as_data(self.train.teacher.texts) if self.train.teacher and self.train.teacher.texts else None

    def _as_data(self, given: _Source) -> _Source | None:
        if self.task is None:
            return None
        shared = self.task.data.model_dump(include=set(type(given).model_fields))
        if shared["format"] not in ENDINGS.values():  # of files that hold the right answers too
            del shared["format"]
        return type(given).model_validate(shared | given.model_dump(exclude_unset=True))

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
