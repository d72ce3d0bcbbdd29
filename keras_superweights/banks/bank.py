"""The trainable store behind one or more SuperWeights."""

import keras
from keras import ops

# Standard deviation of a standard normal truncated at two deviations, by
# which Keras' own `VarianceScaling` corrects.
TRUNCATED_STDDEV = 0.87962566103423978


class Bank(keras.layers.Layer):
    """A vector of trainable scalars that is read as templates.

    All scalars are one draw: templates drawn separately from one seeded
    initializer would be equal.

    Args:
        size: Scalars in the bank.
        variance: Initial variance of the scalars, that of a kernel mixed from
            them with coefficients of unit norm.
        **kwargs: `name` and `dtype` of a `keras.layers.Layer`.

    Example:

    >>> bank = Bank(size=6, variance=0.1)
    >>> (templates,) = bank.views([(2, 3, 0)])
    >>> templates.shape
    TensorShape([2, 3])
    """

    def __init__(self, size, variance, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.store = self.add_weight(
            name="templates",
            shape=(size,),
            initializer=keras.initializers.TruncatedNormal(
                stddev=variance**0.5 / TRUNCATED_STDDEV
            ),
            autocast=False,
        )
        self.built = True

    def views(self, readers):
        """Returns the templates of several readers, rows of the bank.

        Args:
            readers: For each `(num_templates, size, first)`: how many rows,
                the scalars in each, and the first one; row 0 follows the last
                row, and a remainder of the bank is not read.

        Returns:
            A list of tensors `(num_templates, size)`.
        """
        store = ops.reshape(self.store, (self.size,))  # read once
        return [
            ops.reshape(
                _joined(store, _intervals(self.size, *reader)), reader[:2]
            )
            for reader in readers
        ]

    def gradient(self, readers, upstream):
        """Returns the store's gradient from those of `views(readers)`.

        The gradient of each slice of the store would be a zero-padded copy of
        the whole store. Here the readers' gradients are summed interval by
        interval, and nothing is written twice. Not by `ops.custom_gradient`:
        TensorFlow would keep each graph that has one for ever.
        """
        reads = []  # (start, stop, gradient, its offset)
        for reader, gradient in zip(readers, upstream, strict=True):
            vector, offset = ops.reshape(gradient, (-1,)), 0
            for start, stop in _intervals(self.size, *reader):
                reads.append((start, stop, vector, offset - start))
                offset += stop - start
        ends = sorted({0, self.size}.union(*(read[:2] for read in reads)))
        sums = []
        for left, right in zip(ends, ends[1:], strict=False):
            parts = [
                vector[left + shift : right + shift]
                for start, stop, vector, shift in reads
                if start <= left and right <= stop
            ]
            sums.append(
                sum(parts[1:], parts[0])
                if parts
                else ops.zeros((right - left,), self.store.dtype)
            )
        return ops.concatenate(sums)


def _intervals(scalars, count, size, first):
    """Returns `(start, stop)` of templates in a store; two if they wrap."""
    rows = scalars // size
    stop = first + count
    if stop <= rows:
        return [(first * size, stop * size)]
    return [(first * size, rows * size), (0, (stop - rows) * size)]


def _joined(store, intervals):
    parts = [store[start:stop] for start, stop in intervals]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts)
