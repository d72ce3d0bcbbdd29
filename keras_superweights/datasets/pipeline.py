"""Batches of a tfds image set that are the same after resuming."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.datasets import augment
from keras_superweights.datasets import epoch_plan
from keras_superweights.datasets import mixing
from keras_superweights.datasets.image_set import ImageSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePipeline:
    """Reads a tfds image set as normalised, augmented batches for `fit`.

    The order of the examples and every augmentation depend on `seed`, the
    number of the epoch and the example only. A run that was interrupted after
    any epoch therefore continues with exactly the batches that it would have
    seen, and neither the batch size nor the number of workers or replicas
    changes how an example is augmented in a given epoch.

    Elements are `(images, labels)`: float32 `(b, height, width, channels)`
    with `(pixel / 255 - mean) / deviation`, and int64 `(b,)`, or, with label
    smoothing, mixup or CutMix, float32 `(b, num_classes)` for a categorical
    loss. Training applies, in this order: Inception crop, crop from a black
    border, flip, normalise, Cutout, mixup or CutMix.

    A split whose images have one size, and at most 2 GiB of pixels, is kept in
    memory as uint8 after its first use. For other splits, only the positions of
    the examples in the files are kept; images are read and decoded when they
    are needed, and only the crop of a JPEG file is decoded.

    Args:
        name: name of the set in tfds, `"cifar100"` or `"set/config:1.0.0"`,
            with a feature `image` of uint8 images. `"sklearn_digits"` (see
            `SklearnDigits`) is prepared on first use; any other set must be
            prepared in `data_dir`.
        data_dir: the tfds directory. Defaults to tfds's own: the environment
            variable `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        train_split, test_split: tfds splits, slices such as `"train[:10000]"`
            included.
        validation_fraction: float in [0, 1), the part of `train_split` that
            is held out from training, for choices that must not see the test
            split. It depends on the split and the fraction, not on the seed.
        label: the feature with the class, such as `"coarse_label"` for the 20
            classes of CIFAR-100.
        size: int, height and width of all images, in training and test: the
            shorter side is resized to `size / 0.875` and the middle is cut
            out. None keeps the size of a set whose images have one.
        crop: `"inception"` to train on a random part of each image, 8 to 100 %
            of its area at a ratio of 3/4 to 4/3, or None.
        batch_size: int, for training, validation and test. Training drops the
            examples left over at the end of an epoch, other ones in every
            epoch; validation and test drop none.
        seed: int, at least 0, for order and augmentation.
        pad: int, width in pixels of the border before cropping; 0 for none.
        flip: whether to mirror half of the images from left to right.
        cutout: int, side in pixels of the square set to the mean; 0 for none.
        mixup, cutmix: floats, the alpha of each; 0 for none. If both are on,
            every image gets one of them.
        label_smoothing: float in [0, 1), for the training labels.

    Raises:
        TypeError, ValueError: If an argument does not fit, the set is missing,
            or it does not have a split.

    Example:

    >>> pipeline = ImagePipeline(name="sklearn_digits", pad=1, batch_size=64)
    >>> model.fit(
    ...     pipeline.train(epochs=30, first_epoch=done),
    ...     steps_per_epoch=pipeline.steps_per_epoch,
    ...     epochs=30,
    ...     initial_epoch=done,
    ...     shuffle=False,  # Shuffled here; Keras would warn.
    ...     validation_data=pipeline.test(),
    ... )

    References:
        - Inception crop:
          [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842), section 6.
        - Cutout: [DeVries & Taylor, 2017](https://arxiv.org/abs/1708.04552).
        - mixup: [Zhang et al., 2018](https://arxiv.org/abs/1710.09412).
        - CutMix: [Yun et al., 2019](https://arxiv.org/abs/1905.04899).
        - Label smoothing:
          [Szegedy et al., 2016](https://arxiv.org/abs/1512.00567), section 7.
    """

    name: str
    data_dir: str | os.PathLike | None = None
    train_split: str = "train"
    test_split: str = "test"
    validation_fraction: float = 0.0
    label: str = "label"
    size: int | None = None
    crop: str | None = None
    batch_size: int = 128
    seed: int = 0
    pad: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        check_fields(self)
        if self.crop not in (None, "inception"):
            raise ValueError(
                "`crop` must be 'inception' or None. "
                f"Received: crop={self.crop!r}."
            )
        check_integer("seed", self.seed, 0, 2**63 - 1)
        check_number("label_smoothing", self.label_smoothing, below=1)
        check_number("validation_fraction", self.validation_fraction, below=1)
        check_number("mixup", self.mixup)
        check_number("cutmix", self.cutmix)
        if self.size is not None:
            check_integer("size", self.size, 1)
        for field in ("train_split", "test_split"):
            self._set.check_split(field, getattr(self, field))
        if self.validation_fraction and not (
            self.num_train and self.num_validation
        ):
            raise ValueError(
                "`validation_fraction` must leave at least one example for "
                "training and one for validation. Received: "
                f"validation_fraction={self.validation_fraction} of the "
                f"{self.num_train + self.num_validation} examples in "
                f"train_split={self.train_split!r}."
            )
        check_integer("batch_size", self.batch_size, 1, self.num_train)
        if self._mixes and self.batch_size == 1:
            raise ValueError(
                "`batch_size` must be at least 2 for `mixup` and `cutmix`, "
                "which mix the images of a batch. Received: batch_size=1."
            )
        side = min(self.image_shape[:2])
        check_integer("pad", self.pad, 0, side)
        check_integer("cutout", self.cutout, 0, side)

    # Nothing here branches on a tensor, and conversion would take a second.
    @tf.autograph.experimental.do_not_convert
    def train(self, epochs, first_epoch=0, num_shards=1, shard=0):
        """Returns the training batches of several epochs, one after the other.

        A batch does not depend on the number of workers that share it: each
        shard has the same number of its `batch_size` rows, in order. A worker
        computes only its own rows (and one more, if examples are mixed).

        Args:
            epochs: int, the epoch before which to stop, as in `fit`.
            first_epoch: int, the epoch to begin with, `initial_epoch` of
                `fit`. `train(10, first_epoch=7)` is the last three epochs of
                `train(10)`.
            num_shards: int, the number of workers that share each batch; must
                divide `batch_size`.
            shard: int from 0 to `num_shards - 1`, the worker.

        Returns:
            A `tf.data.Dataset` of `(epochs - first_epoch) * steps_per_epoch`
            batches, to be used with `steps_per_epoch`.
        """
        check_integer("epochs", epochs, 0)
        check_integer("first_epoch", first_epoch, 0, epochs)
        rows = epoch_plan.shard_rows(
            self.batch_size, num_shards, shard, with_next=self._mixes
        )
        trained, _ = self._parts
        mean, deviation = self._normalization

        def make_batch(images, labels, draws, mix):
            images = tf.ensure_shape(images, (len(rows), *self.image_shape))
            if self.pad:
                images = augment.pad_and_crop(images, draws.corners, self.pad)
            if self.flip:
                images = augment.flip(images, draws.flips)
            images = augment.normalize(images, mean, deviation)
            if self.cutout:
                images = augment.cutout(images, draws.centres, self.cutout)
            labels = self._encode_labels(labels, self.label_smoothing)
            if self._mixes:
                images, labels = mixing.mix(images, labels, mix)
            return images, labels

        num_batches = (epochs - first_epoch) * self.steps_per_epoch
        batches = (
            tf.data.Dataset.range(first_epoch, epochs)
            .flat_map(
                lambda epoch: epoch_plan.plan_epoch(
                    epoch, self.seed, trained, self.batch_size, rows, self._draw
                )
            )
            .apply(tf.data.experimental.assert_cardinality(num_batches))
        )
        read = self._set.random_crops if self.crop else self._set.whole
        return _finish(read(self.train_split, batches), make_batch)

    @tf.autograph.experimental.do_not_convert
    def test(self, num_shards=1, shard=0):
        """Returns all batches of the test split, in order.

        All shards have equally many batches, each with at least one row; see
        `epoch_plan.cut_batches`. Together, they have every example once. The
        arguments are those of `train`.

        Raises:
            ValueError: if there are fewer examples than shards.
        """
        return _finish(self.test_pixels(num_shards, shard), self.to_inputs)

    def test_pixels(self, num_shards=1, shard=0):
        """Returns `test()` before normalisation: uint8 images, int64 labels."""
        indices = np.arange(self.num_test)
        return self._set.in_order(
            self.test_split, indices, self.batch_size, num_shards, shard
        )

    def to_inputs(self, images, labels):
        """Turns elements of `test_pixels()` into elements of `test()`.

        Args:
            images: uint8 tensor `(b, height, width, channels)`.
            labels: int tensor `(b,)`.
        """
        images = augment.normalize(images, self.mean, self.deviation)
        return images, self._encode_labels(labels, smoothing=0.0)

    @tf.autograph.experimental.do_not_convert
    def validation(self, num_shards=1, shard=0):
        """Returns the batches of the held-out part, like `test`.

        Raises:
            ValueError: if fewer examples are held out than shards, or none.
        """
        if not self.num_validation:
            raise ValueError(
                "`validation_fraction` must be above 0 to hold out a part. "
                f"Received: validation_fraction={self.validation_fraction}."
            )
        _, held_out = self._parts
        pixels = self._set.in_order(
            self.train_split, held_out, self.batch_size, num_shards, shard
        )
        return _finish(pixels, self.to_inputs)

    def measured(self, num_shards=1, shard=0):
        """Returns the batches to evaluate a training run on, and their name.

        These are `validation()` and `"validation"` if a part is held out, which
        leaves the test split for the very end; otherwise `test()` and the name
        of the test split.
        """
        if self.num_validation:
            return self.validation(num_shards, shard), "validation"
        return self.test(num_shards, shard), self.test_split

    @property
    def set_name(self):
        """The set's name in tfds, without version and config."""
        return self._set.name

    @property
    def steps_per_epoch(self):
        """Number of batches in an epoch of training."""
        return self.num_train // self.batch_size

    @property
    def num_train(self):
        """Number of training examples, without the held-out ones."""
        return len(self._parts[0])

    @property
    def num_validation(self):
        """Number of examples held out from the training split."""
        return len(self._parts[1])

    @property
    def num_test(self):
        """Number of examples in the test split."""
        return self._set.num_examples(self.test_split)

    @property
    def num_classes(self):
        """Number of classes of the labels."""
        return self._set.num_classes

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        return self._set.image_shape

    @property
    def mean(self):
        """Mean of the pixels per channel, on the scale 0..1.

        A constant for CIFAR, the digits, Fashion-MNIST and ImageNet; for other
        sets, measured on at most 4,096 evenly spaced training examples.
        """
        return self._normalization[0]

    @property
    def deviation(self):
        """Standard deviation of the pixels per channel; see `mean`."""
        return self._normalization[1]

    @property
    def _mixes(self):
        return bool(self.mixup or self.cutmix)

    @functools.cached_property
    def _set(self):
        return ImageSet(self.name, self.data_dir, self.label, self.size)

    @functools.cached_property
    def _parts(self):
        """`(trained, held_out)`: indices into the training split."""
        num_examples = self._set.num_examples(self.train_split)
        return epoch_plan.hold_out(num_examples, self.validation_fraction)

    @functools.cached_property
    def _normalization(self):
        trained, _ = self._parts
        return self._set.normalization(
            self.train_split, trained, self.batch_size
        )

    def _draw(self, augment_key, mix_key):
        """Draws for every example of the training split, held out or not."""
        num_examples = self.num_train + self.num_validation
        draws = augment.draw(
            num_examples, self.image_shape, self.pad, augment_key
        )
        if not self._mixes:
            return draws, ()
        return draws, mixing.draw(
            num_examples, self.mixup, self.cutmix, mix_key
        )

    def _encode_labels(self, labels, smoothing):
        if not (self._mixes or self.label_smoothing):
            return labels
        return augment.smooth_labels(labels, self.num_classes, smoothing)


def _finish(batches, function):
    mapped = batches.map(function, tf.data.AUTOTUNE, deterministic=True)
    return mapped.prefetch(tf.data.AUTOTUNE)
