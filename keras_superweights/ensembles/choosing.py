"""Which kind of ensemble a network is."""

from keras_superweights.ensembles.classifier import Classifier
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.single import Single


def choose_kind(ensemble, models):
    """The kind of an ensemble, given or chosen, checked against its members.

    Args:
        ensemble: An `EnsembleKind`; or `None`: `Single()` for one member,
            `Classifier()` for several.
        models: The members, as Keras models.

    Raises:
        TypeError: If `ensemble` is something else.
        ValueError: If the members are no ensemble of that kind.
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
