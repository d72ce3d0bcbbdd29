"""The kind of ensemble that a config names."""

import inspect

import keras_superweights as ksw
from trainers.phases import schema

# Those that classify images.
KINDS = {"Classifier": ksw.ensembles.Classifier, "MIMO": ksw.ensembles.MIMO}


def check(config):
    """Refuses a kind that is unknown, or does not go with the search."""
    found = kind(config)
    if found and found.is_one_model and config.search.pretrain_epochs:
        raise ValueError(
            "`config.search.pretrain_epochs` must be 0 with `config.ensemble`"
            f".kind={config.ensemble.kind!r}: a search trains members as "
            f"models of their own. Received: {config.search.pretrain_epochs}."
        )


def kind(config):
    """Returns the kind of `config.ensemble`; None for the network's own."""
    arguments = dict(config.ensemble)
    name = arguments.pop("kind", None)
    if name is None:
        schema.check_keys("config.ensemble", config.ensemble, {"kind"}, ())
        return None
    schema.check_choice("ensemble.kind", name, KINDS)
    known = {"kind", *inspect.signature(KINDS[name]).parameters}
    schema.check_keys("config.ensemble", config.ensemble, known, ())
    try:
        return KINDS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"In `config.ensemble`: {error}") from error


def model(config, built):
    """Returns a member's model as the kind needs it."""
    found = kind(config)
    if found and found.is_one_model:
        return ksw.models.mimo(built, found.num_members)
    return built
