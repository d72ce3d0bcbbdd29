"""The trainable store behind one or more SuperWeights."""

import keras
from keras import ops

# Standard deviation of a standard normal truncated at two deviations, by
# which Keras' own `VarianceScaling` corrects.
TRUNCATED_STDDEV = 0.87962566103423978


class Bank(keras.layers.Layer):
    """A vector of trainable scalars that is read as templates.

    The scalars are one draw of one initializer: templates drawn one by one
    from the same seeded initializer would all be equal.

    Args:
        size: Scalars in the bank.
        variance: Variance of the scalars at the start, that of a kernel mixed
            from them with coefficients of unit norm.
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.

    Example:

    >>> bank = Bank(size=6, variance=0.1)
    >>> bank.templates(num_templates=2, size=3).shape
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

    def templates(self, num_templates, size, first=0):
        """Reads templates, the rows of `size` scalars that the bank has.

        Args:
            num_templates: How many.
            size: Scalars in each. What is too short for a row is not read.
            first: Row of the first; after the last row comes row 0.

        Returns:
            A tensor `(num_templates, size)`.
        """
        (templates,) = self.views([(num_templates, size, first)])
        return templates

    def views(self, readers):
        """The templates of several readers.

        The gradient of a slice is a copy of the whole store, zero but for the
        slice: as many as there are readers. Here what readers send back is
        added up stretch by stretch, and nothing is written twice.

        Args:
            readers: For each, the arguments of `templates`, in a tuple.

        Returns:
            A list of tensors `(num_templates, size)`.
        """
        readers = [
            (count, size, first, _stretches(self.size, count, size, first))
            for count, size, first in readers
        ]

        @ops.custom_gradient
        def read(store):
            def gradient(*upstream):
                flat = [ops.reshape(each, (-1,)) for each in upstream]
                return self._sum_of_stretches(
                    flat, [stretches for *_, stretches in readers]
                )

            templates = [
                ops.reshape(_joined(store, stretches), (count, size))
                for count, size, _, stretches in readers
            ]
            return templates, gradient

        # A tensor: Keras would pass the variable on, whose gradient is not
        # that of an argument.
        return read(ops.reshape(self.store, (self.size,)))

    def _sum_of_stretches(self, vectors, readers):
        """The gradient of the store from those of what readers have read."""
        pieces = []  # (start, stop, where it comes from)
        for vector, stretches in zip(vectors, readers, strict=True):
            offset = 0
            for start, stop in stretches:
                pieces.append((start, stop, vector, offset - start))
                offset += stop - start
        ends = {0, self.size}
        for start, stop, *_ in pieces:
            ends |= {start, stop}
        ends = sorted(ends)
        sums = []
        for left, right in zip(ends, ends[1:], strict=False):
            parts = [
                vector[left + shift : right + shift]
                for start, stop, vector, shift in pieces
                if start <= left and right <= stop
            ]
            sums.append(
                sum(parts[1:], parts[0])
                if parts
                else ops.zeros((right - left,), self.store.dtype)
            )
        return ops.concatenate(sums)


def _stretches(scalars, count, size, first):
    """Where templates lie in a store, `(start, stop)`; two if they go round."""
    rows = scalars // size
    stop = first + count
    if stop <= rows:
        return [(first * size, stop * size)]
    return [(first * size, rows * size), (0, (stop - rows) * size)]


def _joined(store, stretches):
    parts = [store[start:stop] for start, stop in stretches]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts)
