"""Groups against Algorithm 1 as it is printed."""

import itertools

import numpy as np
import pytest

from keras_superweights.search.grouping import group_above
from tests.search.planted import random_similarity


def algorithm_1(similarity, threshold, draw):
    """The paper's Algorithm 1, line by line; ties are popped in any order.

    The text of the seed misprints three indices: a pair above the threshold
    asks for the groups of its first *and* of its second layer.
    """
    pairs = list(itertools.combinations(range(len(similarity)), 2))
    draw.shuffle(pairs)
    queue = sorted(pairs, key=lambda pair: -similarity[pair])
    groups = []

    def group_of(layer):
        return next((g for g in groups if layer in g), None)

    for pair in queue:
        one, other = pair
        first, second = group_of(one), group_of(other)
        if similarity[pair] > threshold:
            if first is not None and second is not None:
                groups[:] = [g for g in groups if g not in (first, second)]
                groups.append(first | second)
            elif first is not None:
                first.add(other)
            elif second is not None:
                second.add(one)
            else:
                groups.append({one, other})
        else:
            if first is None:
                groups.append({one})
            if second is None:
                groups.append({other})
    return sorted(tuple(sorted(group)) for group in groups)


def coarse_similarity(draw):
    """Of 2 to 9 kernels; in every second one values repeat."""
    similarity = random_similarity(draw, draw.integers(2, 10))
    if draw.random() < 0.5:
        similarity = np.round(similarity * 3) / 3
    return similarity


def test_groups_are_those_of_algorithm_1():
    draw = np.random.default_rng(0)
    seen = set()
    for _ in range(1000):
        similarity = coarse_similarity(draw)
        # Often a value that occurs: what equals the threshold is not above.
        threshold = (
            draw.choice(similarity.ravel())
            if draw.random() < 0.5
            else draw.uniform(-1, 1)
        )
        if threshold == -1:
            threshold = -0.99
        groups = group_above(similarity, threshold)
        assert groups == algorithm_1(similarity, threshold, draw)
        seen.add(len(groups))
    assert seen >= set(range(1, 7))  # neither all alone nor all together


def test_at_minus_one_all_are_together_and_at_one_each_is_alone():
    for value in (-1.0, -0.5, 0.0, 1.0):
        similarity = np.full((4, 4), value)
        np.fill_diagonal(similarity, 1.0)
        assert group_above(similarity, -1) == [(0, 1, 2, 3)]
        assert group_above(similarity, 1) == [(0,), (1,), (2,), (3,)]
    assert group_above([[1.0]], -1) == group_above([[1.0]], 1) == [(0,)]


@pytest.mark.parametrize("threshold", [-1.01, 1.01, float("nan"), 5])
def test_a_threshold_outside_of_cosines_is_refused(threshold):
    with pytest.raises(ValueError, match="`threshold`.*-1 to 1.*Received"):
        group_above(np.eye(2), threshold)
