"""Executors that tests have the container's entry point run."""

import os
import pathlib

from tfx.components.evaluator import executor as evaluator
from tfx.dsl.components.base import base_executor

from models import progress
from schemas import DataError


class Copy(base_executor.BaseExecutor):
    """Copies ``model`` to ``copy``, which must be new, and says where both are."""

    def Do(self, input_dict, output_dict, exec_properties):
        (model,), (copy,) = input_dict["model"], output_dict["copy"]
        text = pathlib.Path(model.uri, "weights").read_text()
        pathlib.Path(copy.uri, "inner").mkdir()
        pathlib.Path(copy.uri, "weights").write_text(text)
        copy.set_string_custom_property("made_from", model.uri)
        progress.emit(progress.Summary(f"{type(model).__name__} {text}, {exec_properties['times']} times"))


class Digest(base_executor.BaseExecutor):
    """Gives a parameter: to TFX an artifact that is a file."""

    def Do(self, input_dict, output_dict, exec_properties):
        output_dict["digest"][0].value = "9e1b"


class Bless(evaluator.Executor):
    """Blesses as the stock Evaluator does: with the model's id."""

    def Do(self, input_dict, output_dict, exec_properties):
        (model,), (blessing,) = input_dict["model"], output_dict["blessing"]
        blessing.set_string_custom_property("current_model", model.uri)
        blessing.set_int_custom_property("current_model_id", model.id)


class Train(base_executor.BaseExecutor):
    """Leaves checkpoints, as a training does."""

    def Do(self, input_dict, output_dict, exec_properties):
        for seed in ("1", "2"):
            folder = pathlib.Path(os.environ["TFX_BERT_CHECKPOINT_ROOT"], seed)
            folder.mkdir(parents=True)
            progress.emit(progress.Checkpoints(str(folder)))
        if exec_properties["times"] > 1:
            raise DataError("37 of 52,104 rows are bad")
