"""The search against full decoding, and against all answers that there are."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.export import serving_ops
from models.translation.beam import Search, _top, search
from models.translation.transformer import Transformer

START, END = 2, 3


@functools.cache
def _network(size: int, layers: int) -> Transformer:
    return Transformer(
        vocabulary_size=size, num_layers=1, num_decoder_layers=layers, hidden_dim=8, num_heads=2, max_positions=24
    )


def random_network(seed: int, size: int = 30, layers: int = 2) -> Transformer:
    """One network for each shape, with other weights each time: its graphs are traced once."""
    network, draw = _network(size, layers), np.random.default_rng(seed)
    for variable in network.weights:
        scale = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(scale + draw.normal(0, 0.5, variable.shape))
    return network


def sources(seed: int, rows: int, size: int = 30):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 9, rows)
    mask = np.arange(8) < lengths[:, None]
    return (draw.integers(4, size, mask.shape) * mask).astype(np.int32), mask


_SOURCE = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.bool)]


@functools.cache
def _search(network, how):
    @tf.function(input_signature=[*_SOURCE, tf.TensorSpec([None], tf.int32)], autograph=False)
    def answer(token_ids, padding_mask, longest):
        return search(network, how, token_ids, padding_mask, longest)

    return answer


@functools.cache
def _full(network):
    @tf.function(input_signature=[*_SOURCE, tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def steps(ids, mask, begun):
        logits = network(ids, mask, begun, tf.ones_like(begun, tf.bool))
        return tf.nn.log_softmax(tf.reshape(logits, [*tf.unstack(tf.shape(begun)), network.vocabulary_size]))

    return steps


def found(network, how, token_ids, padding_mask, longest) -> list[tuple[list[int], float, bool]]:
    longest = np.broadcast_to(np.int32(longest), len(token_ids))
    out = {name: value.numpy() for name, value in _search(network, how)(token_ids, padding_mask, longest).items()}
    rows = zip(*(out[name] for name in ("ids", "lengths", "score", "unfinished")), strict=True)
    return [(ids[:length].tolist(), float(score), bool(cut)) for ids, length, score, cut in rows]


def log_probabilities(network, ids, mask, targets: list[list[int]]) -> np.ndarray:
    """Of the pieces of ``targets``, all of one length, behind one source: (N, T, V), by the full decoder."""
    begun = np.array([[START, *target[:-1]] for target in targets], np.int32)
    return _full(network)(np.tile(ids, (len(targets), 1)), np.tile(mask, (len(targets), 1)), begun).numpy()


def greedy(network, ids, mask, longest: int) -> tuple[list[int], float, bool]:
    """The likeliest piece each time, by the full decoder over the whole prefix."""
    answer, total = [], 0.0
    while len(answer) < longest:
        last = log_probabilities(network, ids, mask, [[*answer, 0]])[0, -1]
        piece = int(np.argmax(last))
        total += last[piece]
        if piece == END:
            return answer, total, False
        answer.append(piece)
    return answer, total, True


def test_one_beam_is_greedy():
    finished = 0
    for seed in range(8):
        network, (token_ids, mask) = random_network(seed), sources(seed, 3)
        answers = found(network, Search(START, END, beam=1, length_penalty=0.0), token_ids, mask, 12)
        for (ids, score, cut), row in zip(answers, range(3), strict=True):
            expected = greedy(network, token_ids[row], mask[row], 12)
            assert (ids, cut) == (expected[0], expected[2])
            assert score == pytest.approx(expected[1], abs=1e-4)
            finished += not cut
    assert 0 < finished < 24


def penalty(pieces: int, alpha: float) -> float:
    return ((5 + pieces) / 6) ** alpha


@pytest.mark.parametrize(("alpha", "models"), [(0.6, 50), (0.0, 10), (2.0, 10)])
def test_a_beam_as_wide_as_all_prefixes_finds_the_best_of_all_answers(alpha, models):
    """Six pieces, at most four of them: 156 answers that end."""
    longest, size = 4, 6
    pieces = [piece for piece in range(size) if piece != END]
    lengths = set()
    for seed in range(models):
        network, (token_ids, mask) = random_network(seed, size, layers=1), sources(seed, 1, size)
        best, score = [], -np.inf
        for count in range(longest):
            targets = [[*prefix, END] for prefix in itertools.product(pieces, repeat=count)]
            steps = log_probabilities(network, token_ids[0], mask[0], targets)
            totals = np.take_along_axis(steps, np.array(targets)[..., None], 2).sum((1, 2)) / penalty(count + 1, alpha)
            if totals.max() > score:
                best, score = targets[int(totals.argmax())][:-1], totals.max()
        ((ids, ours, cut),) = found(
            network, Search(START, END, beam=750, length_penalty=alpha), token_ids, mask, longest
        )
        assert (ids, cut) == (best, False)
        assert ours == pytest.approx(score, abs=1e-5)
        lengths.add(len(ids))
    assert len(lengths) > 1


def test_scores_are_those_of_the_full_decoder():
    network, (token_ids, mask) = random_network(3), sources(3, 7)
    answers = found(network, Search(START, END, beam=4), token_ids, mask, 12)
    for row, (ids, score, cut) in enumerate(answers):
        written = ids if cut else [*ids, END]
        steps = log_probabilities(network, token_ids[row], mask[row], [written])[0]
        total = sum(steps[place, piece] for place, piece in enumerate(written))
        assert score == pytest.approx(total / penalty(len(written), 0.6), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_row_does_not_depend_on_its_batch(beam):
    for seed in range(3):
        network, (token_ids, mask) = random_network(seed), sources(seed, 7)
        how, longest = Search(START, END, beam=beam), np.arange(3, 17, 2, dtype=np.int32)
        together = found(network, how, token_ids, mask, longest)
        assert together == found(network, how, token_ids, mask, longest)
        wider = [np.pad(each, [(0, 0), (0, 5)], constant_values=fill) for each, fill in ((token_ids, 9), (mask, False))]
        alone = [found(network, how, token_ids[i : i + 1], mask[i : i + 1], longest[i])[0] for i in range(7)]
        for others in (alone, found(network, how, *wider, longest)):
            for (ids, score, cut), (other_ids, other_score, other_cut) in zip(together, others, strict=True):
                assert (ids, cut) == (other_ids, other_cut)
                assert score == pytest.approx(other_score, abs=1e-5)
        assert all(len(ids) <= most for (ids, _, _), most in zip(together, longest, strict=True))


def test_more_beams_find_no_worse_answers_on_the_whole():
    scores = {}
    for beam in (1, 8):
        how = Search(START, END, beam=beam, length_penalty=0.0)
        scores[beam] = [
            score for seed in range(20) for _, score, cut in found(random_network(seed), how, *sources(seed, 2), 20)
        ]
    assert np.mean(scores[8]) > np.mean(scores[1])


def test_what_is_never_written_is_not():
    never, free = set(range(15)) - {END}, set()
    for seed in range(6):
        network, (token_ids, mask) = random_network(seed), sources(seed, 2)
        free |= {piece for ids, _, _ in found(network, Search(START, END), token_ids, mask, 12) for piece in ids}
        how = Search(START, END, never=tuple(sorted(never)))
        assert not never & {piece for ids, _, _ in found(network, how, token_ids, mask, 12) for piece in ids}
    assert never & free


def test_pieces_that_may_be_written_once_and_only_where_the_source_has_them():
    once, written = (4, 5, 6, 7), 0
    for seed in range(20):
        network, (token_ids, mask) = random_network(seed, 12), sources(seed, 4, 12)
        for row, (ids, _, _) in enumerate(found(network, Search(START, END, once=once), token_ids, mask, 12)):
            ours = [piece for piece in ids if piece in once]
            assert len(set(ours)) == len(ours)
            assert set(ours) <= set(token_ids[row].tolist())
            written += len(ours)
    assert written


@pytest.mark.parametrize("longest", [12, 3])  # 3: two of them and [SEP]
def test_an_answer_holds_all_of_them(longest):
    once, held, late = (4, 5), 0, 0
    for seed in range(20):
        network, (token_ids, mask) = random_network(seed, 12), sources(seed, 4, 12)
        how, free = (Search(START, END, once=once, all_of_them=strictly) for strictly in (True, False))
        freely = found(network, free, token_ids, mask, longest)
        for row, (ids, _, _) in enumerate(found(network, how, token_ids, mask, longest)):
            wanted = set(once) & set(token_ids[row].tolist())
            assert wanted <= set(ids)
            held += bool(wanted)
            late += not wanted <= set(freely[row][0])
    assert held > 20 and late > 5  # by themselves, many answers hold none


def test_the_graph_holds_only_operations_that_a_stock_server_links():
    network = random_network(0)
    how = Search(START, END, never=(0, 1, 2), once=(4, 5), all_of_them=True)

    graph = _search(network, how).get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert {fault for node in nodes for fault in serving_ops.faults(node)} == set()
    assert {"StatelessWhile", "While"} & {node.op for node in nodes}
    token_ids, mask = sources(0, 5)
    graphs = found(network, how, token_ids, mask, 12)
    eager = search(network, how, *map(tf.constant, (token_ids, mask, [12] * 5)))
    rows = zip(eager["ids"].numpy(), eager["lengths"].numpy(), strict=True)
    assert [ids[:length].tolist() for ids, length in rows] == [ids for ids, _, _ in graphs]
    assert found(network, how, token_ids[:0], mask[:0], 12) == []


@pytest.mark.parametrize(("width", "count"), [(400, 8), (32_000, 8), (120, 4), (31, 8), (128, 8)])
def test_the_best_by_blocks_are_the_best_of_all_also_where_values_are_equal(width, count):
    """Few different values, -∞ among them: of equal ones the lower index."""
    draw = np.random.default_rng(width)
    values = np.where(draw.random((50, width)) < 0.3, -np.inf, draw.integers(0, 40, (50, width))).astype(np.float32)
    values[0] = -np.inf
    values[1, :-1] = -np.inf
    best, index = _top(tf.constant(values), count)
    expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(values, expected, 1))
