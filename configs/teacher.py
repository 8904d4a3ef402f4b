"""Section ``train.teacher``: a model whose answers are learned."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.base import Count, Name, Section
from configs.sources import Unlabelled


class TeacherTexts(Unlabelled):
    """Records without labels that the teacher answers: one text, or two.

    Only ``path`` must be given: the rest is as ``task.data`` has it.
    """

    section = "train.teacher.texts"


class Teacher(Section):
    """A model of the same task, whose answers are learned beside the labels (Hinton et al. 2015).

    Attributes:
      experiment: its latest blessed model is the teacher; or
      model: … that in a folder: ``runs/sentiment/serving_model/sentiment/3``.
      texts: records without labels, which it answers too. Where not given, the sentences of ``corpus``, if there is one
        and the task takes one text.
      most: of these texts, spread evenly over all of them.
      augment: so many variants of each train text, which it answers too: words exchanged for others of the train split,
        or a few words in a row of it (Tang et al. 2019, section 3.3).
      temperature: what the logits of both are divided by before they are compared; 2 as in DistilBERT's training (Sanh
        et al. 2019, huggingface/transformers, ``distillation``). Of no meaning to numbers.
      weight: of the teacher's answers in the loss; the rest is the labels'. Hinton et al. 2015, section 2, found labels
        best with a considerably lower weight.
    """

    experiment: Name | None = None
    model: str | None = None
    texts: TeacherTexts | None = None
    most: Count = 20_000
    augment: Count | None = None
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.9

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.experiment is None) == (self.model is None):
            raise ValueError("give the teacher's experiment, or the folder of its model")
        return self
