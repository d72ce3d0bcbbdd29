"""Which examples an epoch takes, in which batch, and which worker has them.

Pure functions of numbers: no image is touched here.
"""

import numpy as np
import tensorflow as tf


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


def epoch_keys(seed, epoch):
    """Returns keys, tensors `(2,)`: of the order, augmentation and mixing."""
    key = tf.random.fold_in([seed, 0], epoch)
    return tf.unstack(tf.random.split(key, 3))


def shuffled_batches(examples, batch_size, key):
    """Puts examples in an order drawn from a key, and cuts it into batches.

    Args:
        examples: int64 array `(n,)`.
        batch_size: int. What is left over at the end is dropped.
        key: Of `epoch_keys`.

    Returns:
        An int64 tensor `(n // batch_size, batch_size)`.
    """
    order = tf.random.experimental.stateless_shuffle(examples, key)
    num_batches = len(examples) // batch_size
    order = order[: num_batches * batch_size]
    return tf.reshape(order, [num_batches, batch_size])


def shard_rows(batch_size, num_shards, shard, with_next):
    """Returns the rows of a training batch that a shard computes.

    Args:
        batch_size: int, divisible by `num_shards`.
        num_shards, shard: ints.
        with_next: Whether it also needs the row after its last, which after
            that of the whole batch is its first.

    Returns:
        An int array: an equal part of the rows, those of shard 0 first.
    """
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
        num_examples, batch_size: ints.
        num_shards, shard: ints; `num_shards` divides `batch_size`.

    Returns:
        `(starts, stops)`: int arrays, one entry a batch: the shard has the
        examples from `start` up to, but not, `stop`.

    Raises:
        ValueError: If there are fewer examples than shards.

    Example:

    >>> cut_batches(9, 4, num_shards=2, shard=1)  # 9 would leave one of two
    (array([2, 6]), array([4, 9]))
    """
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
