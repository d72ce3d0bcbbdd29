"""Prepared tfds directories with the digits and with sets for the tests."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import examples


class TinyColours(tfds.core.GeneratorBasedBuilder):
    """40 + 10 random 6x5 colour images, all different, of 4 classes."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Scalar(np.int64),
                    "image": tfds.features.Image(shape=(6, 5, 3)),
                    "label": tfds.features.ClassLabel(num_classes=4),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples("train"),
            "test": self._generate_examples("test"),
            "blank": self._generate_examples("blank"),
        }

    def _generate_examples(self, split):
        images, labels = tiny_examples(split)
        for index, (image, label) in enumerate(
            zip(images, labels, strict=True)
        ):
            yield index, {"id": index, "image": image, "label": int(label)}


class TinyPhotos(tfds.core.GeneratorBasedBuilder):
    """20 + 5 photos of many sizes, JPEG and PNG, three files per split."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(num_classes=5),
                    "coarse_label": tfds.features.ClassLabel(num_classes=2),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        splits = ("train", "test", "unlabelled")
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split):
        for index, photo in enumerate(tiny_photos(split)):
            label = -1 if split == "unlabelled" and index else index % 5
            yield (
                index,
                {
                    "image": encode(photo, jpeg=index % 3 > 0),
                    "label": label,
                    "coarse_label": label % 2,
                },
            )


class BrokenColours(tfds.core.GeneratorBasedBuilder):
    """A set whose files break its promise of 6x5 images of 4 classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(6, 5, 3)),
                    "label": tfds.features.ClassLabel(num_classes=4),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples([(6, 5), (6, 4)], 0),
            "other": self._generate_examples([(6, 4), (6, 4)], 0),
            "unlabelled": self._generate_examples([(6, 5), (6, 5)], -1),
        }

    def _generate_examples(self, sizes, label):
        for index, size in enumerate(sizes):
            image = np.arange(6 * 5 * 3, dtype=np.uint8)[: np.prod(size) * 3]
            image = encode(image.reshape(*size, 3), jpeg=False)
            yield index, {"image": image, "label": label}


def encode(image, jpeg):
    """Returns the bytes of an image file."""
    code = tf.io.encode_jpeg(image, quality=95) if jpeg else None
    return io.BytesIO((code or tf.io.encode_png(image)).numpy())


def tiny_photos(split):
    """Yields smooth images of random sizes, which suit JPEG files."""
    rng = np.random.default_rng(len(split))
    for _ in range({"train": 20, "test": 5, "unlabelled": 3}[split]):
        size = rng.integers(16, 40, 2)
        corners = rng.integers(0, 256, (3, 3, 3))
        pixels = tf.image.resize(corners, size)
        yield tf.cast(tf.round(pixels), tf.uint8).numpy()


def tiny_examples(split):
    """Returns images and labels of a split of `TinyColours`, as arrays."""
    if split == "blank":
        return np.zeros((4, 6, 5, 3), np.uint8), np.zeros(4, np.int64)
    rng = np.random.default_rng(len(split))
    num_examples = {"train": 40, "test": 10}[split]
    images = rng.integers(0, 256, (num_examples, 6, 5, 3), dtype=np.uint8)
    return images, rng.integers(0, 4, num_examples)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tiny")
    TinyColours(data_dir=data_dir).download_and_prepare()
    TinyPhotos(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    BrokenColours(data_dir=data_dir).download_and_prepare()
    return data_dir


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("digits")
    ImagePipeline(name="sklearn_digits", data_dir=data_dir)
    return data_dir


@pytest.fixture
def tiny_split():
    return tiny_examples


@pytest.fixture
def collect():
    """Returns all images and all labels of a dataset of batches."""

    def collect(dataset):
        images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    return collect


@pytest.fixture
def to_pixels():
    """Undoes the normalisation of a pipeline."""

    def to_pixels(images, pipeline):
        images = images * np.array(pipeline.deviation) + pipeline.mean
        return np.rint(images * 255).astype(int)

    return to_pixels


@pytest.fixture
def make_pipeline(tiny_dir):
    """Makes a pipeline on `TinyColours`, 8 examples per batch."""

    def make(**options):
        options = {"name": "tiny_colours", "batch_size": 8} | options
        return ImagePipeline(data_dir=tiny_dir, **options)

    return make


@pytest.fixture(name="tiny_photos")
def tiny_photos_fixture():
    return tiny_photos


@pytest.fixture
def make_photos(tiny_dir):
    """Makes a pipeline on `TinyPhotos`, 12 pixels, 4 examples per batch."""

    def make(**options):
        options = {"size": 12, "batch_size": 4} | options
        return ImagePipeline(name="tiny_photos", data_dir=tiny_dir, **options)

    return make


@pytest.fixture
def from_disk(monkeypatch):
    """Makes all sets too large for memory."""
    monkeypatch.setattr(examples, "_LARGEST_IN_MEMORY", 0)
