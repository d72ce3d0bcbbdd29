"""Training in which every member sees a part of the batch."""

import keras
import tensorflow as tf
from keras import ops


def split_batch(batch, num_members):
    """Splits the tensors of a structure into equal parts of their rows.

    Returns:
        A list of structures, one per member; consecutive rows each.

    Raises:
        ValueError: If the members do not divide the batch. Where its size is
            not known while a step is traced, the step fails with these words.
    """
    leaves = keras.tree.flatten(batch)
    size = next(leaf for leaf in leaves if leaf is not None).shape[0]
    told = (
        "A batch that members split must be divided by their number, "
        f"{num_members}. Choose such a `batch_size`, and leave the rest of an "
        "epoch out (`drop_remainder=True`). Received: a batch of"
    )
    if size is not None and size % num_members:
        raise ValueError(f"{told} {size}.")

    def parts_of(leaf):
        if leaf is None:
            return [None] * num_members
        rows = tf.shape(leaf)[0]
        check = tf.debugging.Assert(rows % num_members == 0, [told, rows])
        with tf.control_dependencies([check] if size is None else []):
            return ops.split(tf.identity(leaf), num_members)

    parts = zip(*map(parts_of, leaves), strict=True)
    return [keras.tree.pack_sequence_as(batch, part) for part in parts]
