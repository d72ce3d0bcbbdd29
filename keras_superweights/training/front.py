"""Attributes that a network takes from its front member."""

import operator


def _of_front(name, read=None):
    """Makes a property that reads an attribute of the front member."""
    read = read or operator.attrgetter(name)
    return property(lambda network: read(network._front(name)))


def _names(tensors):
    return [tensor._keras_history.operation.name for tensor in tensors]


class FrontOfMember:
    """Gives a network the inputs, outputs and layers of its front member.

    For a `keras.Model` with `members` and an `ensemble`, whose `front` chooses
    the member. Losses, metrics and targets may refer to its output names.
    """

    inputs = _of_front("inputs")
    outputs = _of_front("outputs")
    input_shape = _of_front("input_shape")
    output_shape = _of_front("output_shape")
    input_names = _of_front("input_names", lambda front: _names(front.inputs))
    output_names = _of_front(
        "output_names", lambda front: _names(front.outputs)
    )

    def get_layer(self, name=None, index=None):
        """Finds a layer of the network or of its front member."""
        own = {layer.name for layer in self.layers}
        front = self.ensemble.front(self.members)
        if name is None or name in own or front is None:
            return super().get_layer(name, index)
        return front.get_layer(name, index)

    def _front(self, attribute):
        front = self.ensemble.front(self.members)
        if front is None:
            raise AttributeError(
                f"A network of several members has no `{attribute}`. Use a "
                f"member's, such as `network.members[0].{attribute}`."
            )
        return front
