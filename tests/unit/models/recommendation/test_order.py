"""The order test, on logs that were made with an order and without one."""

import numpy as np
import pytest

from models.recommendation import baselines, figures, order


def walks(ordered, count=300, size=60):
    """Each item is followed by the third behind it, four times out of five; or all of them are drawn at random."""
    draws = np.random.default_rng(3)
    made = []
    for _ in range(count):
        walk = [int(draws.integers(size))]
        while len(walk) < 12:
            walk.append((walk[-1] + 3) % size if ordered and draws.random() < 0.8 else int(draws.integers(size)))
        made.append([b"%d" % item for item in walk])
    return made


def measured(made):
    return order.measure([each[:-1] for each in made], [(each[:-1], each[-1]) for each in made])


def test_the_figure_is_that_of_decayed_counts():
    made = walks(True)
    found = measured(made)
    train = [{"history": np.array(each[:-2]), "target": np.array(each[-2:-1])} for each in made]
    test = [{"history": np.array(each[:-1])} for each in made]
    answers = baselines.answers("decay", train, test, exclude_seen=True)
    rows = [figures.row_of(answer, each[-1]) for answer, each in zip(answers, made, strict=True)]
    assert found.true == pytest.approx(figures.of(np.array(rows)).values["ndcg_10"])
    assert found.asked == 300


def test_an_order_that_matters_is_told_in_brief():
    found = measured(walks(True))
    assert found.matters
    assert found.true > 1.5 * found.shuffled
    assert str(found) == f"order matters: counts {found.true:.3f}, shuffled {found.shuffled:.3f}".replace(" 0.", " .")


def test_an_order_that_does_not_matter_is_told_with_what_to_do():
    found = measured(walks(False))
    assert not found.matters
    true, shuffled = (f"{value:.3f}".removeprefix("0") for value in (found.true, found.shuffled))
    assert str(found) == (
        f"the order of a user's events does not matter for the next item: counts reach ndcg_10 {true} with it, "
        f"{shuffled} when every history is shuffled (300 users); a network that reads the order has nothing to learn "
        "from it: check the column that says when, or take objective: counts"
    )


def test_few_questions_say_nothing():
    assert measured(walks(False, count=99)) is None
    assert order.measure([], [([b"a", b"b"], b"c")] * 200) is None
