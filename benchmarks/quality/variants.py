"""The ways to spend a budget that are compared.

Each is a function of a regime, a config of it and the members' skeletons that
returns the members to train, their allocation, and callbacks. With `-ws` after
its name, all kernels are standardized.
"""

import functools

import keras_superweights as ksw
from keras_superweights.models import fitted
from trainers.phases import experiment

# Of the search, before training; the regimes train for 14 epochs and more.
PRETRAIN_EPOCHS = 2


def unshared(members, transforms):
    """Members that share nothing, whatever they cost."""
    rule = ksw.sharing.Independent(transforms=transforms)
    return members, ksw.allocate(members, 1.0, rule), []


def independent(regime, config, members, transforms=()):
    """The deep ensemble, outside of the budget."""
    return unshared(members, transforms)


def one(regime, config, members, transforms=()):
    """One network of the whole budget: the first, narrowed or widened."""
    budget = regime.budget_params(members)
    return unshared(fitted(members[:1], budget), transforms)


def narrow(regime, config, members, transforms=()):
    """All members, narrowed until they fit without sharing."""
    return unshared(fitted(members, regime.budget_params(members)), transforms)


def by_rule(make_rule, regime, config, members, transforms=()):
    """Members that share by a rule."""
    budget = regime.budget_params(members)
    rule = make_rule(transforms=transforms)
    return members, ksw.allocate(members, budget, rule), []


def parted(regime, config, members, transforms=(), beta=0.9):
    """Clusters by gradient similarity, members apart from the start."""
    images = experiment.pipeline(config)
    found = ksw.search.find_clusters(
        members,
        regime.budget_params(members),
        images.train(PRETRAIN_EPOCHS),
        sharing=ksw.sharing.SuperWeights(transforms=transforms),
        beta=beta,
        pretrain_epochs=PRETRAIN_EPOCHS,
        steps_per_epoch=images.steps_per_epoch,
        weight_decay=config.optimizer.weight_decay,
        verbose=0,
    )
    return members, found.allocation, []


def searched(regime, config, members, transforms=()):
    """The papers' way: the same clusters, tied, decoupled after an epoch."""
    tied = parted(regime, config, members, transforms, beta=None)
    decoupling = ksw.callbacks.CoefficientDecoupling(beta=0.9, epoch=1)
    return *tied[:2], [decoupling]


def mixture_rank(transforms):
    return ksw.sharing.MixtureEnsembles(
        transforms=(ksw.parts.RankOne(), *transforms)
    )


_RULES = {
    "fair": functools.partial(ksw.sharing.FairShares, rank_one=False),
    "fair-rank": ksw.sharing.FairShares,
    "mixture": ksw.sharing.MixtureEnsembles,
    "mixture-rank": mixture_rank,
    "depth": ksw.sharing.SuperWeights,
    "shapeshifter": ksw.sharing.Shapeshifter,
}

_PLAIN = {
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

# Each also with weight standardization.
_WS = (ksw.parts.Standardized(),)
VARIANTS = {
    **_PLAIN,
    **{
        f"{name}-ws": functools.partial(variant, transforms=_WS)
        for name, variant in _PLAIN.items()
    },
}
