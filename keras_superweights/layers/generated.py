"""The mixin of Keras layers that generate kernels instead of storing them."""

from types import MappingProxyType

import keras
from keras import ops


class GeneratedWeight:
    """A layer's attribute for a weight that may be generated.

    It has no setter on purpose: a weight that stays the layer's own is an
    ordinary attribute and found first, or a property of the class below.
    """

    def __init__(self, generated_class, name):
        self.generated_class = generated_class
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if self.name not in layer.sources:
            return getattr(super(self.generated_class, layer), self.name)
        weight = layer.sources[self.name]()
        if not layer.trainable:
            weight = ops.stop_gradient(weight)
        # As Keras reads variables; an embedding casts what it has looked up.
        # TensorFlow merges the casts of a kernel that is read several times,
        # but not over the time steps of a recurrent layer: their gradients
        # are many, and add up in float32.
        return (
            ops.cast(weight, layer.compute_dtype) if layer.autocast else weight
        )


class GeneratedKernel:
    """Makes a Keras layer read kernels from a network's banks.

    `keras_superweights.layers.register` puts it in front of a layer class, and
    `generate` turns a built layer into one of these. The layer then holds no
    variable for a generated kernel and saves only what is its own: biases, and
    kernels without a source. Regularizers act on generated kernels as they do
    on variables: once, however often the layer is called. A layer that is not
    trainable passes no gradient on to the banks.

    `SuperWeightNetwork` makes such layers. They cannot be saved outside of it;
    `SuperWeightNetwork.materialize` returns layers that can.

    Attributes:
        kinds: Of the class: dict from the names of kernels to their kinds.
        sources: Dict from the name of a generated kernel to a function without
            arguments that returns it, in the shape that Keras gives it.
    """

    kinds = MappingProxyType({})
    sources = MappingProxyType({})

    def __init_subclass__(cls, kinds):
        super().__init_subclass__()
        cls.kinds = MappingProxyType(kinds)
        for name in kinds:
            setattr(cls, name, GeneratedWeight(cls, name))

    @staticmethod
    def fan_in(layer):
        """Counts the scalars that feed an output; 0 if the shape says it."""
        return 0

    def generate_from(self, sources, regularizers):
        """Sets where kernels come from, and what regularizes them."""
        # Past Keras' tracking, which would wrap the dicts.
        vars(self).update(sources=sources, _regularizers=regularizers)

    def __setattr__(self, name, value):
        if name in self.sources:
            raise AttributeError(
                f"The {name} of layer '{self.name}' is generated and cannot "
                f"be assigned. Received: {value!r}."
            )
        super().__setattr__(name, value)

    def _get_own_losses(self):
        # Not by `add_loss`: a recurrent cell is called once per time step.
        losses = super()._get_own_losses()
        if self.trainable and self.sources:
            losses += [
                regularizer(self.sources[name]())
                for name, regularizer in self._regularizers.items()
                if regularizer is not None
            ]
        return losses

    def copy_to(self, layer):
        """Writes all weights into a plain layer of the same shape."""
        for name, source in self.sources.items():
            getattr(layer, name).assign(source())
        for own, variable in self._own_weights(layer):
            variable.assign(own)

    def copy_from(self, layer):
        """Reads all weights but generated ones from a plain layer."""
        for own, variable in self._own_weights(layer):
            own.assign(variable)

    def _own_weights(self, layer):
        """Pairs its own weights with those of a plain layer."""
        generated = {id(getattr(layer, name)) for name in self.sources}
        others = [v for v in layer.weights if id(v) not in generated]
        return zip(self.weights, others, strict=True)

    # Convolutions and dense layers would save and load their kernel.
    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self):
        raise ValueError(
            f"Layer '{self.name}' takes kernels from the banks of its network "
            "and cannot be saved or copied without them. Save the "
            "`SuperWeightNetwork`, or what its `materialize()` returns."
        )
