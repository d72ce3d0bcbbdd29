"""Sketches that the recorder keeps instead of whole gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.banks import KernelGenerator
from keras_superweights.search import GradientRecorder
from keras_superweights.search.similarity import weight_similarity
from tests import builders
from tests.search import networks


def generator_of(*shapes):
    member = builders.member(*shapes)
    budget = 2 * sum(kernel.size for kernel in member.kernels)
    return KernelGenerator(networks.TIED.allocate([member], budget))


def vectors_of(allocation, gradients):
    """`dS` of each superweight, of gradients in the kernels' own shapes."""
    return [
        tf.constant(networks.rows_of(allocation, each, gradients), "float32")
        for each in allocation.superweights
    ]


def recorded(generator, *steps, **settings):
    """A recorder that has seen these steps of `vectors_of`."""
    recorder = GradientRecorder(generator, **settings)
    for vectors in steps:
        recorder.update(vectors)
    return recorder


def test_sketches_are_unbiased_and_within_their_bound():
    draw = np.random.default_rng(0)
    shapes = [(9, 30), (9, 30), (12, 30), (12, 20)]  # nested and overlapping
    generator = generator_of(*shapes)
    allocation = generator.allocation
    base = draw.normal(size=(12, 30))
    gradients = [
        (base + 0.7 * draw.normal(size=(12, 30)))[: s[0], : s[1]]
        for s in shapes
    ]
    vectors = vectors_of(allocation, gradients)
    size = 17
    seeds = 150
    products, cosines = [], []
    for seed in range(seeds):
        recorder = recorded(generator, vectors, sketch_size=size, seed=seed)
        grams = recorder.grams()
        products.append(networks.recorded_products(allocation, grams))
        cosines.append(weight_similarity(allocation, range(4), grams))
    whole = recorded(generator, vectors)
    exact = networks.cropped_products(gradients)
    np.testing.assert_allclose(
        networks.recorded_products(allocation, whole.grams()), exact, rtol=1e-4
    )
    # Products of norms on the common box, which the bound is relative to.
    cosine = weight_similarity(allocation, range(4), whole.grams())
    norms = exact / cosine
    errors = (np.array(products) - exact) / norms
    bound = np.sqrt(2 / size)
    wrong = np.array(cosines) - cosine
    # Means over the seeds stray from what they estimate by a standard error.
    for squares in (errors**2, wrong**2):
        strays = 3 * squares.std(axis=0) / np.sqrt(seeds)
        assert (squares.mean(axis=0) <= bound**2 + strays).all()
    assert (np.abs(errors.mean(axis=0)) <= 5 * bound / np.sqrt(seeds)).all()
    assert np.abs(wrong).max() > 0


def scalars_held(recorder):
    """Of all variables, found without knowing where the recorder has them."""
    found, seen = 0, [recorder._whole, recorder._sketched]
    for held in seen:
        if isinstance(held, keras.Variable):
            found += int(np.prod(held.shape))
        elif isinstance(held, dict):
            seen.extend(held.values())
        elif isinstance(held, (list, tuple)):
            seen.extend(held)
    return found


def test_a_sketch_takes_less_memory():
    generator = generator_of((20, 30), (20, 30), (20, 10))
    allocation = generator.allocation
    full = scalars_held(GradientRecorder(generator))
    assert full == sum(len(p.kernels) * p.size for p in allocation.superweights)
    # Vectors (20, 10) of three kernels and (20, 20) of two: both boxes cut
    # them alike.
    sketched = scalars_held(GradientRecorder(generator, sketch_size=32))
    assert sketched == 5 * 31 < full / 8  # 31 is prime
    assert scalars_held(GradientRecorder(generator, weights=False)) == 0


def test_vectors_smaller_than_the_sketch_are_kept_whole():
    draw = np.random.default_rng(2)
    generator = generator_of((4, 4), (4, 4), (12, 12))
    allocation = generator.allocation
    gradients = [draw.normal(size=k.shape) for k in allocation.kernels]
    vectors = vectors_of(allocation, gradients)
    recorder = recorded(generator, vectors, sketch_size=16)
    products = networks.recorded_products(allocation, recorder.grams())
    exact = networks.cropped_products(gradients)
    others = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(products[others], exact[others], rtol=1e-4)


@pytest.mark.parametrize("size", [0, -1, 1, 24, 100, 3.5, float("nan")])
def test_a_sketch_that_saves_nothing_is_refused(size):
    generator = generator_of((4, 6), (4, 6), (2, 2))
    told = "20 scalars" if size in (24, 100) else "at least 2"
    with pytest.raises(
        (TypeError, ValueError), match=f"`sketch_size`.* {told}.*Rece"
    ):
        GradientRecorder(generator, sketch_size=size)
