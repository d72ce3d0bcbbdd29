import numpy as np
import pytest
import sklearn.datasets
import tensorflow_datasets as tfds

import keras_superweights.datasets
from keras_superweights.datasets import ImagePipeline


def read(builder):
    return {
        name: builder.as_dataset(split=name, batch_size=-1)
        for name in ("train", "test")
    }


@pytest.fixture(scope="module")
def splits(digits_dir):
    directory = digits_dir / "sklearn_digits" / "1.0.0"
    return read(tfds.builder_from_directory(directory))


def test_splits_hold_every_digit_of_sklearn_once(splits):
    def as_rows(images, labels):
        rows = np.column_stack([images.reshape(len(images), -1), labels])
        return rows[np.lexsort(rows.T)]

    images = np.concatenate([splits[s]["image"] for s in ("train", "test")])
    labels = np.concatenate([splits[s]["label"] for s in ("train", "test")])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    ink = np.rint(images * (16 / 255))
    digits = sklearn.datasets.load_digits()
    np.testing.assert_array_equal(
        as_rows(ink, labels), as_rows(digits.images, digits.target)
    )


def test_splits_are_stratified_by_class(splits):
    test = np.bincount(splits["test"]["label"])
    train = np.bincount(splits["train"]["label"])
    assert (train.sum(), test.sum()) == (1297, 500)
    share = (train + test) * 500 / 1797
    assert np.all(np.abs(test - share) < 1)


def test_preparing_again_gives_the_same_splits(splits, tmp_path):
    builder = keras_superweights.datasets.SklearnDigits(data_dir=tmp_path)
    builder.download_and_prepare()
    np.testing.assert_equal(tfds.as_numpy(read(builder)), tfds.as_numpy(splits))


def test_known_normalization_is_that_of_the_train_split(digits_dir, splits):
    pixels = np.asarray(splits["train"]["image"]) / 255
    # Constants belong to the set, not to the part used for training.
    for part in ("train", "train[:200]"):
        pipeline = ImagePipeline(
            name="sklearn_digits", data_dir=digits_dir, train_split=part
        )
        np.testing.assert_allclose(pipeline.mean, pixels.mean(), atol=5e-5)
        np.testing.assert_allclose(pipeline.deviation, pixels.std(), atol=5e-5)
