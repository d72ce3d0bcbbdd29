"""What sharing costs, and what the search adds, at the size of one network.

    python -m benchmarks.sharing --data_dir DIR --seeds 0 1 2

Trains on the config's part of CIFAR-100, with the same seeds and epochs:

    (a) plain        one network
    (b) shared       the ensemble in the size of (a), clusters by depth, one
                     set of coefficients per kernel
    (c) searched     the same, with clusters found by gradient similarity and
                     coefficients decoupled during training
    (d) independent  the ensemble, nothing shared

and, if --variants names it,

    (e) parted       the clusters of (c), with separate coefficients from the
                     beginning

Prints accuracy, NLL, ECE, diversity and parameters, mean and half the range
over the seeds, and which share of the gain of (d) over (a) is reached by (b)
and (c), which have the parameters of (a). The search's pretraining is not
counted in the epochs of (c). --json keeps every figure; what it already holds
is not trained again.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_superweights as ksw
from benchmarks import comparing
from trainers.phases import experiment

VARIANTS = ("plain", "shared", "searched", "independent", "parted")
MEASURES = ("accuracy", "nll", "ece", "diversity", "params", "seconds")


def run(variant, config):
    """Trains one variant; returns its figures."""
    if variant == "plain":
        config.members = config.members[:1]
    images = experiment.pipeline(config)
    members = experiment.members(config)
    decay = config.optimizer.weight_decay
    budget, rule = int(config.budget_params), ksw.sharing.SuperWeights()
    if variant in ("plain", "independent"):
        budget, rule = 1.0, ksw.sharing.Independent()
    allocation = ksw.allocate(members, budget, rule)
    callbacks = []
    evidence = {}
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
                range(len(superweight.ties))
                for superweight in allocation.superweights
            )
        keras.utils.set_random_seed(config.seed)
    network = ksw.SuperWeightNetwork(
        members, allocation=allocation, weight_decay=decay
    )
    measured = comparing.trained(network, config, images, callbacks)
    if callbacks:
        ties = [each.ties for each in network.allocation.superweights]
        evidence["own_rows"] = sum(len(set(each)) for each in ties)
        evidence["rows"] = sum(map(len, ties))
    return measured | evidence


def gains(values):
    """Yields which share of the independent ensemble's gain is reached."""
    for measure in ("accuracy", "nll"):
        mean = {way: np.mean(each[measure]) for way, each in values.items()}
        plain = mean.pop("plain")
        gain = mean.pop("independent") - plain
        for way, reached in mean.items():
            yield (
                f"{way} reaches {(reached - plain) / gain:.0%} of the gain in "
                f"{measure} of the independent ensemble, with the parameters "
                "of one network"
            )


def main():
    parser = comparing.parser(__doc__, "configs.cifar100_small", "sharing.json")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=VARIANTS[:4]
    )
    arguments = parser.parse_args()
    values = comparing.compare(arguments.variants, MEASURES, arguments, run)
    print(comparing.table(values))
    if {"plain", "independent"} <= set(values):
        print("", *gains(values), sep="\n")


if __name__ == "__main__":
    main()
