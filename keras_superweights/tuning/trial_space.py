"""The space of trials of `HyperModel` and of the training programs."""

from keras_superweights.tuning.extra import keras_tuner


class Infeasible(keras_tuner.errors.FailedTrialError):
    """The budget of a trial cannot be met; the tuner goes on with others."""


class TrialSpace:
    """A space of trials, each of which is allocated before it is trained.

    A subclass defines `allocate(settings)`: the `Allocation` of a trial, or a
    `ValueError` if its budget is too small. `candidates` are as for
    `Space.declare`, `defaults` the settings that the space does not vary.
    """

    def __init__(self, space, candidates=(), defaults=None):
        self.space = space
        self.candidates = tuple(candidates)
        self.defaults = dict(defaults or {})

    def declare(self, hp):
        """Declares the space in a `keras_tuner.HyperParameters`."""
        self.space.declare(hp, self.candidates)

    def settings(self, values):
        """Returns the settings of a trial, by the names of `Space`."""
        return self.defaults | self.space.settings(values)

    def allocation(self, settings):
        """Returns the allocation of a trial, or raises `Infeasible`."""
        try:
            return self.allocate(settings)
        except ValueError as error:
            raise Infeasible(str(error)) from error
