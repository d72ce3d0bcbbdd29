"""The ways to spend a budget that are compared.

Each is a function of a regime, a config and the members' skeletons that
returns the members to train and their allocation.
"""

import functools

import keras_superweights as ksw
from benchmarks.quality.narrowing import fitted


def unshared(members):
    """Members that share nothing, whatever they cost."""
    return members, ksw.allocate(members, 1.0, ksw.sharing.Independent())


def independent(regime, config, members):
    """The deep ensemble, outside of the budget."""
    return unshared(members)


def one(regime, config, members):
    """One network of the whole budget: the first, narrowed or widened."""
    return unshared(fitted(members[:1], regime.budget_params(members)))


def narrow(regime, config, members):
    """All members, narrowed until they fit without sharing."""
    return unshared(fitted(members, regime.budget_params(members)))


def by_rule(make_rule, regime, config, members):
    """Members that share by a rule."""
    budget = regime.budget_params(members)
    return members, ksw.allocate(members, budget, make_rule())


_RULES = {
    "mixture": ksw.sharing.MixtureEnsembles,
    "mixture-rank": lambda: ksw.sharing.MixtureEnsembles(
        transforms=ksw.parts.RankOne()
    ),
    "depth": ksw.sharing.SuperWeights,
    "shapeshifter": ksw.sharing.Shapeshifter,
}

VARIANTS = {
    "independent": independent,
    "one": one,
    "narrow": narrow,
    **{
        name: functools.partial(by_rule, make_rule)
        for name, make_rule in _RULES.items()
    },
}
