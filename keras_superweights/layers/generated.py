"""Keras layers whose kernels are generated instead of stored."""

from types import MappingProxyType

import keras
from keras import ops


class GeneratedWeight:
    """A layer's attribute for a weight that may be generated.

    Without a setter on purpose: what `build` assigns, a weight that is not
    generated, is an ordinary attribute and found first.
    """

    def __init__(self, name):
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if self.name not in layer.sources or not layer.built:
            raise AttributeError(
                f"Layer '{layer.name}' must be built before its {self.name} "
                "can be read."
            )
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

    Put in front of a layer class, with the kernels that may be generated and
    their kinds (see `KernelSpec`). A layer becomes one of these by
    `keras_superweights.layers.generate`. No variable is made for a kernel
    that is generated, and what the layer saves is only its own: biases, and
    kernels without a source. Regularizers act on generated kernels as they do
    on variables: once, however often the layer is called. A layer that is not
    trainable passes no gradient on to the banks.

    Such layers are made by `SuperWeightNetwork`; outside it they cannot be
    saved, and `SuperWeightNetwork.materialize` gives layers that can.

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
            setattr(cls, name, GeneratedWeight(name))

    @staticmethod
    def fan_in(layer):
        """Scalars that feed an output of a built layer; 0: as of the shape."""
        return 0

    def generate_from(self, sources, regularizers):
        """Sets where kernels come from, and what regularizes them so far."""
        # Past Keras' tracking, which would wrap the dicts.
        vars(self).update(sources=sources, _regularizers=regularizers)

    def add_weight(self, *args, name=None, **kwargs):
        if name not in self.sources:
            return super().add_weight(*args, name=name, **kwargs)
        self._regularizers[name] = kwargs.get("regularizer")
        return None

    def __setattr__(self, name, value):
        if name not in self.sources:
            super().__setattr__(name, value)
        elif value is not None:  # which is what `add_weight` gives `build`
            raise AttributeError(
                f"The {name} of layer '{self.name}' is generated and cannot "
                f"be assigned. Received: {value!r}."
            )

    def _get_own_losses(self):
        # Not by `add_loss`: a recurrent cell is called once a time step.
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
        """Pairs of weights that are not generated, with those of the layer."""
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
