import numpy as np
import tensorflow as tf

from models.bert.real_tokens import RealTokens

TOKENS = RealTokens(tf.constant([[True, True, False], [True, False, False], [True, True, True]]))


def test_places_of_real_tokens():
    np.testing.assert_array_equal(TOKENS.positions, [0, 1, 0, 0, 1, 2])
    np.testing.assert_array_equal(TOKENS.indices, [0, 1, 3, 6, 7, 8])
    np.testing.assert_array_equal(TOKENS.first, [0, 3, 6])
    np.testing.assert_array_equal(TOKENS.ordinals(tf.constant([8, 3, 0])), [5, 2, 0])


def test_scatter_then_gather_is_the_identity():
    x = tf.reshape(tf.range(12.0), [6, 2])
    grid = TOKENS.scatter(x)
    np.testing.assert_array_equal(grid[:, :, 0], [[0, 2, 0], [4, 0, 0], [6, 8, 10]])
    np.testing.assert_array_equal(TOKENS.gather(grid), x)
