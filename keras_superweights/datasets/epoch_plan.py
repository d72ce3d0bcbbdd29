"""Which examples an epoch takes, in which batch, and which worker has them.

Pure functions of numbers: no image is touched here.
"""

import numpy as np
import tensorflow as tf

from keras_superweights.datasets.arguments import check_integer


def hold_out(num_examples, fraction):
    """Parts a split in two, the same way for every seed.

    Args:
        num_examples: int, those of the split.
        fraction: float in [0, 1), the part that is held out.

    Returns:
        `(trained, held_out)`: int64 arrays of indices, each in order. Held out
        are `round(fraction * num_examples)`, from all over the split: the
        order of a set may be that of its classes.
    """
    num_held_out = round(fraction * num_examples)
    # `RandomState` is frozen: every version of NumPy draws the same.
    order = np.random.RandomState(0).permutation(num_examples)
    return np.sort(order[num_held_out:]), np.sort(order[:num_held_out])


def plan_epoch(epoch, seed, trained, batch_size, rows, draw):
    """Returns the batches of one epoch as indices and what is drawn for them.

    Args:
        epoch: int64 scalar.
        seed: int.
        trained: int64 array `(n,)`, the examples. What is left over after the
            last whole batch is dropped.
        batch_size: int.
        rows: int array, those of each batch that are wanted; `shard_rows`.
        draw: Function of two keys, int32 tensors `(2,)`, of augmentation and
            of mixing, that returns nested tensors `(num_examples, ...)`, for
            every example of the split.

    Returns:
        A `tf.data.Dataset` of `n // batch_size` elements `(indices, *drawn)`:
        int64 `(num_rows,)`, and what was drawn for these examples. What an
        example gets depends on its index, not on its place in the epoch.
    """
    order_key, augment_key, mix_key = tf.unstack(
        tf.random.split(tf.random.fold_in([seed, 0], epoch), 3)
    )
    order = tf.random.experimental.stateless_shuffle(trained, order_key)
    num_batches = len(trained) // batch_size
    batches = tf.reshape(
        order[: num_batches * batch_size], [num_batches, batch_size]
    )
    indices = tf.gather(batches, rows, axis=1)
    drawn = tf.nest.map_structure(
        lambda values: tf.gather(values, indices), draw(augment_key, mix_key)
    )
    return tf.data.Dataset.from_tensor_slices((indices, *drawn))


def shard_rows(batch_size, num_shards, shard, with_next):
    """Returns the rows of a training batch that a shard computes.

    Args:
        batch_size, num_shards, shard: ints.
        with_next: Whether it also needs the row after its last, which after
            that of the whole batch is its first.

    Returns:
        An int array: an equal part of the rows, those of shard 0 first.

    Raises:
        TypeError, ValueError: As `cut_batches`.
    """
    _check_shards(batch_size, num_shards, shard)
    num_rows = batch_size // num_shards
    rows = np.arange(shard * num_rows, (shard + 1) * num_rows + with_next)
    return rows % batch_size


def cut_batches(num_examples, batch_size, num_shards, shard):
    """Cuts examples that come in order into batches, nothing dropped.

    Every shard has as many batches, and every batch at least one row: workers
    step together, and the mean of no rows is not defined. So each batch is cut
    as evenly as it goes, and a last one of fewer rows than there are shards
    goes to the one before. No row is seen twice, and none needs a weight: sums
    over the shards are those of one worker.

    Args:
        num_examples, batch_size, num_shards, shard: ints.

    Returns:
        `(starts, stops)`: int arrays, one entry a batch: the shard has the
        examples from `start` up to, but not, `stop`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If `num_shards` does not divide `batch_size`, there is no
            such shard, or there are fewer examples than shards.

    Example:

    >>> cut_batches(9, 4, num_shards=2, shard=1)  # 9 would leave one of two
    (array([2, 6]), array([4, 9]))
    """
    _check_shards(batch_size, num_shards, shard)
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


def _check_shards(batch_size, num_shards, shard):
    check_integer("num_shards", num_shards, 1, batch_size)
    check_integer("shard", shard, 0, num_shards - 1)
    if batch_size % num_shards:
        raise ValueError(
            f"`num_shards` must divide the batch size, {batch_size}. "
            f"Received: num_shards={num_shards}."
        )
