"""Training batches: order, augmentation and mixing, all of them repeatable."""

import numpy as np
import pytest

from keras_superweights.datasets import epoch_plan
from tests.datasets.sets import AUGMENTED
from tests.datasets.sets import collect
from tests.datasets.sets import tiny_examples
from tests.datasets.sets import to_pixels
from tests.datasets.test_mixing import mixed_in_numpy

INCEPTION = {"name": "tiny_photos", "size": 12, "crop": "inception"}


@pytest.mark.parametrize("seed", range(3))
def test_each_epoch_is_a_permutation_of_the_split(make_pipeline, seed):
    pipeline = make_pipeline(seed=seed)
    images, labels = collect(pipeline.train(2))
    rows = np.column_stack(
        [to_pixels(images, pipeline).reshape(80, -1), labels]
    )
    tiny_images, tiny_labels = tiny_examples("train")
    expected = np.column_stack([tiny_images.reshape(40, -1), tiny_labels])
    for epoch in (rows[:40], rows[40:]):
        assert not np.array_equal(epoch, expected)
        np.testing.assert_array_equal(
            epoch[np.lexsort(epoch.T)], expected[np.lexsort(expected.T)]
        )
    assert not np.array_equal(rows[:40], rows[40:])


def _all_outcomes(image, pipeline):
    """Yields all possible augmentations of one image, with NumPy."""
    height, width, _ = image.shape
    pad, size = pipeline.pad, pipeline.cutout
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    mean, deviation = np.array(pipeline.mean), np.array(pipeline.deviation)
    for top, left in np.ndindex(2 * pad + 1, 2 * pad + 1):
        crop = padded[top : top + height, left : left + width]
        for oriented in (crop, crop[:, ::-1]):
            normalised = (oriented / 255 - mean) / deviation
            for row, column in np.ndindex(height, width):
                outcome = normalised.copy()
                above, before = row - size // 2, column - size // 2
                outcome[
                    max(above, 0) : above + size, max(before, 0) : before + size
                ] = 0
                key = np.rint(outcome * 1000).astype(int).tobytes()
                yield key, oriented is not crop


def test_training_images_are_crops_flips_and_cutouts(make_pipeline):
    pipeline = make_pipeline(**AUGMENTED)
    images, labels = collect(pipeline.train(2))
    images = [np.rint(x * 1000.0).astype(int).tobytes() for x in images]
    tiny_images, tiny_labels = tiny_examples("train")
    sources = {}
    for example, image in enumerate(tiny_images):
        for outcome, mirrored in _all_outcomes(image, pipeline):
            sources[outcome] = example, mirrored
    found, mirrored = zip(*(sources[image] for image in images), strict=True)
    found = list(found)
    # 80 fair coins: 5 standard deviations are 22.
    assert abs(sum(mirrored) - 40) < 22
    np.testing.assert_array_equal(tiny_labels[found], labels)
    assert sorted(found[:40]) == sorted(found[40:]) == list(range(40))
    # Few examples are equal in both epochs by chance (1 in 540).
    first, second = (
        {found[i]: images[i] for i in epoch}
        for epoch in (range(40), range(40, 80))
    )
    same = [first[example] == second[example] for example in range(40)]
    assert sum(same) < 4


@pytest.mark.parametrize("first_epoch", [1, 4])
@pytest.mark.parametrize("options", [AUGMENTED, INCEPTION], ids=str)
def test_a_resumed_run_sees_the_rest_of_the_batches(
    make_pipeline, first_epoch, options
):
    # 40 examples in batches of 6 leave four over in every epoch.
    pipeline = make_pipeline(batch_size=6, seed=5, **options)
    whole = list(pipeline.train(4).as_numpy_iterator())
    rest = list(pipeline.train(4, first_epoch).as_numpy_iterator())
    assert len(rest) == (4 - first_epoch) * pipeline.steps_per_epoch
    np.testing.assert_equal(rest, whole[first_epoch * len(whole) // 4 :])


@pytest.mark.parametrize("options", [AUGMENTED, INCEPTION], ids=str)
def test_a_seed_repeats_itself_and_only_itself(make_pipeline, options):
    first, again, other = (
        collect(make_pipeline(seed=seed, mixup=1.0, **options).train(1))
        for seed in (1, 1, 2)
    )
    for index in (0, 1):  # images and labels
        np.testing.assert_array_equal(first[index], again[index])
        assert not np.array_equal(first[index], other[index])


def test_the_batch_size_changes_no_example(make_pipeline):
    small, _ = collect(make_pipeline(batch_size=4, **AUGMENTED).train(2))
    large, _ = collect(make_pipeline(batch_size=20, **AUGMENTED).train(2))
    np.testing.assert_array_equal(small, large)


def test_other_examples_are_left_over_in_every_epoch(make_pipeline):
    pipeline = make_pipeline(batch_size=30)
    images, _ = collect(pipeline.train(2))
    first, second = images.reshape(2, 30, -1)
    assert {row.tobytes() for row in first} != {row.tobytes() for row in second}


@pytest.mark.parametrize(
    "mixing", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}]
)
def test_an_example_is_mixed_with_the_next_of_its_batch(make_pipeline, mixing):
    plain = make_pipeline(**AUGMENTED, label_smoothing=0.2)
    mixed = make_pipeline(**AUGMENTED, label_smoothing=0.2, **mixing)
    rows = [*range(8), 0]
    plan = epoch_plan.plan_epoch(
        np.int64(0), mixed.seed, np.arange(40), 8, rows, mixed._draw
    )
    weights, cuts = [], set()
    sources = (plain.train(1), mixed.train(1), plan)
    for batch, found, (*_, drawn) in zip(
        *(each.as_numpy_iterator() for each in sources), strict=True
    ):
        images, labels = (values[rows] for values in batch)
        expected = mixed_in_numpy(images, labels, drawn)
        for values, of_both in zip(found, expected, strict=True):
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, of_both, atol=1e-4)
        weights.extend(drawn.weights)
        cuts.update(drawn.cuts)
    assert np.std(weights) > 0.1
    assert cuts == {name == "cutmix" for name in mixing}
    # The test split is not mixed, but its labels fit the same loss.
    images, labels = collect(mixed.test())
    np.testing.assert_array_equal(images, collect(plain.test())[0])
    assert set(np.unique(labels)) == {0, 1}
