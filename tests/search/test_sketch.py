"""Sketches against every outcome that chance can have, on short vectors."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.search.sketch import CountSketch
from keras_superweights.search.sketch import fold
from keras_superweights.search.sketch import largest_prime
from keras_superweights.search.sketch import num_folds


def slopes_of(length, size):
    return list(itertools.product(range(size), repeat=num_folds(length, size)))


def places(length, size, slopes):
    """The place that each scalar is added to, read off unit vectors."""
    folded = fold(tf.eye(length), size, slopes).numpy()
    assert sorted(np.unique(folded)) == [0, 1]
    np.testing.assert_array_equal(folded.sum(axis=1), np.ones(length))
    return folded.argmax(axis=1)


@pytest.mark.parametrize(
    ("length", "size"),
    [(4, 5), (5, 5), (6, 5), (23, 5), (60, 5), (49, 7), (27, 3), (9, 2)],
)
def test_two_scalars_meet_by_chance_of_one_place_at_most(length, size):
    outcomes = slopes_of(length, size)
    meet = np.zeros((length, length))
    for slopes in outcomes:
        where = places(length, size, slopes)
        meet += where[:, None] == where
    np.fill_diagonal(meet, 0)
    assert meet.max() / len(outcomes) <= 1 / size
    if length > size * size:
        assert len(outcomes) > size  # folded more than once


def vectors(kind, length):
    draw = np.random.default_rng(0)
    if kind == "spread":
        return draw.normal(size=(2, length))
    if kind == "one-sided":
        return draw.uniform(1, 2, (2, length))
    pair = np.zeros((2, length))  # all in two scalars of different runs
    pair[:, [0, length - 2]] = [[3, 1], [-1, 2]]
    return pair


@pytest.mark.parametrize("kind", ["spread", "one-sided", "two scalars"])
@pytest.mark.parametrize(("length", "size"), [(8, 3), (12, 3), (10, 5)])
def test_products_are_unbiased_and_within_the_bound(kind, length, size):
    """Over all signs and slopes there are, exactly."""
    x, y = vectors(kind, length)
    signs = np.array(list(itertools.product((-1, 1), repeat=length)))
    errors = []
    for slopes in slopes_of(length, size):
        u, v = (
            fold(tf.constant(signs * each), size, slopes).numpy()
            for each in (x, y)
        )
        errors.append((u * v).sum(axis=1) - x @ y)
    norms = (x @ x) * (y @ y)
    assert abs(np.mean(errors)) < 1e-9
    assert 0 < np.mean(np.square(errors)) <= 2 / size * norms


def test_a_sketch_is_drawn_once_and_adds_up():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 4, 100)).astype("float32")
    sketch = CountSketch(100, 7, seed=(1, 2))
    again = CountSketch(100, 7, seed=(1, 2))
    np.testing.assert_array_equal(sketch(x), again(x))
    np.testing.assert_allclose(sketch(x + y), sketch(x) + sketch(y), atol=1e-5)
    other = CountSketch(100, 7, seed=(1, 3))
    assert not np.allclose(sketch(x), other(x))


def test_what_is_not_inside_does_not_count():
    x = np.random.default_rng(0).normal(size=(3, 50)).astype("float32")
    inside = np.arange(50) % 3 == 0
    part = CountSketch(50, 5, seed=0, inside=inside)(x)
    whole = CountSketch(50, 5, seed=0)
    np.testing.assert_allclose(part, whole(x * inside), atol=1e-6)


def test_seeds_draw_all_slopes_and_signs():
    """Else products would be those of a few outcomes only."""
    sketches = [CountSketch(12, 3, seed) for seed in range(300)]
    outcomes = slopes_of(12, 3)
    seen = {tuple(s._slopes.tolist()) for s in sketches}
    assert seen == set(outcomes)
    signs = np.array([s._signs.numpy() for s in sketches], "float64")
    correlation = signs.T @ signs / len(signs) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(signs))


def test_the_largest_prime_up_to_a_number():
    primes = [n for n in range(2, 400) if all(n % d for d in range(2, n))]
    for limit in range(2, 400):
        expected = max(prime for prime in primes if prime <= limit)
        assert largest_prime(limit) == expected
    assert largest_prime(1024) == 1021
