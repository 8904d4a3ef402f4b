"""The model card, and the head that the Hugging Face Hub reads, by its own library."""

import json
import math

import yaml
from huggingface_hub import ModelCard

from models.export import card


def written(tmp_path, **head):
    card.write(tmp_path, "Classification", {"Encoder": "small"}, ["Texts are cut."], head or {"tags": ["tfx-bert"]})
    return (tmp_path / card.FILE).read_text("utf-8")


def test_the_text_is_below_the_head(tmp_path):
    front, body = card.split(written(tmp_path))
    assert yaml.safe_load(front) == {"tags": ["tfx-bert"]}
    assert body == "# Classification\n\n- **Encoder**: small\n\n## Limits\n\n- Texts are cut.\n"
    assert "# license: " in front  # for a person to fill in
    assert "# language: " in front
    assert card.split("# of an older version\n") == ("", "# of an older version\n")
    assert card.split("---\nnever closed\n") == ("", "---\nnever closed\n")


def test_the_base_model_is_named_as_on_the_hub_and_through_a_pretraining_of_ours(tmp_path):
    base = tmp_path / "base" / "checkpoint"
    base.mkdir(parents=True)
    (base / "config.json").write_text(json.dumps({"_name_or_path": "nreimers/MiniLM-L6-H384-uncased"}))
    assert card.head("text-classification", base) == {
        "pipeline_tag": "text-classification",
        "base_model": "nreimers/MiniLM-L6-H384-uncased",
        "tags": ["tfx-bert"],
    }
    assert card.head(None, None, ["accuracy", "f1"]) == {"metrics": ["accuracy", "f1"], "tags": ["tfx-bert"]}
    (base / "config.json").write_text("{}")  # as ours are
    assert "base_model" not in card.head(None, base)
    card.write(base.parent, "Base model", {}, [], {"base_model": "owner/name"})
    assert card.head(None, base)["base_model"] == "owner/name"


def test_a_folder_of_somebodys_machine_is_no_name_on_the_hub(tmp_path):
    for said in ("/home/me/bert", "./bert", "bert", "a/b/c", 3, None):
        (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": said}))
        assert "base_model" not in card.head(None, tmp_path)


def test_what_is_published_reads_back_with_the_hubs_own_library(tmp_path):
    text = written(tmp_path, pipeline_tag="text-classification", base_model="owner/name", tags=["tfx-bert"])
    figures = {"accuracy": 0.86789, "recall[<b>: x]": 0.5, "mcc": math.nan}
    found = ModelCard(
        card.published(text, "리뷰: 1", "transformers", figures, "reviews.csv"), ignore_metadata_errors=False
    )
    assert found.data.pipeline_tag == "text-classification"
    assert found.data.base_model == "owner/name"
    assert found.data.library_name == "transformers"
    assert found.data.metrics == ["accuracy"]
    assert found.data.license is None
    (result,) = found.data.eval_results
    assert (result.task_type, result.dataset_split, result.dataset_name) == (
        "text-classification",
        "test",
        "reviews.csv",
    )
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.8679)
    assert found.text.startswith("# Classification\n")


def test_a_card_of_an_older_version_gets_a_head():
    found = ModelCard(card.published("# old\n", "old", None, {}, "old"))
    assert found.data.tags == ["tfx-bert"]
    assert found.text == "# old\n"
