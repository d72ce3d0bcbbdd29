"""Reading images of any size and their records, from memory and from disk."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import crops
from keras_superweights.datasets import normalization
from keras_superweights.datasets import prepared
from keras_superweights.datasets.records import Records
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


@pytest.mark.parametrize("seed", range(8))
def test_mean_and_deviation_agree_with_numpy(seed):
    draw = np.random.default_rng(seed)
    count, channels = draw.integers(1, 30), draw.integers(1, 5)
    shape = (count, *draw.integers(1, 7, 2), channels)
    images = draw.integers(0, 256, shape).astype("uint8")
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros(count)))
    mean, deviation = normalization.measure(batches.batch(4), channels)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(deviation, (images / 255).std((0, 1, 2)))


def test_unknown_sets_are_normalised_by_the_train_split(make_pipeline):
    pipeline = make_pipeline(train_split="train[:24]")
    pixels = sets.tiny_examples("train")[0][:24] / 255
    np.testing.assert_allclose(pipeline.mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(pipeline.deviation, pixels.std((0, 1, 2)))
    images, _ = sets.collect(pipeline.train(1))
    np.testing.assert_allclose(images.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std((0, 1, 2)), 1, atol=1e-5)


def test_a_constant_channel_is_refused(make_pipeline):
    pipeline = make_pipeline(train_split="blank", batch_size=2)
    with pytest.raises(ValueError, match="Every channel must vary"):
        pipeline.train(1)


@pytest.mark.parametrize(
    "split", ["train", "train[3:17]", "train[:2]+train[15:]", "test[-1:]"]
)
def test_every_record_is_found_by_its_number(tiny_dir, split):
    splits = prepared.open_builder("tiny_photos", tiny_dir).info.splits
    assert splits["train"].num_shards == 3
    expected = [
        record
        for file in splits[split].file_instructions
        for record in tf.data.TFRecordDataset(file.filename)
        .skip(file.skip)
        .take(file.take)
        .as_numpy_iterator()
    ]
    records = Records(splits[split])
    order = np.random.default_rng(0).permutation(splits[split].num_examples)
    assert [records.read(i) for i in order] == [expected[i] for i in order]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data + data,
        lambda data: b"",
        lambda data: data[:7] + b"\x01" + data[8:],
    ],
    ids=["cut off", "twice", "empty", "of another length"],
)
def test_a_damaged_file_is_named(tiny_dir, tmp_path, damage):
    shutil.copytree(tiny_dir / "tiny_photos", tmp_path / "tiny_photos")
    info = prepared.open_builder("tiny_photos", tmp_path).info
    path = pathlib.Path(info.splits["train"].file_instructions[1].filename)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path.name} must be .* copy it"):
        Records(info.splits["train"])
