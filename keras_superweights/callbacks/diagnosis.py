"""What an epoch did to the kernels of a network, and to what they share."""

import numpy as np

from keras_superweights.layers.traversal import walk
from keras_superweights.search.recording import GradientRecorder


class SharingDiagnosis:
    """Measures, epoch by epoch, what sharing does to the kernels' training.

    An array per measure, a row per epoch; NaN where a measure has no meaning:

        relative step     per kernel, |change in an epoch| / |kernel|; private
                          kernels included, which train as in a plain network
        agreement         per SuperWeight, |sum of its users' gradients|^2 over
                          the sum of their squares, as they reach a template
                          (the mean of all): 1 if users have nothing to do with
                          each other, more if they agree, less if they cancel
        effective rank    per SuperWeight, of the coefficients of its users:
                          the exponential of the entropy of their singular
                          values, divided by its templates
        coefficients      per SuperWeight, |change since the beginning| of the
                          coefficients over their norm at the beginning
        last template     per SuperWeight, the part of the squared norm of its
                          users' vectors that the last template carries

    Args:
        network: The `SuperWeightNetwork` about to train.

    References:
        - Roy and Vetterli, The effective rank: a measure of effective
          dimensionality, EUSIPCO 2007
    """

    MEASURES = (
        "relative step",
        "agreement",
        "effective rank",
        "coefficients",
        "last template",
    )

    def __init__(self, network):
        self._network = network
        self.history = {name: [] for name in self.MEASURES}
        self._start = [_rows(each) for each in self._mixtures()]
        self._kernels = self._recorder = None

    def begin_epoch(self):
        """Remembers the kernels, and records gradients unless others do."""
        network = self._network
        self._kernels = _kernels(network)
        self._recorder = None
        if network.recorder is None:
            # `fit` calls callbacks outside of the scope.
            with network.distribute_strategy.scope():
                self._recorder = GradientRecorder(network.generator)
            network.record_gradients(self._recorder)

    def end_epoch(self):
        """Adds a row to the history; returns the mean of each measure."""
        network = self._network
        rows = [_rows(mixture) for mixture in self._mixtures()]
        agreements = [np.nan] * len(rows)
        if self._recorder is not None and network.recorder is self._recorder:
            network.record_gradients(None)
            agreements = [
                _agreement(gram, each)
                for gram, each in zip(
                    self._recorder.whole_grams(), rows, strict=True
                )
            ]
        measured = {
            "relative step": [
                np.linalg.norm(after - before) / np.linalg.norm(before)
                for before, after in zip(
                    self._kernels, _kernels(network), strict=True
                )
            ],
            "agreement": agreements,
            "effective rank": [effective_rank(each) for each in rows],
            "coefficients": [
                np.nan
                if each is None
                else np.linalg.norm(each - start) / np.linalg.norm(start)
                for each, start in zip(rows, self._start, strict=True)
            ],
            "last template": [
                _last_share(each, np.asarray(templates))
                for each, templates in zip(
                    rows, network.generator.all_templates(), strict=True
                )
            ],
        }
        for name, values in measured.items():
            self.history[name].append(np.array(values, "float64"))
        return {
            name: float(np.nanmean(values))
            for name, values in measured.items()
            if not np.all(np.isnan(values))
        }

    def _mixtures(self):
        return self._network.generator.mixtures


def effective_rank(rows):
    """Returns the effective rank of coefficients over their templates.

    Args:
        rows: Array `(kernels, templates)`, or None, which gives NaN.
    """
    if rows is None:
        return np.nan
    values = np.linalg.svd(rows, compute_uv=False)
    parts = values[values > 0] / values.sum()
    return np.exp(-(parts * np.log(parts)).sum()) / rows.shape[1]


def _agreement(gram, rows):
    """Returns the mean agreement over templates, from a Gram matrix."""
    if rows is None or gram is None or len(rows) < 2:
        return np.nan
    together = np.einsum("ik,ij,jk->k", rows, gram, rows)
    apart = np.square(rows).T @ np.diag(gram)
    return np.mean(together[apart > 0] / apart[apart > 0])


def _last_share(rows, templates):
    if rows is None:
        return np.nan
    energies = np.square(rows).sum(0) * np.square(templates).sum(1)
    return energies[-1] / energies.sum()


def _rows(mixture):
    """Returns the coefficients that each kernel uses, or None."""
    if mixture is None or mixture.ties is None:
        return None
    return np.array(mixture.matrix(), "float64")


def _kernels(network):
    """Returns the kernels of all members, private ones included."""
    layers = [dict(walk(member)) for member in network.members]
    with network.generator.using(network.generator.superweights()):
        return [
            np.array(getattr(layers[k.member][k.layer], k.weight), "float32")
            for k in network.allocation.kernels
        ]
