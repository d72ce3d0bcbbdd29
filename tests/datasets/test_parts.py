"""What is held out for validation, and the rows that a worker computes."""

import numpy as np
import pytest

from tests.datasets import sets

PHOTOS = {
    **{"name": "tiny_photos", "size": 12, "batch_size": 4},
    **{"crop": "inception", "flip": True, "pad": 1, "cutout": 3},
    **{"mixup": 0.4, "label_smoothing": 0.1},
}
COLOURS = {"batch_size": 6, **sets.AUGMENTED}


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_validation_part_is_the_same_for_every_seed(make_pipeline, fraction):
    held_out = []
    for seed in (0, 1):
        pipeline = make_pipeline(
            validation_fraction=fraction, seed=seed, **COLOURS
        )
        images, labels = sets.collect(pipeline.validation())
        assert len(images) == pipeline.num_validation == 40 * fraction
        held_out.append(sets.to_pixels(images, pipeline))
    np.testing.assert_array_equal(*held_out)
    # They are images of the split with their labels, in order.
    tiny_images, tiny_labels = sets.tiny_examples("train")
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
    trained = sets.to_pixels(sets.collect(pipeline.train(1))[0], pipeline)
    held_out = sets.to_pixels(sets.collect(pipeline.validation())[0], pipeline)
    together = {image.tobytes() for image in (*trained, *held_out)}
    images, _ = sets.tiny_examples("train")
    assert together == {image.astype(int).tobytes() for image in images}
    # They do not affect the normalisation.
    np.testing.assert_allclose(
        pipeline.mean, trained.mean((0, 1, 2)) / 255, rtol=1e-6
    )


def test_a_run_is_measured_on_the_held_out_part(make_pipeline):
    for fraction, expected in ((0.0, "test[2:]"), (0.3, "validation")):
        pipeline = make_pipeline(
            validation_fraction=fraction, test_split="test[2:]"
        )
        batches, name = pipeline.measured()
        assert name == expected
        part = pipeline.validation() if fraction else pipeline.test()
        np.testing.assert_equal(sets.collect(batches), sets.collect(part))


def test_without_a_fraction_nothing_is_held_out(make_pipeline):
    with pytest.raises(ValueError, match="`validation_fraction` must be above"):
        make_pipeline().validation()


@pytest.mark.parametrize(
    ("part", "num_shards", "options"),
    [
        ("train", 2, COLOURS),
        ("train", 3, COLOURS),
        ("train", 2, {**PHOTOS, "cutmix": 1.0}),
        ("test", 2, PHOTOS),
        ("validation", 2, {**COLOURS, "validation_fraction": 0.25}),
        ("measured", 2, {"validation_fraction": 0.5}),
        ("measured", 2, {}),
        # The ninth example alone would leave one shard empty.
        ("test", 2, {"batch_size": 4, "test_split": "train[:9]"}),
    ],
    ids=str,
)
def test_the_shards_of_a_batch_are_the_batch(
    make_pipeline, part, num_shards, options
):
    pipeline = make_pipeline(**options)
    arguments = (2, 0) if part == "train" else ()

    def read(*arguments):
        found = getattr(pipeline, part)(*arguments)
        return found[0] if part == "measured" else found

    shards = [read(*arguments, num_shards, i) for i in range(num_shards)]
    steps = zip(*(shard.as_numpy_iterator() for shard in shards), strict=True)
    rows = [rows for step in steps for rows in step]
    assert min(len(labels) for _, labels in rows) > 0
    if part == "train":
        sizes = {len(labels) for _, labels in rows}
        assert sizes == {pipeline.batch_size // num_shards}
    np.testing.assert_equal(sets.joined(rows), sets.collect(read(*arguments)))


@pytest.mark.parametrize(
    ("num_shards", "shard", "error", "message"),
    [
        (3, 0, ValueError, "`num_shards` must divide the batch size, 8.*=3"),
        (0, 0, ValueError, "`num_shards` must be .* from 1"),
        (16, 0, ValueError, "`num_shards` must be .* to 8"),
        (2, 2, ValueError, "`shard` must be .* from 0 to 1"),
        (2, -1, ValueError, "`shard` must be"),
        (2, 0.5, TypeError, "`shard` must be an integer"),
    ],
)
def test_shards_must_fit_the_batch(
    make_pipeline, num_shards, shard, error, message
):
    pipeline = make_pipeline(validation_fraction=0.5)
    for batches in (pipeline.test, pipeline.validation, pipeline.measured):
        with pytest.raises(error, match=message):
            batches(num_shards, shard)
    with pytest.raises(error, match=message):
        pipeline.train(1, 0, num_shards, shard)


def test_no_shard_may_be_empty(make_pipeline):
    pipeline = make_pipeline(test_split="test[:3]")
    with pytest.raises(ValueError, match="number of examples, 3.*num_shards=4"):
        pipeline.test(4, 0)
