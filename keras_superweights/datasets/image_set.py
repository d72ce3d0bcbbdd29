"""The shape, classes and pixels of a tfds image set on disk."""

import functools

import numpy as np
import tensorflow as tf

from keras_superweights.datasets import crops
from keras_superweights.datasets import epoch_plan
from keras_superweights.datasets import normalization
from keras_superweights.datasets import prepared
from keras_superweights.datasets.examples import map_batches
from keras_superweights.datasets.examples import open_examples

# How many examples the normalisation of an unknown set is measured on: enough
# for two digits, and fast on large sets.
_NORMALIZED_BY = 4096


class ImageSet:
    """The images and labels that a pipeline reads, without augmentation.

    The arguments are those of `ImagePipeline`. Raises `ValueError` if the set
    is missing, or its images or labels do not fit.
    """

    def __init__(self, name, data_dir, label, size):
        self._builder = prepared.open_builder(name, data_dir)
        self._label = label
        self._size = size
        self._examples = functools.cache(
            lambda split: open_examples(self._builder, split, label)
        )
        self._check_features()

    @property
    def name(self):
        """The set's name in tfds, without version and config."""
        return self._builder.name

    @property
    def full_name(self):
        """The set's name in tfds, with version and config."""
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
        """Returns the number of examples in a split or slice of tfds."""
        return self._builder.info.splits[split].num_examples

    def check_split(self, field, split):
        """Refuses a split that does not exist or is empty.

        `field` is the name of the argument for the error message.
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

        Maps elements `(indices, draws, *more)`, with examples int64 `(b,)` and
        their `augment.Draws`, to `(images, labels, draws, *more)`: uint8
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
        """Reads batches of whole images, brought to `size` if there is one.

        Maps elements `(indices, *more)` to `(images, labels, *more)`; see
        `random_crops`.
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
        """Reads batches of `(images, labels)` in order, without dropping any.

        The images are `whole`; `epoch_plan.cut_batches` divides the `indices`,
        an int64 array, into batches and shards.
        """
        cuts = epoch_plan.cut_batches(
            len(indices), batch_size, num_shards, shard
        )
        batches = tf.data.Dataset.from_tensor_slices(cuts).map(
            lambda start, stop: tf.constant(indices)[start:stop]
        )
        return self.whole(split, batches)

    def normalization(self, split, indices, batch_size):
        """Returns mean and deviation of the pixels, per channel, on scale 0..1.

        Known sets have constants; for any other set, they are measured on at
        most 4,096 of the examples `indices`, evenly spaced, `batch_size` at a
        time. Raises `ValueError` if a channel is constant.
        """
        if self.name in normalization.CONSTANTS:
            return normalization.CONSTANTS[self.name]
        num_examples = min(len(indices), _NORMALIZED_BY)
        places = np.linspace(0, len(indices) - 1, num_examples).astype(int)
        # The first caller may be tracing a function.
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
                "`name` must be a set whose feature `image` has uint8 images "
                "of known channels, and `label` a feature that is a class. "
                f"Received: name={self.full_name!r}, label={self._label!r} "
                f"with features {features}."
            )
        if None in self.image_shape:
            raise ValueError(
                "`size` must be given, for example size=224, for a set whose "
                "images vary in size. Received: size=None, "
                f"name={self.full_name!r} with images of {self.image_shape}."
            )
