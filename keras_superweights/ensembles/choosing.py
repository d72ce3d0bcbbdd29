"""The choice of an ensemble's kind."""

from keras_superweights.ensembles.classifier import Classifier
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.single import Single


def choose_kind(ensemble, models):
    """Returns the kind of an ensemble, checked against its members.

    Defaults to `Single()` for one member and `Classifier()` for several.
    """
    if ensemble is None:
        ensemble = Single() if len(models) == 1 else Classifier()
    if not isinstance(ensemble, EnsembleKind):
        hint = ""
        if isinstance(ensemble, type) and issubclass(ensemble, EnsembleKind):
            hint = f" Write `{ensemble.__name__}()`."
        raise TypeError(
            "`ensemble` must be a kind of `keras_superweights.ensembles`, such "
            f"as `Classifier()`, or None. Received: ensemble={ensemble!r}."
            + hint
        )
    ensemble.check(models)
    return ensemble
