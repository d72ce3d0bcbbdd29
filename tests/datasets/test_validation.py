"""The part of the training split that is held out for validation."""

import numpy as np
import pytest

from tests.datasets.sets import AUGMENTED
from tests.datasets.sets import collect
from tests.datasets.sets import tiny_examples
from tests.datasets.sets import to_pixels


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_validation_part_is_the_same_for_every_seed(make_pipeline, fraction):
    held_out = []
    for seed in (0, 1):
        pipeline = make_pipeline(
            validation_fraction=fraction, seed=seed, batch_size=5, **AUGMENTED
        )
        images, labels = collect(pipeline.validation())
        assert len(images) == pipeline.num_validation == 40 * fraction
        held_out.append(to_pixels(images, pipeline))
    np.testing.assert_array_equal(*held_out)
    # They are images of the split with their labels, in order.
    tiny_images, tiny_labels = tiny_examples("train")
    places = [
        int(np.flatnonzero((tiny_images == image).all((1, 2, 3))).item())
        for image in held_out[0]
    ]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(tiny_labels[places], labels)
    # They are not one end of it, since sets may be ordered by class.
    assert places[-1] - places[0] >= len(places) + 5


def test_held_out_examples_are_not_trained_on(make_pipeline):
    pipeline = make_pipeline(validation_fraction=0.4, batch_size=6)
    assert (pipeline.num_train, pipeline.steps_per_epoch) == (24, 4)
    trained = to_pixels(collect(pipeline.train(1))[0], pipeline)
    held_out = to_pixels(collect(pipeline.validation())[0], pipeline)
    together = {image.tobytes() for image in (*trained, *held_out)}
    images, _ = tiny_examples("train")
    assert together == {image.astype(int).tobytes() for image in images}
    # They do not affect the normalisation.
    np.testing.assert_allclose(
        pipeline.mean, trained.mean((0, 1, 2)) / 255, rtol=1e-6
    )


def test_a_run_is_measured_on_the_held_out_part(make_pipeline):
    pipeline = make_pipeline(test_split="test[2:]")
    batches, name = pipeline.measured()
    assert name == "test[2:]"
    np.testing.assert_equal(collect(batches), collect(pipeline.test()))
    pipeline = make_pipeline(validation_fraction=0.3)
    batches, name = pipeline.measured()
    assert name == "validation"
    np.testing.assert_equal(collect(batches), collect(pipeline.validation()))


def test_without_a_fraction_nothing_is_held_out(make_pipeline):
    with pytest.raises(ValueError, match="`validation_fraction` must be above"):
        make_pipeline().validation()
