"""Sharing against narrowing: the same number of parameters, spent twice.

    python -m benchmarks.reduced --config configs.digits
    python -m benchmarks.reduced --config configs.cifar100_small --data_dir DIR

Trains the config's first member, on its data and by its recipe, in three ways:

    plain    the whole network
    reduced  the same architecture, every layer but the head narrowed by one
             factor until it has the parameters of the next ("reduced
             baseline", NPAS, section 4.2)
    shared   the whole network inside a part of its parameters, by Shapeshifter

and prints accuracy, NLL and parameters, mean and half the range over the
seeds. --json keeps every figure, and what it holds already is not trained
again.
"""

import argparse
import importlib
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_superweights as ksw
from benchmarks.training import trained
from keras_superweights.layers import heads
from keras_superweights.members.skeleton import skeletons
from trainers.phases import experiment

WAYS = ("plain", "reduced", "shared")


def narrowed(model, factor):
    """A model like another, its layers narrower, without memory.

    Args:
        model: A Functional model.
        factor: Part of the filters and units that layers keep, at least one.
            Heads keep theirs.
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
    """The widest of the narrowed models with no more parameters."""

    def count(model):
        return sum(int(np.prod(v.shape)) for v in model.trainable_variables)

    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        fits = count(narrowed(model, middle)) <= params
        low, high = (middle, high) if fits else (low, middle)
    return narrowed(model, low)


def network_of(way, member, arguments, weight_decay):
    """The network to train."""
    rule = ksw.sharing.Shapeshifter(**json.loads(arguments.rule_arguments))
    allocation = ksw.allocate(member, arguments.budget, rule)
    if way != "shared":
        if way == "reduced":
            member = reduced(member, allocation.num_params)
        allocation = ksw.allocate(member, 1.0, ksw.sharing.Independent())
    return ksw.SuperWeightNetwork(
        member, allocation=allocation, weight_decay=weight_decay
    )


def run(way, seed, arguments):
    """Trains and measures one network; returns its figures."""
    start = time.perf_counter()
    config = importlib.import_module(arguments.config).get_config()
    with config.unlocked():
        config.seed = seed
        config.members = config.members[:1]
        if arguments.data_dir:
            config.data.data_dir = arguments.data_dir
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    images = experiment.pipeline(config)
    (member,) = experiment.members(config)
    network = network_of(way, member, arguments, config.optimizer.weight_decay)
    logits, labels = trained(network, config, images)
    measured = ksw.metrics.evaluate_members(logits, labels, [1])
    return {
        "accuracy": measured["accuracy"],
        "nll": measured["nll"],
        "params": network.allocation.num_params,
        "seconds": time.perf_counter() - start,
    }


def summary(results, seeds):
    """The table, and who has won."""
    lines = ["               accuracy               nll      params"]
    mean = {}
    for way in WAYS:
        line = f"{way:<8}"
        for measure in ("accuracy", "nll"):
            values = [results[f"{way}/{seed}"][measure] for seed in seeds]
            mean[way, measure] = np.mean(values)
            spread = (max(values) - min(values)) / 2
            line += f"{np.mean(values):>9.4f} ±{spread:.4f}"
        params = results[f"{way}/{seeds[0]}"]["params"]
        lines.append(f"{line}{params:>12,}")
    gain = mean["shared", "accuracy"] - mean["reduced", "accuracy"]
    lines.append(
        f"\nshared is {abs(gain):.2%} points "
        f"{'better' if gain > 0 else 'worse'} than reduced"
    )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", default="configs.digits")
    parser.add_argument("--data_dir")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--rule_arguments", default="{}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", default="reduced.json", type=pathlib.Path)
    arguments = parser.parse_args()
    results = {}
    if arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    for seed in arguments.seeds:
        for way in WAYS:
            name = f"{way}/{seed}"
            if name not in results:
                results[name] = run(way, seed, arguments)
                arguments.json.write_text(json.dumps(results, indent=1))
                print(name, json.dumps(results[name]), flush=True)
    print(summary(results, arguments.seeds))


if __name__ == "__main__":
    main()
