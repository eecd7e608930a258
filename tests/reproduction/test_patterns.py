"""Each pattern is seen as often, and in such an order, as the paper says."""

import numpy as np

from lenet.reproduction import DISTORTIONS, Experiment
from lenet.reproduction.patterns import COPIES, Patterns


def test_every_pattern_once_a_pass_in_one_order():
    patterns = Patterns(Experiment(seeds=2), 50)
    first, matrices = patterns.of_pass(0, slice(0, 50))
    assert matrices is None
    for seed in range(2):
        assert sorted(first[:, seed]) == list(range(50))
    assert not np.array_equal(first[:, 0], first[:, 1])
    np.testing.assert_array_equal(patterns.of_pass(7, slice(0, 50))[0], first)


def test_the_curvature_has_other_patterns_before_each_pass():
    patterns = Patterns(Experiment(seeds=2), 50)
    drawn, _ = patterns.for_curvature(0)
    assert sorted(drawn[:, 1]) == list(range(50))
    assert not np.array_equal(drawn, patterns.for_curvature(1)[0])
    assert len(Patterns(Experiment(seeds=1), 600).for_curvature(0)[0]) == 500


def test_distorted_copies_are_seen_as_often_as_the_originals():
    patterns = Patterns(Experiment(seeds=1, distortions=DISTORTIONS), 40)
    parts = [patterns.of_pass(number, slice(0, 40)) for number in range(20)]
    seen = np.concatenate([order[:, 0] for order, _ in parts])
    # Twenty passes of 40: every pattern twenty times, twice as it is and eighteen times distorted.
    assert np.bincount(seen).tolist() == [20] * 40
    matrices = np.concatenate([m[:, 0] for _, m in parts])
    plain = (matrices == np.array([[1, 0, 0], [0, 1, 0]])).all((1, 2))
    assert plain.sum() == 2 * 40
    assert np.bincount(seen[plain]).tolist() == [2] * 40
    distinct = np.unique(matrices.reshape(-1, 6), axis=0)
    assert len(distinct) == 1 + COPIES * 40
