"""Batches of a tfds image set, the same ones whenever training resumes."""

import dataclasses
import functools
import numbers
import os

import numpy as np
import tensorflow as tf

from keras_superweights.datasets import augment
from keras_superweights.datasets import prepared

# Per-channel mean and deviation of the pixels of the whole "train" split, on
# the scale 0..1. CIFAR: the values in common use. Digits: computed from the
# split of `SklearnDigits`; a test computes them again.
_NORMALIZATION = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "sklearn_digits": ((0.3049,), (0.3754,)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePipeline:
    """A tfds image set as normalised, augmented batches for `fit`.

    The order of the examples and every augmentation are functions of `seed`,
    the number of the epoch and the example. A run that was interrupted after
    any epoch therefore continues with the very batches that it would have
    seen, and neither the batch size nor the number of replicas changes how an
    example is augmented in a given epoch.

    Elements are `(images, labels)`: float32 `(b, height, width, channels)`
    with `(pixel / 255 - mean) / deviation`, and int64 `(b,)`, or, with label
    smoothing, float32 `(b, num_classes)` for a categorical loss. Training
    applies, in this order: crop from a black border, flip, normalise, Cutout.

    Both splits are kept in memory as uint8 from their first use on.

    Args:
        name: the set as tfds names it, `"cifar100"` or `"set/config:1.0.0"`,
            with the features `image` (uint8, one size) and `label`.
            `"sklearn_digits"` (see `SklearnDigits`) is prepared on first use;
            every other one must be prepared in `data_dir`.
        data_dir: the tfds directory. Defaults to tfds's own: the environment
            variable `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        train_split, test_split: tfds splits, slices such as `"train[:10000]"`
            included.
        validation_fraction: float in [0, 1), the part of `train_split` that
            is not trained on but held out, for choices that must not see the
            test split. Which examples these are depends on the split and the
            fraction only, not on the seed.
        batch_size: int, of training, validation and test. Training drops the
            examples left over at the end of an epoch, other ones in every
            epoch; nothing is dropped elsewhere.
        seed: int from 0 on, of order and augmentation.
        pad: int, pixels of the border cropped from; 0 for no cropping.
        flip: whether to mirror half of the images left to right.
        cutout: int, side in pixels of the square set to the mean; 0 for none.
        label_smoothing: float in [0, 1), of the training labels. Above 0 all
            labels are vectors.

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
        - Cutout: [DeVries & Taylor, 2017](https://arxiv.org/abs/1708.04552).
        - Label smoothing:
          [Szegedy et al., 2016](https://arxiv.org/abs/1512.00567), section 7.
    """

    name: str
    data_dir: str | os.PathLike | None = None
    train_split: str = "train"
    test_split: str = "test"
    validation_fraction: float = 0.0
    batch_size: int = 128
    seed: int = 0
    pad: int = 0
    flip: bool = False
    cutout: int = 0
    label_smoothing: float = 0.0

    def __post_init__(self):
        for field in ("name", "train_split", "test_split"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(
                    f"`{field}` must be a string. "
                    f"Received: {field}={getattr(self, field)!r}."
                )
        if not isinstance(self.flip, bool):
            raise TypeError(
                f"`flip` must be True or False. Received: flip={self.flip!r}."
            )
        _check_integer("seed", self.seed, 0, 2**63 - 1)
        for field in ("label_smoothing", "validation_fraction"):
            _check_fraction(field, getattr(self, field))
        self._check_features()
        for field in ("train_split", "test_split"):
            self._check_split(field)
        self._check_validation()
        _check_integer("batch_size", self.batch_size, 1, self.num_train)
        side = min(self.image_shape[:2])
        _check_integer("pad", self.pad, 0, side)
        _check_integer("cutout", self.cutout, 0, side)

    def train(self, epochs, first_epoch=0, num_shards=1, shard=0):
        """Returns the training batches of several epochs, one after the other.

        A batch is the same however many workers share it: of its rows,
        `batch_size` in all, each shard has the same number, those of shard 0
        first. A worker computes its own rows only.

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
        _check_integer("epochs", epochs, 0)
        _check_integer("first_epoch", first_epoch, 0, epochs)
        self._check_shards(num_shards, shard)
        rows = self.batch_size // num_shards
        images, labels = self._train_split_examples
        mean, deviation = self._normalization

        def make_batch(indices, draws):
            batch = tf.gather(images, indices)
            if self.pad:
                batch = augment.pad_and_crop(batch, draws.corners, self.pad)
            if self.flip:
                batch = augment.flip(batch, draws.flips)
            batch = augment.normalize(batch, mean, deviation)
            if self.cutout:
                batch = augment.cutout(batch, draws.centres, self.cutout)
            targets = tf.gather(labels, indices)
            return batch, self._encode_labels(targets, self.label_smoothing)

        num_batches = (epochs - first_epoch) * self.steps_per_epoch
        return (
            tf.data.Dataset.range(first_epoch, epochs)
            .flat_map(
                lambda epoch: self._plan_epoch(
                    epoch, slice(shard * rows, (shard + 1) * rows)
                )
            )
            .apply(tf.data.experimental.assert_cardinality(num_batches))
            .map(make_batch, tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
        )

    def test(self, num_shards=1, shard=0):
        """Returns the batches of the test split, in order, nothing dropped.

        Every shard has as many batches, and every batch at least one row:
        workers step together, and the mean of no rows is not defined. So each
        batch is cut as evenly as it goes, and a last one of fewer rows than
        there are shards goes to the one before. No row is seen twice, and
        none needs a weight: sums over the shards are those of one worker.

        Args:
            num_shards, shard: as in `train`.

        Raises:
            ValueError: if there are fewer examples than shards.
        """
        return self._plain_batches(self._test_examples, num_shards, shard)

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
        images, labels = self._train_split_examples
        _, held_out = self._parts
        return self._plain_batches(
            (tf.gather(images, held_out), tf.gather(labels, held_out)),
            num_shards,
            shard,
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

    def _plain_batches(self, examples, num_shards, shard):
        """Batches of `(images, labels)`, in order, nothing dropped."""
        self._check_shards(num_shards, shard)
        images, labels = examples
        mean, deviation = self._normalization
        rows = _cut_batches(len(labels), self.batch_size, num_shards, shard)

        def make_batch(start, stop):
            batch = augment.normalize(images[start:stop], mean, deviation)
            return batch, self._encode_labels(labels[start:stop], 0.0)

        return (
            tf.data.Dataset.from_tensor_slices(rows)
            .map(make_batch, tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
        )

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
        return self._builder.info.splits[self.test_split].num_examples

    @property
    def num_classes(self):
        """Classes of the labels."""
        return self._builder.info.features["label"].num_classes

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        return tuple(self._builder.info.features["image"].shape)

    @property
    def mean(self):
        """Mean of the pixels per channel, on the scale 0..1.

        Of the whole training split for the sets this module knows (CIFAR and
        digits); of what is trained on for any other.
        """
        return self._normalization[0]

    @property
    def deviation(self):
        """Standard deviation of the pixels per channel; see `mean`."""
        return self._normalization[1]

    @functools.cached_property
    def _builder(self):
        return prepared.open_builder(self.name, self.data_dir)

    @functools.cached_property
    def _parts(self):
        """`(trained, held_out)`: indices into the training split, in order."""
        total = self._builder.info.splits[self.train_split].num_examples
        num_validation = round(self.validation_fraction * total)
        # `RandomState` is frozen: every version of NumPy draws the same.
        order = np.random.RandomState(0).permutation(total)
        return (
            np.sort(order[num_validation:]),
            np.sort(order[:num_validation]),
        )

    @functools.cached_property
    def _train_split_examples(self):
        return self._load(self.train_split)

    @functools.cached_property
    def _test_examples(self):
        return self._load(self.test_split)

    @functools.cached_property
    def _normalization(self):
        known = _NORMALIZATION.get(self._builder.name)
        if known is not None:
            return known
        pixels = self._train_split_examples[0].numpy()[self._parts[0]]
        values = np.arange(256) / 255
        mean, deviation = [], []
        for channel in range(pixels.shape[-1]):
            counts = np.bincount(pixels[..., channel].ravel(), minlength=256)
            mean.append(float(np.average(values, weights=counts)))
            variance = np.average((values - mean[-1]) ** 2, weights=counts)
            deviation.append(float(np.sqrt(variance)))
        if min(deviation) == 0:
            raise ValueError(
                "Every channel must vary over the training split to be "
                f"normalised. Received: name={self.name!r}, "
                f"train_split={self.train_split!r} with standard deviations "
                f"{deviation}. Use more examples or drop the channel."
            )
        return tuple(mean), tuple(deviation)

    def _load(self, split):
        """Reads a split into `(images uint8, labels int64)`, in tfds order."""
        import tensorflow_datasets as tfds

        # Tensors made for the CPU: else a machine with a GPU would keep the
        # set there and copy it back for `tf.data`.
        with tf.device("/CPU:0"):
            examples = self._builder.as_dataset(
                split=split,
                batch_size=-1,
                shuffle_files=False,
                decoders=tfds.decode.PartialDecoding(
                    {"image": True, "label": True}
                ),
            )
            return examples["image"], examples["label"]

    def _plan_epoch(self, epoch, rows):
        """Returns those rows of an epoch's batches, as indices and draws."""
        key = tf.random.fold_in([self.seed, 0], epoch)
        order_key, augment_key = tf.unstack(tf.random.split(key, 2))
        trained, held_out = self._parts
        order = tf.random.experimental.stateless_shuffle(trained, order_key)
        # Drawn in the order of the split, then put in that of the epoch: what
        # an example gets does not depend on its place.
        draws = augment.draw(
            len(trained) + len(held_out),
            self.image_shape,
            self.pad,
            augment_key,
        )
        order = order[: self.steps_per_epoch * self.batch_size]

        def to_batches(values):  # (n, ...) -> (steps, rows, ...)
            shape = (self.steps_per_epoch, self.batch_size, *values.shape[1:])
            return tf.reshape(values, shape)[:, rows]

        indices = to_batches(order)
        draws = augment.Draws(*(to_batches(tf.gather(d, order)) for d in draws))
        return tf.data.Dataset.from_tensor_slices((indices, draws))

    def _encode_labels(self, labels, smoothing):
        if not self.label_smoothing:
            return labels
        return augment.smooth_labels(labels, self.num_classes, smoothing)

    def _check_features(self):
        import tensorflow_datasets as tfds

        features = self._builder.info.features
        if not (
            {"image", "label"} <= set(features)
            and isinstance(features["image"], tfds.features.Image)
            and isinstance(features["label"], tfds.features.ClassLabel)
            and features["image"].np_dtype == np.uint8
            and None not in features["image"].shape
        ):
            raise ValueError(
                "`name` must be a set whose feature `image` holds uint8 images "
                "of one size and whose feature `label` is a class. "
                f"Received: name={self.name!r} with features {features}."
            )

    def _check_split(self, field):
        split = getattr(self, field)
        splits = self._builder.info.splits
        try:
            num_examples = splits[split].num_examples
        except (KeyError, ValueError) as error:
            sizes = {key: splits[key].num_examples for key in sorted(splits)}
            raise ValueError(
                f"`{field}` must be one of the splits {sizes} (name: number of "
                "examples) or a slice inside one, such as 'train[:100]'. "
                f"Received: {field}={split!r}."
            ) from error
        if num_examples == 0:
            raise ValueError(
                f"`{field}` must have at least one example. "
                f"Received: {field}={split!r}, which has none."
            )

    def _check_shards(self, num_shards, shard):
        _check_integer("num_shards", num_shards, 1, self.batch_size)
        _check_integer("shard", shard, 0, num_shards - 1)
        if self.batch_size % num_shards:
            raise ValueError(
                "`num_shards` must divide the batch size, "
                f"{self.batch_size}. Received: num_shards={num_shards}."
            )

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


def _cut_batches(num_examples, batch_size, num_shards, shard):
    """`(starts, stops)` of a shard's rows of batches that come in order."""
    if num_examples < num_shards:
        raise ValueError(
            "`num_shards` must be at most the number of examples, "
            f"{num_examples}. Received: num_shards={num_shards}."
        )
    stops = np.arange(batch_size, num_examples + batch_size, batch_size)
    stops = np.minimum(stops, num_examples)
    if num_examples - (len(stops) - 1) * batch_size < num_shards:
        stops = np.append(stops[:-2], num_examples)
    starts = np.append(0, stops[:-1])
    sizes = stops - starts
    return (
        starts + sizes * shard // num_shards,
        starts + sizes * (shard + 1) // num_shards,
    )


def _check_fraction(name, value):
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(
            f"`{name}` must be a number. Received: {name}={value!r}."
        )
    if not 0 <= value < 1:
        raise ValueError(
            f"`{name}` must be at least 0 and below 1. "
            f"Received: {name}={value}."
        )


def _check_integer(name, value, minimum, maximum=None):
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={value!r}."
        )
    if value < minimum or (maximum is not None and value > maximum):
        limit = "" if maximum is None else f" and at most {maximum}"
        raise ValueError(
            f"`{name}` must be at least {minimum}{limit}. "
            f"Received: {name}={value}."
        )
