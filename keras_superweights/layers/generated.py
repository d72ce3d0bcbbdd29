"""Keras layers whose kernel is generated instead of stored."""

import keras
from keras import ops


class GeneratedKernel:
    """Makes a Keras layer read its kernel from a network's banks.

    Put in front of a layer class that keeps its kernel under the name
    `"kernel"` and reads it through the property `kernel`. No variable is made
    for the kernel, and what the layer saves is only its own (the bias). Such
    layers are made by `SuperWeightNetwork`; outside it they cannot be saved,
    and `SuperWeightNetwork.materialize` gives layers that can.

    Args:
        source: Function without arguments that returns the kernel, in the
            shape that the Keras layer would give it.
        *args: As for the Keras layer.
        **kwargs: As for the Keras layer.
    """

    def __init__(self, *args, source, **kwargs):
        super().__init__(*args, **kwargs)
        self._source = source

    def add_weight(self, *args, name=None, **kwargs):
        if name == "kernel":
            return None
        return super().add_weight(*args, name=name, **kwargs)

    @property
    def kernel(self):
        """The generated kernel, in the layer's compute dtype."""
        if not self.built:
            raise AttributeError(
                f"Layer '{self.name}' must be built before its kernel can be "
                "read."
            )
        return ops.cast(self._source(), self.compute_dtype)

    def call(self, inputs):
        # Keras regularizes variables: in their own dtype, and once, however
        # often the layer is called in one pass.
        biases = [v for v in self.trainable_weights if v.regularizer]
        if self.kernel_regularizer and len(self.losses) == len(biases):
            self.add_loss(self.kernel_regularizer(self._source()))
        return super().call(inputs)

    # Convolutions and `Dense` would save and load their kernel.
    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self):
        raise ValueError(
            f"Layer '{self.name}' takes its kernel from the banks of its "
            "network and cannot be saved or copied without them. Save the "
            "`SuperWeightNetwork`, or what its `materialize()` returns."
        )


class GeneratedConv1D(GeneratedKernel, keras.layers.Conv1D):
    """1D convolution whose kernel is generated: see `GeneratedKernel`."""


class GeneratedConv2D(GeneratedKernel, keras.layers.Conv2D):
    """2D convolution whose kernel is generated: see `GeneratedKernel`."""


class GeneratedConv3D(GeneratedKernel, keras.layers.Conv3D):
    """3D convolution whose kernel is generated: see `GeneratedKernel`."""


class GeneratedDense(GeneratedKernel, keras.layers.Dense):
    """Dense layer whose kernel is generated: see `GeneratedKernel`."""


GENERATED = {
    keras.layers.Conv1D: GeneratedConv1D,
    keras.layers.Conv2D: GeneratedConv2D,
    keras.layers.Conv3D: GeneratedConv3D,
    keras.layers.Dense: GeneratedDense,
}
