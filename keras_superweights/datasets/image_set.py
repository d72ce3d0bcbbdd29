"""A tfds image set as it lies on disk: its shape, its classes, its pixels."""

import functools

import numpy as np
import tensorflow as tf

from keras_superweights.datasets import crops
from keras_superweights.datasets import epoch_plan
from keras_superweights.datasets import normalization
from keras_superweights.datasets import prepared
from keras_superweights.datasets.examples import map_batches
from keras_superweights.datasets.examples import open_examples

# Examples that a set which is not known is normalised by: enough for two
# digits, and no wait where the set is large.
_NORMALIZED_BY = 4096


class ImageSet:
    """What a pipeline reads, before anything random is done to it.

    Args:
        name, data_dir, label, size: As of `ImagePipeline`.

    Raises:
        ValueError: If the set is not there, or has no such images or labels.
    """

    def __init__(self, name, data_dir, label, size):
        self._builder = prepared.open_builder(name, data_dir)
        self._label = label
        self._size = size
        self._examples = functools.cache(self._open)
        self._check_features()

    @property
    def name(self):
        """The set's name in tfds, without version and config."""
        return self._builder.name

    @property
    def full_name(self):
        """With both."""
        return self._builder.info.full_name

    @property
    def num_classes(self):
        return self._builder.info.features[self._label].num_classes

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        shape = tuple(self._builder.info.features["image"].shape)
        if self._size is None:
            return shape
        return (self._size, self._size, shape[-1])

    def num_examples(self, split):
        """Examples of a split; its name is looked up as tfds does."""
        return self._builder.info.splits[split].num_examples

    def check_split(self, field, split):
        """Refuses a split that is not there, or empty.

        Args:
            field: str, the argument that names it.
            split: str.

        Raises:
            ValueError: Says which there are.
        """
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

    def random_crops(self, split, batches):
        """Reads batches of Inception crops.

        Args:
            split: str.
            batches: `tf.data.Dataset` of `(indices, draws, *more)`: int64
                `(b,)`, the examples of a batch, and `augment.Draws` for them.

        Returns:
            A `tf.data.Dataset` of `(images, labels, draws, *more)`: uint8
            `(b, *image_shape)` and int64 `(b,)`.
        """
        examples = self._examples(split)

        def load(index, draws, *more):
            image, label = examples.read(index)
            image = crops.inception_crop(
                image, *self.image_shape, draws.crop_keys
            )
            return image, label, draws, *more

        return map_batches(batches, load, one_by_one=True)

    def whole(self, split, batches):
        """Reads batches of images as they are, or as `size` wants them.

        Args:
            split: str.
            batches: `tf.data.Dataset` of `(indices, *more)`: int64 `(b,)`.

        Returns:
            A `tf.data.Dataset` of `(images, labels, *more)`, images and
            labels as of `random_crops`.
        """
        examples = self._examples(split)

        def load(index, *more):
            image, label = examples.read(index)
            if self._size is not None:
                channels = self.image_shape[-1]
                image = crops.central_crop(image, self._size, channels)
            elif not examples.in_memory:
                image = crops.decode_exactly(image, self.image_shape)
            return image, label, *more

        one_by_one = not examples.in_memory or self._size is not None
        return map_batches(batches, load, one_by_one)

    def in_order(self, split, indices, batch_size, num_shards=1, shard=0):
        """Reads `whole` examples in batches, in order and nothing dropped.

        Args:
            split: str.
            indices: int64 array, the examples.
            batch_size, num_shards, shard: ints; see `epoch_plan.cut_batches`.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`.

        Raises:
            TypeError, ValueError: As `epoch_plan.cut_batches`.
        """
        cuts = epoch_plan.cut_batches(
            len(indices), batch_size, num_shards, shard
        )
        batches = tf.data.Dataset.from_tensor_slices(cuts).map(
            lambda start, stop: tf.constant(indices)[start:stop]
        )
        return self.whole(split, batches)

    def normalization(self, split, indices, batch_size):
        """Mean and deviation of the pixels, per channel.

        Constants of a set that is known; of any other those of at most 4,096
        of the given examples, from all over them.

        Args:
            split: str.
            indices: int64 array, examples of that split.
            batch_size: int, of reading them.

        Returns:
            `(mean, deviation)`, tuples of floats on the scale 0..1.

        Raises:
            ValueError: If a channel has no deviation.
        """
        if self.name in normalization.CONSTANTS:
            return normalization.CONSTANTS[self.name]
        num_examples = min(len(indices), _NORMALIZED_BY)
        places = np.linspace(0, len(indices) - 1, num_examples).astype(int)
        # Whoever asks first may be in the middle of tracing a function.
        with tf.init_scope():
            found = normalization.measure(
                self.in_order(split, indices[places], batch_size),
                self.image_shape[-1],
            )
        if not all(found[1]):
            raise ValueError(
                "Every channel must vary over the training split to be "
                f"normalised. Received: name={self.full_name!r}, "
                f"train_split={split!r} with standard deviations {found[1]}. "
                "Use more examples or drop the channel."
            )
        return found

    def _open(self, split):
        return open_examples(self._builder, split, self._label)

    def _check_features(self):
        import tensorflow_datasets as tfds

        features = dict(self._builder.info.features)
        image, label = features.get("image"), features.get(self._label)
        if not (
            isinstance(image, tfds.features.Image)
            and isinstance(label, tfds.features.ClassLabel)
            and image.np_dtype == np.uint8
            and len(image.shape) == 3
            and image.shape[-1]
        ):
            raise ValueError(
                "`name` must be a set whose feature `image` holds uint8 images "
                "of so many channels, and `label` a feature that is a class. "
                f"Received: name={self.full_name!r}, label={self._label!r} "
                f"with features {features}."
            )
        if None in self.image_shape:
            raise ValueError(
                "`size` must be given, such as size=224, for a set whose "
                "images are not of one size. Received: size=None, "
                f"name={self.full_name!r} with images of {self.image_shape}."
            )
