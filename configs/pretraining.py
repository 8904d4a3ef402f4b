"""Section ``pretrain``: the objectives and the budget."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.base import Count, Section
from configs.optimization import Optimization


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
