"""Reading images of any size, from memory and from disk."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import crops
from tests.datasets import sets


def test_a_set_may_have_several_labels(make_photos):
    fine, coarse = make_photos(), make_photos(label="coarse_label")
    assert (fine.num_classes, coarse.num_classes) == (5, 2)
    for batches in (
        [x.train(1) for x in (fine, coarse)],
        [fine.test(), coarse.test()],
    ):
        (images, labels), (same, classes) = map(sets.collect, batches)
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels % 2, classes)
        assert len(set(labels)) == 5


@pytest.mark.parametrize(
    "options",
    [{}, sets.AUGMENTED, {"crop": "inception"}, {"size": 4, "flip": True}],
    ids=str,
)
def test_a_set_read_from_disk_is_the_one_in_memory(
    make_pipeline, request, options
):
    options = {"validation_fraction": 0.25, **options}

    def everything(pipeline):
        parts = (pipeline.train(2), pipeline.validation(), pipeline.test())
        return [batch for part in parts for batch in part.as_numpy_iterator()]

    in_memory = everything(make_pipeline(**options))
    request.getfixturevalue("from_disk")
    from_disk = everything(make_pipeline(**options))
    np.testing.assert_equal(from_disk, in_memory)


def test_photos_of_any_size_are_brought_to_one(make_photos):
    pipeline = make_photos(batch_size=5)
    assert pipeline.image_shape == (12, 12, 3)
    # Without random crops, training images equal test images.
    images, labels = sets.collect(pipeline.train(1))
    photos = [crops.central_crop(x, 12, 3) for x in sets.tiny_photos("train")]
    pixels = np.array(photos) / 255
    # They determine the normalisation; some are JPEG files.
    np.testing.assert_allclose(pipeline.mean, pixels.mean((0, 1, 2)), rtol=0.02)
    np.testing.assert_allclose(pipeline.deviation, pixels.std((0, 1, 2)), 0.02)
    for index, photo in enumerate(pixels):
        photo = (photo - pipeline.mean) / pipeline.deviation
        errors = np.abs(images - photo).mean((1, 2, 3))
        assert errors.min() < 0.1
        assert labels[errors.argmin()] == index % 5


def test_inception_crops_are_other_ones_in_every_epoch(make_photos):
    pipeline = make_photos(crop="inception", batch_size=20)
    first, second = (
        {x.tobytes() for x in images}
        for images, _ in pipeline.train(2).as_numpy_iterator()
    )
    assert len(first) == len(second) == 20
    assert not first & second


def test_wrong_images_and_labels_are_refused(tiny_dir, request):
    def make(**options):
        options = {"train_split": "train", "test_split": "train"} | options
        return ImagePipeline(
            name="broken_colours", data_dir=tiny_dir, batch_size=2, **options
        )

    for split in ("train", "other"):  # one wrong image, or all
        with pytest.raises(ValueError, match=r"(?s)\(6, 5, 3\).*6,4,3\]"):
            make(test_split=split).test()
    with pytest.raises(ValueError, match="class from 0 to 3.*Received: -1"):
        make(test_split="unlabelled").test()
    request.getfixturevalue("from_disk")
    known = {"size": 5}  # files of any size
    assert sets.collect(make(**known).test())[0].shape == (2, 5, 5, 3)
    for options, told in (
        ({}, r"(?s)\(6, 5, 3\).*\[6 4 3\]"),
        ({"train_split": "unlabelled"}, "class from 0 to 3.*-1"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=told):
            sets.collect(make(**options).train(1))


def test_a_large_set_must_lie_in_files_that_can_be_read(
    make_pipeline, from_disk, monkeypatch
):
    pipeline = make_pipeline()
    info = pipeline._set._builder.info
    monkeypatch.setattr(
        type(info), "file_format", tfds.core.FileFormat.ARRAY_RECORD
    )
    with pytest.raises(ValueError, match="TFRecord.*Received: array_record"):
        pipeline.train(1)
