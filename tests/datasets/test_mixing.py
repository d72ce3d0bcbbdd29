"""Mixup and CutMix, compared with loops in NumPy, and their draws."""

import numpy as np
import pytest

from keras_superweights.datasets import mixing


def mixed_in_numpy(images, labels, mix):
    weights, cuts, centres = (np.asarray(values) for values in mix)
    new_images, new_labels = [], []
    for i in range(len(images) - 1):
        weight = weights[i]
        image = weight * images[i] + (1 - weight) * images[i + 1]
        if cuts[i]:
            height, width = images.shape[1:3]
            # As in the authors' code, section 3.1 of Yun et al.
            side = np.sqrt(1 - weight)
            half = [int(n * side) // 2 for n in (height, width)]
            centre = [int(centres[i, 0] * height), int(centres[i, 1] * width)]
            image = images[i].copy()
            taken = 0
            for place in np.ndindex(height, width):
                if all(
                    -half[axis] <= place[axis] - centre[axis] < half[axis]
                    for axis in (0, 1)
                ):
                    image[place] = images[i + 1][place]
                    taken += 1
            weight = 1 - taken / (height * width)
        new_images.append(image)
        new_labels.append(weight * labels[i] + (1 - weight) * labels[i + 1])
    return np.array(new_images), np.array(new_labels)


@pytest.mark.parametrize("seed", range(10))
def test_mixing_agrees_with_numpy(seed):
    rng = np.random.default_rng(seed)
    num_rows, height, width = rng.integers(2, 12, 3)
    images = rng.normal(size=(num_rows, height, width, 3)).astype("float32")
    labels = rng.random((num_rows, 4), dtype=np.float32)
    weights = rng.random(num_rows, dtype=np.float32)
    weights[0] = seed % 2  # all of one image
    mix = mixing.Mix(
        weights=weights,
        cuts=rng.random(num_rows) < 0.5,
        centres=rng.random((num_rows, 2), dtype=np.float32),
    )
    found = mixing.mix(images, labels, mix)
    expected = mixed_in_numpy(images, labels, mix)
    for actual, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, values, atol=1e-5)


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 1.0, 8.0])
@pytest.mark.parametrize("cut", [False, True])
def test_weights_have_the_moments_of_beta(alpha, cut):
    num_examples = 20_000
    alphas = (0.0, alpha) if cut else (alpha, 0.0)
    drawn = mixing.draw(num_examples, *alphas, key=[1, 2])
    weights = drawn.weights.numpy().astype("float64")
    assert np.all((weights >= 0) & (weights <= 1))  # none undefined
    assert np.all(drawn.cuts.numpy() == cut)
    variance = 1 / (4 * (2 * alpha + 1))
    error = np.sqrt(variance / num_examples)
    assert abs(weights.mean() - 0.5) < 5 * error
    # If a variable is within 0.5 of its mean, its fourth moment is at most a
    # quarter of its variance.
    error = np.sqrt(variance / 4 / num_examples)
    assert abs(weights.var() - variance) < 5 * error


def test_with_both_methods_each_example_gets_one_of_them():
    drawn = mixing.draw(20_000, 0.01, 100.0, key=[3, 4])
    cuts = drawn.cuts.numpy()
    assert abs(cuts.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(cuts))
    near_half = np.abs(drawn.weights.numpy() - 0.5) < 0.3
    np.testing.assert_array_equal(near_half[cuts], True)
    assert near_half[~cuts].mean() < 0.1
    centres = drawn.centres.numpy()
    counts, _, _ = np.histogram2d(*centres.T, bins=4, range=[[0, 1]] * 2)
    assert np.all(np.abs(counts - 1250) < 5 * np.sqrt(1250))
