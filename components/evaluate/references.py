"""What the task's baselines answer to the test split, learned from the train split of the same run."""

import random
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from components.evaluate.tfma_metric import identity, ordered
from models import progress
from models.task import TAUGHT, Record, Task
from models.training.reading import raw

# Baselines learn from this many records at most, drawn from all: their cost does not grow with the data.
MOST = 100_000
Rows = tuple[np.ndarray, np.ndarray]


def rows(
    the_task: Task, names: Sequence[str], train: Sequence[str], test: Sequence[str], needed: Sequence[str] = ()
) -> dict[str, Rows]:
    """By baseline, the identity of each test record, int64 (N,), and its row metrics, float64 (N, K), in one order.

    Args:
      the_task: whose ``baselines`` these are.
      names: of them.
      needed: those that are computed though the train split is too large for them: a threshold asks for them.
      train: folders of raw records, gzip TFRecords.
      test: likewise.
    """
    known, asked = sample(read(train), MOST), list(read(test))
    ids = np.array([identity(record["origin"]) for record in asked], np.int64)
    affordable, found = {*the_task.affordable(names, known), *needed}, {}
    if out := [name for name in names if name not in affordable]:
        progress.emit(
            progress.Notice(
                f"not compared with {', '.join(out)}: the train split is too large for that; a baseline that "
                "evaluate.bless.beats names is computed all the same"
            )
        )
    for name in [name for name in names if name in affordable]:
        answers = the_task.baseline(
            name, known, [{**record, **dict.fromkeys(the_task.gold, _NONE)} for record in asked]
        )
        judged = [the_task.row_metrics(answer, record) for answer, record in zip(answers, asked, strict=True)]
        found[name] = ordered(ids, np.array(judged, float))
    return found


def taught(the_task: Task, test: Sequence[str], answered: Sequence[str]) -> Rows:
    """As ``rows``, of the teacher: its answers, as ``TeacherInferrer`` wrote them.

    Args:
      the_task: of student and teacher.
      test: folders of raw records, gzip TFRecords.
      answered: folders of the rows of the same records in the same order.
    """
    judged, ids = [], []
    for record, row in zip(read(test), read(answered), strict=True):
        ids.append(identity(record["origin"]))
        judged.append(the_task.row_metrics({the_task.taught: row[TAUGHT[0]]}, record))
    return ordered(np.array(ids, np.int64), np.array(judged, float))


# In place of what a test record is judged by: a baseline cannot look at it.
_NONE = np.zeros(0)


def read(folders: Sequence[str]) -> Iterator[Record]:
    """The raw records of gzip TFRecords; a feature without a value is an empty array."""
    files = sorted(name for folder in folders for name in tf.io.gfile.glob(f"{folder}/*"))
    for serialized in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        yield raw(serialized)


def sample(records: Iterable[Record], most: int) -> list[Record]:
    """At most ``most`` of the records, each as likely as any other, always the same (Vitter 1985, algorithm R)."""
    draws, kept = random.Random(0), list[Record]()
    for number, each in enumerate(records):
        if number < most:
            kept.append(each)
        elif (place := draws.randrange(number + 1)) < most:
            kept[place] = each
    return kept
