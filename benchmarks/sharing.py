"""What sharing costs, and what the search adds, at the size of one network.

    python -m benchmarks.sharing --data_dir DIR --seeds 0 1 2

Trains on the config's part of CIFAR-100, from the same seeds, for the same
epochs:

    (a) plain        one network
    (b) shared       the ensemble in the size of (a), clusters by depth, every
                     kernel with coefficients of its own
    (c) searched     the same, clusters found by gradient similarity and
                     coefficients decoupled in training
    (d) independent  the ensemble, nothing shared

and, if --variants names it,

    (e) parted       the clusters of (c), coefficients apart from the beginning

and prints accuracy, NLL, ECE, diversity and parameters, mean and range over
the seeds, and which share of the gain of (d) over (a) is reached by (b) and
(c), that is with the parameters of (a). The search's pretraining comes on top
of the epochs of (c). --json keeps every figure, and what it holds already is
not trained again.
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
from keras_superweights.metrics import evaluate_members
from trainers.phases import experiment

VARIANTS = ("plain", "shared", "searched", "independent", "parted")
MEASURES = ("accuracy", "nll", "ece", "diversity", "params", "seconds")


def run(variant, seed, config):
    """Trains and measures one variant; returns its figures."""
    start = time.perf_counter()
    with config.unlocked():
        config.seed = seed
        if variant == "plain":
            config.members = config.members[:1]
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    images = experiment.pipeline(config)
    members = experiment.members(config)
    decay = config.optimizer.weight_decay
    budget = int(config.budget_params)
    callbacks = []
    evidence = {}
    if variant in ("plain", "independent"):
        budget, sharing = 1.0, ksw.sharing.Independent()
    else:
        sharing = ksw.sharing.SuperWeights()
    allocation = ksw.allocate(members, budget, sharing)
    if variant in ("searched", "parted"):
        search = config.search
        found = ksw.search.find_clusters(
            members,
            budget,
            images.train(search.pretrain_epochs),
            tau=search.tau,
            pretrain_epochs=search.pretrain_epochs,
            steps_per_epoch=images.steps_per_epoch,
            weight_decay=decay,
            verbose=0,
        )
        allocation = found.allocation
        evidence = {
            "tau": found.tries[-1].tau,
            "clusters": len(allocation.clusters),
            "start_clusters": len(found.start.clusters),
        }
        if variant == "searched":
            callbacks = [
                ksw.callbacks.CoefficientDecoupling(
                    config.decouple.beta, config.decouple.epoch
                )
            ]
        else:
            allocation = allocation.with_ties(
                range(len(piece.ties)) for piece in allocation.superweights
            )
        keras.utils.set_random_seed(seed)
    network = ksw.SuperWeightNetwork(
        members, allocation=allocation, weight_decay=decay
    )
    logits, labels = trained(network, config, images, callbacks)
    measured = evaluate_members(logits, labels, [1] * len(logits))
    if callbacks:
        ties = [t for p in network.allocation.superweights for t in set(p.ties)]
        rows = [t for p in network.allocation.superweights for t in p.ties]
        evidence |= {"own_rows": len(ties), "rows": len(rows)}
    return {
        **{name: measured[name] for name in MEASURES[:4]},
        "members": [m["accuracy"] for m in measured["members"]],
        "params": network.allocation.num_params,
        "seconds": time.perf_counter() - start,
        **evidence,
    }


def summary(results, seeds, variants):
    """The table, and the share of the gain."""
    lines = ["             " + "".join(f"{m:>18}" for m in MEASURES)]
    mean = {}
    for variant in variants:
        line = f"{variant:<13}"
        for measure in MEASURES:
            values = [results[f"{variant}/{s}"][measure] for s in seeds]
            if None in values:
                line += f"{'-':>18}"
                continue
            mean[variant, measure] = np.mean(values)
            if measure in ("params", "seconds"):
                line += f"{np.mean(values):>18,.0f}"
            else:
                spread = (max(values) - min(values)) / 2
                line += f"{np.mean(values):>10.4f} ±{spread:.4f}"
        lines.append(line)
    if not {"plain", "independent"} <= set(variants):
        return "\n".join(lines)  # no gain to have a share of
    lines.append("")
    for measure in ("accuracy", "nll"):
        plain = mean["plain", measure]
        gain = mean["independent", measure] - plain
        for variant in variants:
            if variant in ("plain", "independent"):
                continue
            share = (mean[variant, measure] - plain) / gain
            lines.append(
                f"{variant} reaches {share:.0%} of the gain in {measure} of "
                "the independent ensemble, with the parameters of one network"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir")
    parser.add_argument("--config", default="configs.cifar100_small")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=VARIANTS[:4]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", default="sharing.json", type=pathlib.Path)
    arguments = parser.parse_args()
    results = {}
    if arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    for seed in arguments.seeds:
        for variant in arguments.variants:
            name = f"{variant}/{seed}"
            if name in results:
                continue
            config = importlib.import_module(arguments.config).get_config()
            if arguments.data_dir:
                config.data.data_dir = arguments.data_dir
            results[name] = run(variant, seed, config)
            arguments.json.write_text(json.dumps(results, indent=1))
            print(name, json.dumps(results[name]), flush=True)
    print(summary(results, arguments.seeds, arguments.variants))


if __name__ == "__main__":
    main()
