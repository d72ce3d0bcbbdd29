"""Sharing against narrowing: the same number of parameters, spent twice.

    python -m benchmarks.reduced --config configs.digits
    python -m benchmarks.reduced --config configs.cifar100_small --data_dir DIR

Trains the config's first member, on its data and by its recipe, in three ways:

    plain    the whole network
    reduced  the same architecture, with every layer except the head narrowed
             by one factor until it has the parameters of `shared` ("reduced
             baseline", NPAS, section 4.2)
    shared   the whole network inside a part of its parameters, by Shapeshifter

and prints accuracy, NLL and parameters, mean and half the range over the
seeds. --json keeps every figure; what it already holds is not trained again.
"""

import functools
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_superweights as ksw
from benchmarks import comparing
from keras_superweights.layers import heads
from keras_superweights.members.skeleton import skeletons
from trainers.phases import experiment

WAYS = ("plain", "reduced", "shared")


def narrowed(model, factor):
    """Returns a memoryless copy whose layers keep a part of their width.

    Args:
        model: A Functional model.
        factor: The part of filters and units that layers keep, at least one.
            Heads keep all of theirs.
    """
    last = {layer.name for layer in heads(model)}

    def narrow(layer):
        config = layer.get_config()
        for width in {"filters", "units"} & set(config):
            if layer.name not in last:
                config[width] = max(1, round(factor * config[width]))
        return type(layer).from_config(config)

    (narrow_model,) = skeletons(
        lambda: keras.models.clone_model(model, clone_function=narrow)
    )
    return narrow_model


def reduced(model, params):
    """Returns the widest narrowed model with at most `params` parameters."""

    def count(model):
        return sum(int(np.prod(v.shape)) for v in model.trainable_variables)

    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        fits = count(narrowed(model, middle)) <= params
        low, high = (middle, high) if fits else (low, middle)
    return narrowed(model, low)


def run(arguments, way, config):
    """Trains one network; returns its figures."""
    config.members = config.members[:1]
    images = experiment.pipeline(config)
    (member,) = experiment.members(config)
    rule = ksw.sharing.Shapeshifter(**json.loads(arguments.rule_arguments))
    allocation = ksw.allocate(member, arguments.budget, rule)
    if way != "shared":
        if way == "reduced":
            member = reduced(member, allocation.num_params)
        allocation = ksw.allocate(member, 1.0, ksw.sharing.Independent())
    network = ksw.SuperWeightNetwork(
        member,
        allocation=allocation,
        weight_decay=config.optimizer.weight_decay,
    )
    return comparing.trained(network, config, images)


def main():
    parser = comparing.parser(__doc__, "configs.digits", "reduced.json")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--rule_arguments", default="{}")
    arguments = parser.parse_args()
    measures = ("accuracy", "nll", "params")
    values = comparing.compare(
        WAYS, measures, arguments, functools.partial(run, arguments)
    )
    print(comparing.table(values))
    mean = {way: np.mean(each["accuracy"]) for way, each in values.items()}
    gain = mean["shared"] - mean["reduced"]
    print(
        f"\nshared is {abs(gain):.2%} points "
        f"{'better' if gain > 0 else 'worse'} than reduced"
    )


if __name__ == "__main__":
    main()
