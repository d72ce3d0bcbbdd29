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
        name: Name of the layer.

    Example:

    >>> bank = Bank(size=6, variance=0.1)
    >>> bank.templates(num_templates=2, size=3).shape
    TensorShape([2, 3])
    """

    def __init__(self, size, variance, name=None):
        super().__init__(name=name)
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
        rows = self.size // size
        store = ops.convert_to_tensor(self.store)

        def read(start, stop):
            if (start, stop * size) == (0, self.size):
                return ops.reshape(store, (rows, size))
            part = store[start * size : stop * size]
            return ops.reshape(part, (stop - start, size))

        stop = first + num_templates
        if stop <= rows:
            return read(first, stop)
        return ops.concatenate([read(first, rows), read(0, stop - rows)])
