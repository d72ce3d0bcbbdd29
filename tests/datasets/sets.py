"""Small image sets for the tests, and what their batches hold."""

import io

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

AUGMENTED = {"pad": 1, "flip": True, "cutout": 2}


class SmallSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of images and their classes that stay in their order."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE = (6, 5, 3)
    CLASSES = {"label": 4}
    SPLITS = ("train", "test")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=self.SHAPE),
            **{
                name: tfds.features.ClassLabel(num_classes=count)
                for name, count in self.CLASSES.items()
            },
        }
        if self.name == "tiny_colours":
            features["id"] = tfds.features.Scalar(np.int64)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}


class TinyColours(SmallSet):
    """40 + 10 random 6x5 colour images, all different, of 4 classes."""

    VERSION = tfds.core.Version("1.2.0")
    SPLITS = ("train", "test", "blank")

    def _generate_examples(self, split):
        for index, (image, label) in enumerate(
            zip(*tiny_examples(split), strict=True)
        ):
            yield index, {"id": index, "image": image, "label": int(label)}


class TinyPhotos(SmallSet):
    """20 + 5 photos of many sizes, JPEG and PNG, three files per split."""

    SHAPE = (None, None, 3)
    CLASSES = {"label": 5, "coarse_label": 2}
    SPLITS = ("train", "test", "unlabelled")

    def _generate_examples(self, split):
        for index, photo in enumerate(tiny_photos(split)):
            image = encode(photo, jpeg=index % 3 > 0)
            label = -1 if split == "unlabelled" and index else index % 5
            labels = {"label": label, "coarse_label": label % 2}
            yield index, {"image": image, **labels}


class BrokenColours(SmallSet):
    """A set whose files break its promise of 6x5 images of 4 classes."""

    SPLITS = ("train", "other", "unlabelled")

    def _generate_examples(self, split):
        widths = {"train": (5, 4), "other": (4, 4), "unlabelled": (5, 5)}
        label = -1 if split == "unlabelled" else 0
        for index, width in enumerate(widths[split]):
            image = np.arange(6 * width * 3, dtype=np.uint8)
            image = encode(image.reshape(6, width, 3), jpeg=False)
            yield index, {"image": image, "label": label}


class TinyColoursCorrupted(SmallSet):
    """Four black images, the test split of each corruption."""

    SPLITS = ("test",)
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name) for name in ("contrast_2", "fog_3")
    ]

    def _generate_examples(self, split):
        for index in range(4):
            image = np.zeros((6, 5, 3), np.uint8)
            yield index, {"image": image, "label": index}


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


def collect(dataset):
    """Returns all images and all labels of a dataset of batches."""
    return joined(dataset.as_numpy_iterator())


def joined(batches):
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def to_pixels(images, pipeline):
    """Undoes the normalisation of a pipeline."""
    images = images * np.array(pipeline.deviation) + pipeline.mean
    return np.rint(images * 255).astype(int)
