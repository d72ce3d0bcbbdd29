"""Count sketches: short random projections that keep inner products."""

import numpy as np
import tensorflow as tf


class CountSketch:
    """Projects vectors to `size` scalars, keeping inner products.

    Each scalar gets a random sign and is added to one of `size` places
    (Charikar et al. 2002). For vectors x and y with sketches u and v, `u @ v`
    has the mean `x @ y` and a standard deviation of at most
    `sqrt(2 / size) |x| |y|`, provided that two scalars meet in one place with
    probability at most `1 / size`, which `fold` ensures.

    Memory: one byte per scalar of a vector, once for all vectors.

    Args:
        length, size: Scalars of a vector, and of its sketch: a prime number.
        seed: Integer, or sequence of integers, from 0 on.
        inside: Mask `(length,)` of the scalars that count, all by default;
            the others are taken as zero.

    Example:

    >>> sketch = CountSketch(length=1000, size=101, seed=0)
    >>> sketch(tf.ones((2, 1000))).shape
    TensorShape([2, 101])
    """

    def __init__(self, length, size, seed, inside=None):
        draw = np.random.default_rng(seed)
        signs = draw.choice(np.array([-1, 1], "int8"), length)
        # A graph constant would be stored as floats.
        self._signs = tf.constant(signs if inside is None else signs * inside)
        self._size = size
        self._slopes = draw.integers(size, size=num_folds(length, size))

    def __call__(self, vectors):
        """Returns the sketches, `(n, size)`, of vectors `(n, length)`."""
        signs = tf.cast(self._signs, vectors.dtype)
        return fold(vectors * signs, self._size, self._slopes)


def num_folds(length, size):
    """Returns how often `fold` must fold vectors down to `size`."""
    folds = 0
    while length > size:
        length = _groups(length, size)[0] * size
        folds += 1
    return folds


def fold(vectors, size, slopes):
    """Adds up scalars of vectors in `size` places each.

    Scalar `p` of run `r`, of `size` scalars each, goes to the place
    `(p + r * slope) mod size`. If `size` is prime and the slope is drawn from
    all its residues, two scalars of different runs meet with probability
    `1 / size`, and those of one run never. That holds for up to `size` runs:
    longer vectors are summed in groups of so many runs, and the sums folded
    again with another slope. A gap of `slope` zeros after every run does it
    with contiguous copies, without a gather.

    Takes a tensor `(n, length)`, a prime `size` and `num_folds(length, size)`
    slopes in `[0, size)`; returns a tensor `(n, size)`.
    """
    for slope in slopes:
        groups, runs = _groups(vectors.shape[1], size)
        vectors = _padded(vectors, groups * runs * size)
        vectors = _padded(tf.reshape(vectors, (-1, size)), size + slope)
        gapped = runs * (size + slope)
        lines = -(-gapped // size)
        vectors = _padded(tf.reshape(vectors, (-1, gapped)), lines * size)
        sums = tf.reduce_sum(tf.reshape(vectors, (-1, lines, size)), axis=1)
        vectors = tf.reshape(sums, (-1, groups * size))
    return _padded(vectors, size)


def largest_prime(limit):
    """Returns the largest prime number up to a limit of at least 2."""
    return next(
        number
        for number in range(limit, 1, -1)
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1))
    )


def _groups(length, size):
    """Returns `(groups, runs of each)`: at most `size` runs, evenly."""
    runs = -(-length // size)
    groups = -(-runs // size)
    return groups, -(-runs // groups)


def _padded(vectors, length):
    missing = int(length) - vectors.shape[1]
    return tf.pad(vectors, [[0, 0], [0, missing]]) if missing else vectors
