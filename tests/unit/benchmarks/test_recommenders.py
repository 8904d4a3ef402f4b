"""The parts of the recommendation benchmark that no table shows to be right."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import recommendation, recommenders, runs
from components.records import kind
from components.records.record import Part
from models.recommendation import baselines, figures
from pipeline import loader

RATINGS = "1::1193::5::978300760\n1::661::3::978302109\n2::1357::5::978298709\n"


def test_ratings_of_movielens_1m_are_events_of_movies(tmp_path):
    (tmp_path / "ratings.dat").write_text(RATINGS, "latin-1")
    table = recommenders.rewritten(tmp_path / "ratings.dat", tmp_path / "out")
    experiment = loader.load("movies", (f"task.data.path={table}", "task.data.catalogue="))
    events = list(kind.load("sequence")(experiment.task.data, (), ()).records(str(table)))
    assert all(isinstance(each, Part) for each in events)
    assert [(each.group, each.content[0], float(each.order)) for each in events] == [
        ("1", "1193", 978300760),
        ("1", "661", 978302109),
        ("2", "1357", 978298709),
    ]


@pytest.mark.parametrize("line", ["1,1193,5,978300760", "1::1193::978300760", ""])
def test_another_file_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "ratings.dat").write_text(RATINGS + line + "\n", "latin-1")
    with pytest.raises(ValueError, match=r"ratings\.dat:4: not user::item::rating::time"):
        recommenders.rewritten(tmp_path / "ratings.dat", tmp_path / "out")


@pytest.fixture
def setting(tmp_path):
    """40 users of 4 to 12 events with 15 items."""
    generator = np.random.default_rng(1)
    walks = [generator.integers(0, 15, generator.integers(4, 13)) for _ in range(40)]
    for split, less in (("train", 2), ("test", 0)):
        folder = tmp_path / "examples" / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as file:
            for user, walk in enumerate(walks):
                names = [b"%d" % item for item in walk[: len(walk) - less]]
                example = tf.train.Example()
                for name, values in (("user", [b"u%d" % user]), ("history", names[:-1]), ("target", names[-1:])):
                    example.features.feature[name].bytes_list.value.extend(values)
                file.write(example.SerializeToString())
    data = runs.Prepared(tmp_path / "examples", tmp_path, tmp_path)
    return recommenders.Setting("made", published=False, overrides=(), data=data)


def test_a_peers_scores_are_ranked_as_ours(setting, tmp_path):
    """The scores of counts, in the peer's own order of users and items, have the figures of counts."""
    train, test = (list(recommenders.records(setting.data, split)) for split in ("train", "test"))
    answers = list(baselines.answers("markov", train, test, exclude_seen=True))
    wanted = figures.of(
        np.array([figures.row_of(a, r["target"].item()) for a, r in zip(answers, test, strict=True)])
    ).values
    generator = np.random.default_rng(2)
    users, items = generator.permutation(len(test)), 5 + generator.permutation(len(answers[0]["names"]) - 5)
    kept = {
        "users": np.array([test[each]["user"].item().decode() for each in users]),
        "targets": np.array([test[each]["target"].item().decode() for each in users]),
        "items": np.array([*(answers[0]["names"][items].astype("U")), "an item of theirs alone"]),
        "scores": np.array([[*answers[each]["all_scores"][items], 9.0] for each in users]),
    }
    np.savez(tmp_path / "scores.npz", **kept)
    assert recommenders.by_our_ranks(setting, tmp_path / "scores.npz") == wanted
    kept["targets"][3] = "99"
    np.savez(tmp_path / "scores.npz", **kept)
    with pytest.raises(ValueError, match="the peer tests 99 of a user"):
        recommenders.by_our_ranks(setting, tmp_path / "scores.npz")


def test_verdicts_say_what_a_stopped_training_does_not_tell():
    ours = [{"ndcg_10": each, "cpu": 100.0, "ended": True} for each in (0.09, 0.10, 0.11)]
    theirs = [{"ndcg_10": each, "cpu": 400.0, "ended": True} for each in (0.10, 0.10, 0.10)]
    assert [line.rpartition(": ")[2] for line in recommendation.verdict("SASRec", theirs, ours)] == ["yes", "NO"]
    worse = [each | {"ndcg_10": each["ndcg_10"] - 0.02} for each in ours]
    assert recommendation.verdict("SASRec", theirs, worse)[0].endswith("NO")
    stopped = [each | {"ended": False} for each in theirs]
    told = recommendation.verdict("SASRec", stopped, ours)
    assert "at least 4.0 times" in told[1]
    assert told[1].endswith("not known")
    assert told[2].startswith("3 of 3 trainings of SASRec were stopped")
