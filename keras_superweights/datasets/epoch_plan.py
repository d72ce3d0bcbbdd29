"""The order of the examples in an epoch, their batches and their workers.

These are functions of numbers only; they read no images.
"""

import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_integer


def hold_out(num_examples, fraction):
    """Splits off a validation part, the same one for every seed.

    Returns `(trained, held_out)`, sorted int64 arrays of indices. The
    `round(fraction * num_examples)` held-out examples come from all parts of
    the split, since sets may be ordered by class.
    """
    num_held_out = round(fraction * num_examples)
    # `RandomState` is frozen: every version of NumPy draws the same.
    order = np.random.RandomState(0).permutation(num_examples)
    return np.sort(order[num_held_out:]), np.sort(order[:num_held_out])


def plan_epoch(epoch, seed, trained, batch_size, rows, draw):
    """Returns the batches of one epoch: indices and random numbers.

    Of the examples `trained`, int64 `(n,)`, those that do not fill a whole
    batch are dropped; of each batch, `rows` are kept, from `shard_rows`. `draw`
    is a function of two keys, int32 tensors `(2,)`, for augmentation and for
    mixing. It returns nested tensors with one row per example of the split,
    whatever its place in the epoch.

    Elements are `(indices, *drawn)`: int64 `(num_rows,)`, and the random
    numbers of these examples.
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
    """Returns the rows of a training batch that a shard computes, in order.

    All shards have equally many. `with_next` adds the row after the last one;
    the last row of the batch is followed by the first. Raises as `cut_batches`.
    """
    _check_shards(batch_size, num_shards, shard)
    num_rows = batch_size // num_shards
    rows = np.arange(shard * num_rows, (shard + 1) * num_rows + with_next)
    return rows % batch_size


def cut_batches(num_examples, batch_size, num_shards, shard):
    """Cuts ordered examples into batches and shards, without dropping any.

    All shards have the same number of batches, and every batch has at least one
    row, since workers step together and the mean of no rows is undefined. Each
    batch is therefore divided as evenly as possible, and a last batch with
    fewer rows than shards is added to the one before. No row is repeated and
    none needs a weight: sums over all shards equal those of a single worker.

    Returns:
        `(starts, stops)`: int arrays with one entry per batch; the shard has
        the examples `start:stop`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If `num_shards` does not divide `batch_size`, the shard
            does not exist, or there are fewer examples than shards.

    Example:

    >>> cut_batches(9, 4, num_shards=2, shard=1)  # not 4, 4 and 1
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
