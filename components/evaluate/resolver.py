"""The baseline of a candidate: the latest blessed model other than itself."""

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration import metadata
from tfx.types import artifact


class PreviousBlessedModel(LatestBlessedModelStrategy):
    """With the stock strategy a second, unchanged run takes the candidate as its own baseline and judges it again."""

    def resolve_artifacts(
        self, store: metadata.Metadata, input_dict: dict[str, list[artifact.Artifact]]
    ) -> dict[str, list[artifact.Artifact]] | None:
        """``model``: the baseline, or nothing; ``model_blessing``: its blessing; ``candidate``: as given."""
        candidates = {model.id for model in input_dict["candidate"]}
        others = [model for model in input_dict["model"] if model.id not in candidates]
        resolved = super().resolve_artifacts(store, {"model": others, "model_blessing": input_dict["model_blessing"]})
        return {**(resolved or {}), "candidate": input_dict["candidate"]}
