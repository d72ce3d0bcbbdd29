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

    def templates(self, num_templates, size, offset=0):
        """Reads `(num_templates, size)` scalars, wrapping around at the end."""
        scalars = num_templates * size
        store = ops.convert_to_tensor(self.store)
        if scalars < self.size:
            stop = offset + scalars
            if stop <= self.size:
                store = store[offset:stop]
            else:
                rest = store[: stop - self.size]
                store = ops.concatenate([store[offset:], rest])
        elif offset:
            store = ops.roll(store, -offset)
        return ops.reshape(store, (num_templates, size))
