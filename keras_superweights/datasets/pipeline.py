"""Batches of a tfds image set, the same ones whenever training resumes."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from keras_superweights.datasets import augment
from keras_superweights.datasets import epoch_plan
from keras_superweights.datasets import mixing
from keras_superweights.datasets.arguments import check_integer
from keras_superweights.datasets.arguments import check_number
from keras_superweights.datasets.image_set import ImageSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePipeline:
    """A tfds image set as normalised, augmented batches for `fit`.

    The order of the examples and every augmentation are functions of `seed`,
    the number of the epoch and the example. A run that was interrupted after
    any epoch therefore continues with the very batches that it would have
    seen, and neither the batch size nor the number of workers or replicas
    changes how an example is augmented in a given epoch.

    Elements are `(images, labels)`: float32 `(b, height, width, channels)`
    with `(pixel / 255 - mean) / deviation`, and int64 `(b,)`, or, with label
    smoothing, mixup or CutMix, float32 `(b, num_classes)` for a categorical
    loss. Training applies, in this order: Inception crop, crop from a black
    border, flip, normalise, Cutout, mixup or CutMix.

    A split whose images have one size, and at most 2 GiB of pixels, is kept in
    memory as uint8 from its first use on. Of others only the places of the
    examples in the files are, which their first use looks up; images are read
    and decoded when they are needed, of JPEG files no more than the crop.

    Args:
        name: the set as tfds names it, `"cifar100"` or `"set/config:1.0.0"`,
            with a feature `image` of uint8 images. `"sklearn_digits"` (see
            `SklearnDigits`) is prepared on first use; every other one must be
            prepared in `data_dir`.
        data_dir: the tfds directory. Defaults to tfds's own: the environment
            variable `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        train_split, test_split: tfds splits, slices such as `"train[:10000]"`
            included.
        validation_fraction: float in [0, 1), the part of `train_split` that
            is not trained on but held out, for choices that must not see the
            test split. Which examples these are depends on the split and the
            fraction only, not on the seed.
        label: the feature that is the class, such as `"coarse_label"` for the
            20 classes of CIFAR-100.
        size: int, height and width that images are brought to, for training
            and test alike: the shorter side is resized to `size / 0.875` and
            the middle is cut out. None for a set whose images have one size,
            which they keep.
        crop: `"inception"` for training images of a random part of each,
            8 to 100 % of the area at a ratio of 3/4 to 4/3, or None.
        batch_size: int, of training, validation and test. Training drops the
            examples left over at the end of an epoch, other ones in every
            epoch; nothing is dropped elsewhere.
        seed: int from 0 on, of order and augmentation.
        pad: int, pixels of the border cropped from; 0 for no cropping.
        flip: whether to mirror half of the images left to right.
        cutout: int, side in pixels of the square set to the mean; 0 for none.
        mixup, cutmix: floats, the alpha of each; 0 for none. With both on,
            every image gets one of them.
        label_smoothing: float in [0, 1), of the training labels.

    Raises:
        TypeError, ValueError: when made, for an argument that does not fit,
            a set that is not there or a split that it does not have.

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
        for field in ("name", "train_split", "test_split", "label"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(
                    f"`{field}` must be a string. "
                    f"Received: {field}={getattr(self, field)!r}."
                )
        if not isinstance(self.flip, bool):
            raise TypeError(
                f"`flip` must be True or False. Received: flip={self.flip!r}."
            )
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
        self._check_validation()
        check_integer("batch_size", self.batch_size, 1, self.num_train)
        if self._mixes and self.batch_size == 1:
            raise ValueError(
                "`batch_size` must be at least 2 for `mixup` and `cutmix`, "
                "which mix the images of a batch. Received: batch_size=1."
            )
        side = min(self.image_shape[:2])
        check_integer("pad", self.pad, 0, side)
        check_integer("cutout", self.cutout, 0, side)

    def train(self, epochs, first_epoch=0, num_shards=1, shard=0):
        """Returns the training batches of several epochs, one after the other.

        A batch is the same however many workers share it: of its rows,
        `batch_size` in all, each shard has the same number, those of shard 0
        first. A worker computes its own rows only (and, to mix it with its
        last, one more).

        Args:
            epochs: int, the epoch to stop before, as in `fit`.
            first_epoch: int, the epoch to begin with, `initial_epoch` of
                `fit`. `train(10, first_epoch=7)` is the last three epochs of
                `train(10)`.
            num_shards: int, the workers that share each batch; divides
                `batch_size`.
            shard: int from 0 to `num_shards - 1`, whose rows are returned.

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
        images = read(self.train_split, batches)
        return images.map(
            make_batch, tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)

    def test(self, num_shards=1, shard=0):
        """Returns the batches of the test split, in order, nothing dropped.

        Every shard has as many batches, and every batch at least one row; see
        `epoch_plan.cut_batches`. Together the shards see every example once.

        Args:
            num_shards, shard: as in `train`.

        Raises:
            ValueError: if there are fewer examples than shards.
        """
        return self._finish(self.test_pixels(num_shards, shard))

    def test_pixels(self, num_shards=1, shard=0):
        """Returns `test()` before normalisation: uint8 images, int64 labels.

        `to_inputs` makes the rest of it.
        """
        indices = np.arange(self.num_test)
        return self._pixels(self.test_split, indices, num_shards, shard)

    def to_inputs(self, images, labels):
        """Normalises images, and makes labels what the loss takes.

        Args:
            images: uint8 tensor `(b, height, width, channels)`.
            labels: int tensor `(b,)`.

        Returns:
            `(images, labels)` as in the elements of `test()`.
        """
        images = augment.normalize(images, self.mean, self.deviation)
        return images, self._encode_labels(labels, smoothing=0.0)

    def validation(self, num_shards=1, shard=0):
        """Returns the batches that are held out, as `test` does its own.

        Args:
            num_shards, shard: as in `test`.

        Raises:
            ValueError: if nothing is held out, or less than there are shards.
        """
        if not self.num_validation:
            raise ValueError(
                "`validation_fraction` must be above 0 for a part to validate "
                f"on. Received: validation_fraction={self.validation_fraction}."
            )
        _, held_out = self._parts
        return self._finish(
            self._pixels(self.train_split, held_out, num_shards, shard)
        )

    def measured(self, num_shards=1, shard=0):
        """Returns what a training run is measured on, and its name.

        Args:
            num_shards, shard: as in `test`.

        Returns:
            `(batches, name)`: `validation()` and `"validation"` where a part
            is held out, so that the test split is left for the very end; else
            `test()` and the name of the test split.
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
        """Batches in an epoch of training."""
        return self.num_train // self.batch_size

    @property
    def num_train(self):
        """Examples that are trained on, those held out not counted."""
        return len(self._parts[0])

    @property
    def num_validation(self):
        """Examples that are held out of the training split."""
        return len(self._parts[1])

    @property
    def num_test(self):
        """Examples in the test split."""
        return self._set.num_examples(self.test_split)

    @property
    def num_classes(self):
        """Classes of the labels."""
        return self._set.num_classes

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        return self._set.image_shape

    @property
    def mean(self):
        """Mean of the pixels per channel, on the scale 0..1.

        A constant of the sets that this module knows (CIFAR, digits,
        Fashion-MNIST, ImageNet); for any other of what is trained on, of 4,096
        examples from all over it where there are more.
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

    def _pixels(self, split, indices, num_shards=1, shard=0):
        """Batches of uint8 images and int64 labels, in order."""
        return self._set.in_order(
            split, indices, self.batch_size, num_shards, shard
        )

    def _finish(self, pixels):
        return pixels.map(
            self.to_inputs, tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)

    def _encode_labels(self, labels, smoothing):
        if not (self._mixes or self.label_smoothing):
            return labels
        return augment.smooth_labels(labels, self.num_classes, smoothing)

    def _check_validation(self):
        if self.validation_fraction and not (
            self.num_train and self.num_validation
        ):
            raise ValueError(
                "`validation_fraction` must leave at least one example to "
                "train on and one to validate on. Received: "
                f"validation_fraction={self.validation_fraction} of the "
                f"{self.num_train + self.num_validation} examples in "
                f"train_split={self.train_split!r}."
            )
