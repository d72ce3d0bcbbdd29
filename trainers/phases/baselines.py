"""What a budget buys without sharing: configs of baselines."""

import copy

from configs import base
from keras_superweights.allocation import specs
from keras_superweights.members.allocating import describe
from keras_superweights.models.narrowing import largest_factor
from trainers.phases import experiment


def one_network(config):
    """Returns the config of one network of the same size, trained the same way.

    It is the largest member, narrowed or widened to what the whole ensemble
    may have, without sharing. Everything else, the seed and transforms without
    scalars included, is the config's. Refuses a member that has one width only.
    """
    models, described, budget = _describe(config)
    sizes = [member.num_params for member in described]
    largest = sizes.index(max(sizes))
    members = _scaled([config.members[largest]], [models[largest]], budget)
    return _unshared(config, described, members, budget)


def narrow(config):
    """Returns the config of all members, narrowed until they fit together.

    Nothing is shared. Refuses members that have one width only, and budgets
    below that of their narrowest, see `models.fitted`.
    """
    models, described, budget = _describe(config)
    members = _scaled(config.members, models, budget)
    return _unshared(config, described, members, budget)


def _scaled(members, models, budget):
    factor = largest_factor(models, budget)
    return [
        {**member, "factor": factor * member.get("factor", 1.0)}
        for member in members
    ]


def unshared(config):
    """Returns the config of the deep ensemble, outside of the budget."""
    _, described, _ = _describe(config)
    return _unshared(config, described, config.members, 1.0)


def _describe(config):
    """Returns the members, as models and as data, and the budget in scalars."""
    models = experiment.members(config)
    described = describe(models)
    budget = experiment.as_budget(config.budget_params)
    return models, described, specs.resolve_budget(budget, described)


def _unshared(config, described, members, budget):
    found = copy.deepcopy(config).unlock()
    found.members = tuple(dict(member) for member in members)
    with found.ignore_type():
        found.budget_params = float(budget)
    kernels = [kernel for member in described for kernel in member.kernels]
    free = tuple(
        data
        for data in config.sharing.get("transforms", ())
        if not any(map(experiment.transform(data).num_scalars, kernels))
    )
    kept = {"transforms": free} if free else {}
    found.sharing = base.rule("Independent", **kept)
    found.search.pretrain_epochs = found.decouple.epoch = 0
    found.one_network = False
    return found.lock()
