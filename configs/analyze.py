"""Section ``analyze``: what is looked at inside a model, and what it must come to."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from configs.base import Count, Section
from configs.sources import SpanData

_TASKS = "label|length|word_content|bigram_shift|position|casing|pos"
Task = Literal["label", "length", "word_content", "bigram_shift", "position", "casing", "pos"]
EXAMPLES = 10  # texts that a page can show token by token
# The figures of ``models.analysis.run.metrics``; at a layer behind @.
_FIGURE = re.compile(
    r"((encoder|decoder|cross)_)?((entropy|distance)_mean|(mass|heads)\[.+\])|prunable|pruned_[1-9]0"
    rf"|(random|majority|gain|control|selectivity)_({_TASKS})|probe_({_TASKS})(@\d+)?"
    r"|cloze_(loss|accuracy|perplexity)(\[(frequent|middle|rare)\])?|cloze_unigram_loss"
    r"|completeness|(faithfulness|agreement)(_rollout|_attention)?|faithfulness_occlusion"
    r"|(anisotropy|anisotropy_centred|rank|outliers|cka_before|moved)@\d+"
)


def _named(name: str) -> str:
    if not _FIGURE.fullmatch(name):
        raise ValueError(
            f"no figure of an analysis is called {name!r}; docs/analysis.md lists them, such as prunable, "
            "probe_length, selectivity_casing, gain_label, probe_label@3, anisotropy@6"
        )
    return name


Figure = Annotated[str, AfterValidator(_named)]


class TaggedWords(SpanData):
    """Sentences whose words have tags each, for the probe ``pos``: files as ``token_classification`` reads them."""

    section = "analyze.probes.pos"

    scheme: Literal["BIO", "word"] = "word"


class Probes(Section):
    """What linear probes are asked.

    Attributes:
      tasks: those that the texts allow are asked; a report says why the others are not.
      pos: a file of tagged words, for ``pos``; where not given, the tags of the records, if their words have one each.
      seeds: splits of the sentences, and networks of random weights beside the model.
    """

    tasks: list[Task] = ["label", "length", "word_content", "bigram_shift", "position", "casing", "pos"]
    pos: TaggedWords | None = None
    seeds: Count = 3

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if self.pos and "pos" not in self.tasks:
            raise ValueError(
                "pos names a file of tagged words, and tasks does not ask for pos: add it, or remove the file"
            )
        return self


class Analyze(Section):
    """What is looked at inside a model. ``analyze: {}`` looks at all of it.

    Attributes:
      sentences: records that figures are over, at most: of the test split, and for probes of the eval split too.
      probes: linear ones, by layer, with controls.
      pruning_curves: the headline figure with heads masked; 19 passes over 300 records of the test split.
      examples: texts whose attention the page shows token by token; none, unless it may show texts of records.
      bless: bounds of figures, which hold a push back as those of ``evaluate.bless`` do.
    """

    sentences: Count = 1000
    probes: Probes = Probes()
    pruning_curves: bool = True
    examples: Annotated[int, Field(ge=0, le=EXAMPLES)] = 0
    bless: dict[Figure, float] = {}

    @property
    def looked(self) -> dict[str, Any]:
        """What the Analyzer depends on: neither the bounds of its figures nor where other nodes read."""
        return self.model_dump(mode="json", exclude={"bless": True, "probes": {"pos"}})
