"""The mixin of Keras layers that generate kernels instead of storing them."""

from types import MappingProxyType

import keras
from keras import ops


class GeneratedWeight:
    """A layer's attribute for a weight that may be generated.

    It has no setter on purpose: a weight that is not generated is an ordinary
    attribute, which Python finds first, or a property of the next class.
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
        # The gradients of a recurrent layer's time steps add up in float32:
        # TensorFlow does not merge the casts of different steps.
        return (
            ops.cast(weight, layer.compute_dtype) if layer.autocast else weight
        )


class GeneratedKernel:
    """Makes a Keras layer read kernels from a network's banks.

    `keras_superweights.layers.register` puts it in front of a layer class, and
    `generate` turns a built layer into such a layer. It then holds and saves
    only its own variables: biases, and kernels without a source. Regularizers
    act on generated kernels once, however often the layer is called. A layer
    that is not trainable passes no gradient to the banks.

    `SuperWeightNetwork` makes such layers. They cannot be saved outside of it;
    `SuperWeightNetwork.materialize` returns layers that can.

    Attributes:
        kinds: Of the class: dict from the names of kernels to their kinds.
        sources: Dict from the name of a generated kernel to a function without
            arguments that returns it, in Keras' shape.
    """

    kinds = MappingProxyType({})
    sources = MappingProxyType({})

    def __init_subclass__(cls, kinds, fan_in=None):
        super().__init_subclass__()
        cls.kinds = MappingProxyType(kinds)
        if fan_in is not None:
            cls.fan_in = staticmethod(fan_in)
        for name in kinds:
            setattr(cls, name, GeneratedWeight(cls, name))

    @staticmethod
    def fan_in(layer):
        """Counts the scalars that feed an output; 0 if the shape tells."""
        return 0

    def generate_from(self, sources, regularizers):
        """Sets the functions and regularizers of generated kernels."""
        # Bypasses Keras' tracking, which would wrap the dicts.
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
        """Reads all but the generated weights from a plain layer."""
        for own, variable in self._own_weights(layer):
            own.assign(variable)

    def _own_weights(self, layer):
        """Pairs its own weights with a plain layer's."""
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
