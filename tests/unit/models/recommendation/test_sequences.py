import numpy as np
import pytest
import tensorflow as tf

from models.recommendation import sequences

MASK = 4
LONG = tf.ragged.constant([list(range(100, 100 + length)) for length in (2, 7, 60, 200)], tf.int64)


def lists(value):
    return value.to_list()


def test_positions_count_from_the_end_and_rows_are_right_padded():
    made = sequences.row(tf.ragged.constant([[7, 8, 9], [5]], tf.int64))
    assert made["token_ids"].numpy().tolist() == [[7, 8, 9], [5, 0, 0]]
    assert made["position_ids"].numpy().tolist() == [[2, 1, 0], [0, 0, 0]]
    assert made["padding_mask"].numpy().tolist() == [[True] * 3, [True, False, False]]
    assert sequences.last_places(made["padding_mask"]).numpy().tolist() == [2, 3]


def test_a_request_is_the_last_items_and_with_cloze_a_mask():
    histories = tf.ragged.constant([[5, 6, 7, 8], [], [9]], tf.int64)
    causal = sequences.asked(histories, MASK, 3, hidden=False)
    assert causal["token_ids"].numpy().tolist() == [[6, 7, 8], [MASK, 0, 0], [9, 0, 0]]
    cloze = sequences.asked(histories, MASK, 3, hidden=True)
    assert cloze["token_ids"].numpy().tolist() == [[7, 8, MASK], [MASK, 0, 0], [9, MASK, 0]]


def windows(shift, longest=21):
    """Of every sequence all its windows."""
    count = [int(sequences.windows(tf.constant(int(n), tf.int64), longest - 1, None)) for n in LONG.row_lengths()]
    rows = tf.gather(LONG, np.repeat(np.arange(4), count))
    number = tf.constant(np.concatenate([np.arange(each) for each in count]))
    return count, sequences.window(rows, number, longest, tf.constant(shift)).to_list()


@pytest.mark.parametrize("shift", [0.0, 0.37, 0.99])
def test_windows_cover_a_sequence_and_the_last_one_ends_with_it(shift):
    count, found = windows(shift)
    assert count == [1, 1, 3, 10]  # of 20 predicted places each
    assert found[0] == [100, 101]
    of_longest = found[5:]
    assert of_longest[0] == list(range(279, 300))
    predicted = set()
    for row in of_longest:
        assert row == list(range(row[0], row[0] + len(row)))
        assert 2 <= len(row) <= 21
        predicted.update(row[1:])
    assert set(range(101 + round(20 * shift), 300)) <= predicted


def test_random_ends_reach_every_end_and_cut_nothing_short():
    rows = tf.gather(LONG, np.repeat([0, 2], 4000))
    found = sequences.crop(rows, 20, tf.constant([3, 1], tf.int64)).to_list()
    assert all(row == [100, 101] for row in found[:4000])
    assert all(len(row) == 20 for row in found[4000:])
    ends = np.bincount([row[-1] - 119 for row in found[4000:]], minlength=41)
    assert len(ends) == 41
    assert (abs(ends - 4000 / 41) < 4 * np.sqrt(4000 / 41) + 1).all()


def test_every_item_predicts_the_next_one():
    made = sequences.causal(tf.ragged.constant([[5, 6, 7], [8, 9]], tf.int64))
    assert made["token_ids"].numpy().tolist() == [[5, 6], [8, 0]]
    assert made["masked_indices"].numpy().tolist() == [0, 1, 2]
    assert made["masked_ids"].numpy().tolist() == [6, 7, 9]


def hidden(last, count=3000, length=20):
    rows = tf.RaggedTensor.from_row_lengths(
        tf.range(count * 25, dtype=tf.int64) % 50 + 5, [length, 50 - length] * (count // 2)
    )
    return rows, sequences.cloze(rows, MASK, 0.2, last, tf.constant([1, 2], tf.int64))


def test_a_fifth_is_hidden_never_padding_and_always_by_the_mask():
    rows, made = hidden(last=0.0)
    masked = made["token_ids"].numpy() == MASK
    real = made["padding_mask"].numpy()
    assert not masked[~real].any()
    np.testing.assert_array_equal(np.flatnonzero(masked), made["masked_indices"])
    np.testing.assert_array_equal(rows.to_tensor().numpy()[masked], made["masked_ids"])
    np.testing.assert_array_equal(made["token_ids"].numpy()[~masked], rows.to_tensor().numpy()[~masked])
    assert (masked.sum(axis=1) == [4, 6] * 1500).all()
    # Each place of a row alike: .2 of 1,500 rows, with a standard deviation of .0103.
    assert (abs(masked[::2, :20].mean(axis=0) - 0.2) < 4 * 0.0103).all()


def test_a_share_of_the_rows_hides_the_last_item_only():
    _, made = hidden(last=0.3)
    masked = made["token_ids"].numpy() == MASK
    alone = masked.sum(axis=1) == 1
    assert abs(alone.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 3000)
    assert (made["position_ids"].numpy()[alone][masked[alone]] == 0).all()
    short = sequences.cloze(tf.ragged.constant([[5], [6, 7]], tf.int64), MASK, 0.2, 0.0, tf.constant([1, 2], tf.int64))
    assert (tf.reduce_sum(tf.cast(short["token_ids"] == MASK, tf.int32), axis=1).numpy() == 1).all()
