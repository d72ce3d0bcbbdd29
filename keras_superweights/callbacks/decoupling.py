"""Decouples coefficients while a network trains."""

import warnings

import keras

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.search.grouping import group_above
from keras_superweights.search.recording import GradientRecorder
from keras_superweights.search.similarity import coefficient_similarity
from keras_superweights.search.ties import cluster_ties
from keras_superweights.search.ties import split_ties
from keras_superweights.training.finite import check_epoch


class CoefficientDecoupling(keras.callbacks.Callback):
    """Gives kernels separate coefficients where their gradients disagree.

    The kernels of a cluster start tied: they use the same coefficients. During
    the epoch before `epoch`, the gradients that each kernel would have for
    coefficients of its own are summed. Then, within each set of tied kernels,
    those whose sums point the same way (cosine above `beta`, Algorithm 1) stay
    tied, and each group gets a copy of the shared coefficients and of their
    optimizer slots. Neither the computed function nor the number of parameters
    changes at that moment. See SWN, sections 1.1 and 3.5: the best `beta`
    depends on the data set.

    This is the papers' way, for networks of `search.find_clusters` with
    `beta=None`; by default the search itself decides, before training, since
    members that start tied tend to stay copies of one another.

    When training begins, kernels with coefficients of their own are tied to
    those of their cluster that mix the same templates, also where a search
    has parted them. If there are none, because nothing is shared or mixed, a
    warning says so and nothing is done. Put this before callbacks that save: a
    backup must hold the ties at the end of its epoch.

    Args:
        beta: Threshold on the similarity, from -1 (all stay tied) to 1 (all
            kernels part). Defaults to 0.9.
        epoch: Epochs to train before decoupling, at least 1. Defaults to 10.
        every: Decouple again after every so many further epochs. Never by
            default.

    Raises:
        ValueError: If an argument is out of range; at the end of an epoch that
            decouples, if a weight or gradient is not finite.
        TypeError: If an argument is no number; when training begins, if the
            model is not a `SuperWeightNetwork`.

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
        check_number("beta", beta, least=-1, most=1)
        check_integer("epoch", epoch)
        if every is not None:
            check_integer("every", every)
        self.beta = beta
        self.epoch = epoch
        self.every = every
        self._recorder = None

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "allocation"):
            raise TypeError(
                "`CoefficientDecoupling` needs a `SuperWeightNetwork`. "
                f"Received: a model of type {type(self.model).__name__}."
            )
        self._recorder = None
        wanted = cluster_ties(self.model.allocation)
        self._is_needed = any(len(set(ties)) < len(ties) for ties in wanted)
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
            self.model.set_ties(cluster_ties(self.model.allocation))
        since = epoch + 1 - self.epoch
        if since == 0 or (self.every and since > 0 and since % self.every == 0):
            # `fit` calls callbacks outside of the scope.
            with self.model.distribute_strategy.scope():
                self._recorder = GradientRecorder(
                    self.model.generator, weights=False
                )
            self.model.record_gradients(self._recorder)

    def on_epoch_end(self, epoch, logs=None):
        if self._recorder is None:
            return
        check_epoch(self.model, epoch, logs)
        gradients = self._recorder.coefficient_gradients()
        self._recorder = None
        self.model.record_gradients(None)
        allocation = self.model.allocation
        self.model.set_ties(decoupled_ties(allocation, gradients, self.beta))


def decoupled_ties(allocation, gradients, beta):
    """Returns the ties that remain once kernels whose gradients disagree part.

    Takes, for each SuperWeight, the summed gradients of every kernel's
    coefficients, `(kernels served, templates)`, and a threshold on their
    similarity; returns ties for `SuperWeightNetwork.set_ties`.
    """
    group = {}
    for cluster in allocation.clusters:
        # All nested kernels of a cluster use its first SuperWeight; a flat
        # kernel has only one.
        tied_sets = {}
        for kernel in cluster:
            s, row = allocation.composition[kernel][0]
            rows = allocation.superweights[s].ties
            key = (s, rows[row] if rows else 0)
            tied_sets.setdefault(key, []).append(kernel)
        for tied in map(tuple, tied_sets.values()):
            similarity = coefficient_similarity(allocation, tied, gradients)
            for members in group_above(similarity, beta):
                group |= {tied[place]: tied[members[0]] for place in members}
    ties = [superweight.ties for superweight in allocation.superweights]
    return split_ties(allocation, ties, group)
