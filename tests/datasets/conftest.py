"""Two prepared tfds directories: the digits, and a set made for the tests."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_superweights.datasets import ImagePipeline


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


class TinySizes(tfds.core.GeneratorBasedBuilder):
    """Images of no fixed size, which a pipeline must refuse."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": np.zeros((3, 4, 3), np.uint8), "label": 0}


def tiny_examples(split):
    """The images and labels of a split of `TinyColours`, as NumPy arrays."""
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
    TinySizes(data_dir=data_dir).download_and_prepare()
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
def make_pipeline(tiny_dir):
    """Makes a pipeline on `TinyColours`, 8 examples a batch."""

    def make(**options):
        options = {"name": "tiny_colours", "batch_size": 8} | options
        return ImagePipeline(data_dir=tiny_dir, **options)

    return make
