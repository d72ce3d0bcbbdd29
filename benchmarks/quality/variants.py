"""The ways to spend a budget that are compared.

Each is a function of a regime, a config of it and the members' skeletons that
returns the members to train, their allocation, and callbacks.
"""

import functools

import keras_superweights as ksw
from keras_superweights.models import fitted
from trainers.phases import experiment

# Of the search, before training; the regimes train for 14 epochs and more.
PRETRAIN_EPOCHS = 2


def unshared(members):
    """Members that share nothing, whatever they cost."""
    allocation = ksw.allocate(members, 1.0, ksw.sharing.Independent())
    return members, allocation, []


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
    return members, ksw.allocate(members, budget, make_rule()), []


def parted(regime, config, members, beta=0.9):
    """Clusters and coefficients by gradient similarity, from the start."""
    images = experiment.pipeline(config)
    found = ksw.search.find_clusters(
        members,
        regime.budget_params(members),
        images.train(PRETRAIN_EPOCHS),
        beta=beta,
        pretrain_epochs=PRETRAIN_EPOCHS,
        steps_per_epoch=images.steps_per_epoch,
        weight_decay=config.optimizer.weight_decay,
        verbose=0,
    )
    return members, found.allocation, []


def searched(regime, config, members):
    """The papers' way: the same clusters, tied, decoupled after an epoch."""
    members, allocation, _ = parted(regime, config, members, beta=None)
    decoupling = ksw.callbacks.CoefficientDecoupling(beta=0.9, epoch=1)
    return members, allocation, [decoupling]


_RULES = {
    "fair": lambda: ksw.sharing.FairShares(rank_one=False),
    "fair-rank": ksw.sharing.FairShares,
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
    "searched": searched,
    "parted": parted,
}
