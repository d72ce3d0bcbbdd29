"""A network that stands for one member has what that member has."""


class FrontOfMember:
    """Gives a network the inputs, outputs and layers of its front member.

    For a `keras.Model` with `members` and an `ensemble`, whose `front` says
    which member that is. Losses, metrics and targets are given by these names.
    """

    @property
    def inputs(self):
        return self._front("inputs").inputs

    @property
    def outputs(self):
        return self._front("outputs").outputs

    @property
    def input_shape(self):
        return self._front("input_shape").input_shape

    @property
    def output_shape(self):
        return self._front("output_shape").output_shape

    @property
    def input_names(self):
        inputs = self._front("input_names").inputs
        return [tensor._keras_history.operation.name for tensor in inputs]

    @property
    def output_names(self):
        outputs = self._front("output_names").outputs
        return [tensor._keras_history.operation.name for tensor in outputs]

    def get_layer(self, name=None, index=None):
        """As `keras.Model.get_layer`, of a front member its layers too."""
        own = {layer.name for layer in self.layers}
        front = self.ensemble.front(self.members)
        if name is None or name in own or front is None:
            return super().get_layer(name, index)
        return front.get_layer(name, index)

    def _front(self, attribute):
        front = self.ensemble.front(self.members)
        if front is None:
            raise AttributeError(
                f"A network of several members has no `{attribute}`. Ask one "
                f"of them: `network.members[0].{attribute}`."
            )
        return front
