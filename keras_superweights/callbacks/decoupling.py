"""Learning where coefficients part, while a network trains."""

import warnings

import keras

from keras_superweights.search.grouping import check_threshold
from keras_superweights.search.grouping import group_above
from keras_superweights.search.recording import GradientRecorder
from keras_superweights.search.similarity import coefficient_similarity


class CoefficientDecoupling(keras.callbacks.Callback):
    """Gives kernels coefficients of their own where gradients disagree.

    Kernels of a cluster start tied: they use the same coefficients. Over the
    epoch before `epoch`, the gradients that each kernel has for coefficients
    of its own are added up; then, within each set of tied kernels, those whose
    sums point the same way (cosine above `beta`, Algorithm 1) stay tied, and
    each group goes on with a copy of the shared coefficients and of their
    optimizer slots. The function computed does not change at that moment, nor
    does the number of parameters. SWN, sections 1.1 and 3.5, where best
    values of `beta` depend on the data set.

    A network whose kernels have coefficients of their own is tied by cluster
    when training begins, those that mix the same templates. Where there are
    none, because nothing is shared or nothing is mixed, there is nothing to
    decouple: it says so in a warning, and does nothing. Put it before callbacks
    that save: a backup must hold the ties that its epoch ended with.

    Args:
        beta: Threshold on the similarity, from -1 (all stay tied) to 1 (each
            kernel has its own). Defaults to 0.9.
        epoch: Epochs to train before decoupling, at least 1. Defaults to 10.
        every: Decouple again after this many further epochs, and so on. Never
            by default.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: When training begins, if the model is no
            `SuperWeightNetwork`.

    Example:

    ```python
    network.fit(
        train,
        epochs=200,
        callbacks=[ksw.callbacks.CoefficientDecoupling(beta=0.9, epoch=10)],
    )
    ```
    """

    def __init__(self, beta=0.9, epoch=10, every=None):
        super().__init__()
        check_threshold("beta", beta)
        numbers = {"epoch": epoch, "every": 1 if every is None else every}
        for name, value in numbers.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: "
                    f"{name}={value!r}."
                )
        self.beta = beta
        self.epoch = epoch
        self.every = every
        self._recorder = None

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "allocation"):
            raise TypeError(
                "`CoefficientDecoupling` decouples what a `SuperWeightNetwork` "
                "shares. Received: a model of type "
                f"{type(self.model).__name__}."
            )
        self._recorder = None
        self._is_needed = any(
            len(set(ties)) < len(ties)
            for ties in cluster_ties(self.model.allocation)
        )
        if not self._is_needed:
            warnings.warn(
                "There is nothing to decouple: no two kernels of this network "
                "mix the same templates. `CoefficientDecoupling` does nothing; "
                f"leave it out. Received: {self.model.allocation.sharing}.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        if not self._is_needed:
            return
        if epoch == 0:
            tie_clusters(self.model)
        since = epoch + 1 - self.epoch
        if since == 0 or (self.every and since > 0 and since % self.every == 0):
            # `fit` calls callbacks outside the scope.
            with self.model.distribute_strategy.scope():
                self._recorder = GradientRecorder(
                    self.model.generator, weights=False
                )
            self.model.record_gradients(self._recorder)

    def on_epoch_end(self, epoch, logs=None):
        if self._recorder is None:
            return
        gradients = self._recorder.coefficient_gradients()
        self._recorder = None
        self.model.record_gradients(None)
        allocation = self.model.allocation
        self.model.set_ties(decoupled_ties(allocation, gradients, self.beta))


def tie_clusters(network):
    """Ties all kernels of every cluster that mix the same templates."""
    network.set_ties(cluster_ties(network.allocation))


def cluster_ties(allocation):
    """The ties with which all kernels that mix the same templates are tied.

    Where kernels of any shape and kind are served, those that have to start
    at other scales are not tied to one another.
    """
    ties = []
    for superweight in allocation.superweights:
        mixed = [
            (
                superweight.mixing.templates_of(row, superweight.num_templates),
                superweight.geometry.serves_any_shape
                and allocation.kernels[kernel].variance,
            )
            for row, kernel in enumerate(superweight.kernels)
        ]
        is_tied = bool(superweight.ties)
        ties.append(tuple(map(mixed.index, mixed)) if is_tied else ())
    return ties


def decoupled_ties(allocation, gradients, beta):
    """The ties left when tied kernels part whose gradients disagree.

    Args:
        allocation: The `Allocation` in force.
        gradients: For each of its SuperWeights, the summed gradients of every
            kernel's coefficients, `(kernels served, templates)`.
        beta: Threshold on the similarity.

    Returns:
        For each SuperWeight, its ties, as `SuperWeightNetwork.set_ties` takes
        them.
    """
    group = {}
    for cluster in allocation.clusters:
        for tied in _tied_sets(allocation, cluster):
            similarity = coefficient_similarity(allocation, tied, gradients)
            for members in group_above(similarity, beta):
                for place in members:
                    group[tied[place]] = tied[members[0]]
    return [
        tuple(
            min(
                row
                for row, other in enumerate(superweight.kernels)
                if group[other] == group[kernel]
                and superweight.ties[row_of] == superweight.ties[row]
            )
            for row_of, kernel in enumerate(superweight.kernels)
        )
        if superweight.ties
        else ()
        for superweight in allocation.superweights
    ]


def _tied_sets(allocation, cluster):
    """Sets of kernels of a cluster that use the same rows where they meet."""
    sets = {}
    for kernel in cluster:
        # Nested kernels of one cluster all use its first SuperWeight; of flat
        # ones, each kernel has only one.
        s, row = allocation.composition[kernel][0]
        ties = allocation.superweights[s].ties
        sets.setdefault((s, ties[row] if ties else 0), []).append(kernel)
    return [tuple(kernels) for kernels in sets.values()]
