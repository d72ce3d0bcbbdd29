"""The examples of a split, kept in memory or read from disk on demand.

Both kinds have a method `read(index)` that returns `(image, label)` inside a
`tf.data` function. In memory, images are pixels and `index` may be a vector.
On disk, an image is the bytes of its file and `index` is a single number.
"""

import os

import numpy as np
import tensorflow as tf

from keras_superweights.datasets.records import Records

# Enough for sets of small images, 0.15 GB for CIFAR and 1.2 GB for Tiny
# ImageNet, and available on most machines.
_LARGEST_IN_MEMORY = 2 * 2**30


def open_examples(builder, split, label):
    """Returns the examples of a split, in the order of its files.

    Keeps them in memory if all images have one size, at most 2 GiB in total.
    `label` is the feature with the class.

    Raises:
        ValueError: If an image does not have the size that the set promises,
            or a label is not a class. For examples on disk, `tf.data` raises
            an error when they are read.
    """
    shape = builder.info.features["image"].shape
    num_examples = builder.info.splits[split].num_examples
    small = None not in shape and (
        num_examples * np.prod(shape) <= _LARGEST_IN_MEMORY
    )
    kind = MemoryExamples if small else RecordExamples
    return kind(builder, split, label)


class MemoryExamples:
    """All examples of a split as two tensors; see `open_examples`."""

    in_memory = True

    def __init__(self, builder, split, label):
        import tensorflow_datasets as tfds

        dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after the other.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
            decoders=tfds.decode.PartialDecoding({"image": True, label: True}),
        )
        try:
            # On the CPU: otherwise a GPU would hold the set, and `tf.data`
            # would copy it back. (`batch_size=-1` of tfds would pad smaller
            # images with zeros.)
            with tf.device("/CPU:0"):
                examples = dataset.batch(len(dataset)).get_single_element()
        except tf.errors.InvalidArgumentError as error:
            shape = builder.info.features["image"].shape
            raise ValueError(
                f"The images of {builder.info.full_name}, split {split!r}, "
                f"must all have the shape {shape}, as the set declares. "
                f"Received: {error.message} Prepare the set again with images "
                "of that size, or declare `tfds.features.Image()`, which "
                "allows any size, and pass `size`."
            ) from error
        self._images, self._labels = examples["image"], examples[label]
        num_classes = builder.info.features[label].num_classes
        labels = self._labels.numpy()
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if wrong.size:
            raise ValueError(
                f"{_wrong_label(builder, split, label)} Received: {wrong[0]}, "
                f"and {wrong.size - 1} other invalid labels."
            )

    def read(self, index):
        return tf.gather(self._images, index), tf.gather(self._labels, index)


class RecordExamples:
    """The examples of a split, read one by one; see `open_examples`."""

    in_memory = False

    def __init__(self, builder, split, label):
        if builder.info.file_format.value != "tfrecord":
            raise ValueError(
                f"{builder.info.full_name} is too large for memory, or its "
                "images vary in size, so its files must be TFRecord files. "
                f"Received: {builder.info.file_format.value}. Prepare it "
                "with `download_and_prepare(file_format='tfrecord')`."
            )
        self._records = Records(builder.info.splits[split])
        features = builder.info.features
        spec = features.tf_example_spec
        self._spec = {"image": spec["image"], label: spec[label]}
        self._label = label
        self._num_classes = features[label].num_classes
        self._told = _wrong_label(builder, split, label)

    def read(self, index):
        # Python only fetches bytes, which takes a few microseconds. Other
        # threads continue while it waits for the disk.
        record = tf.numpy_function(
            self._records.read, [index], tf.string, stateful=False
        )
        example = tf.io.parse_single_example(
            tf.ensure_shape(record, ()), self._spec
        )
        label = example[self._label]
        is_class = (label >= 0) & (label < self._num_classes)
        told = tf.debugging.Assert(is_class, [self._told, "Received:", label])
        with tf.control_dependencies([told]):
            return example["image"], tf.identity(label)


def map_batches(batches, load, one_by_one):
    """Maps `load`, a function of a batch or of a single row, over batches.

    Keeps the number and order of the batches. Rows are spread over the cores of
    the processor while the rows of the previous batch are finished.
    """
    if not one_by_one:
        return batches.map(load, tf.data.AUTOTUNE, deterministic=True)

    def load_batch(*batch):
        rows = tf.data.Dataset.from_tensor_slices(batch)
        rows = rows.map(load, os.cpu_count(), deterministic=True)
        return rows.batch(tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0])

    return batches.interleave(
        load_batch, cycle_length=2, num_parallel_calls=2, deterministic=True
    ).apply(tf.data.experimental.assert_cardinality(len(batches)))


def _wrong_label(builder, split, label):
    """Returns the message for labels that are not classes."""
    last = builder.info.features[label].num_classes - 1
    return (
        f"The feature {label!r} of {builder.info.full_name}, split {split!r}, "
        f"must be a class from 0 to {last}; splits without labels can be used "
        "neither for training nor for evaluation."
    )
