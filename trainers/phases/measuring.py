"""Measures a trained network: always, and on demand."""

import itertools

import numpy as np

import keras_superweights as ksw
from keras_superweights import figures
from keras_superweights.anytime import measure_latency


def measure(network, logits, labels):
    """Measures everything that is reported of a network, ready for JSON.

    Takes a `SuperWeightNetwork` and the results of `predict_members`. Returns
    the dict of `metrics.evaluate_members`, with the time of a single example
    on this machine, and `"trainable_parameters"`, `"budget_params"`,
    `"independent_params"` (of members that share nothing); each of `"members"`
    also has `"name"`, `"parameters"` (as a model of its own),
    `"parameters_generated"` (of its kernels that come from banks), `"flops"`.
    """
    allocation = network.allocation
    flops = list(map(ksw.metrics.count_flops, network.members))
    metrics = ksw.metrics.evaluate_members(
        logits, labels, flops, milliseconds=measure_latency(network)
    )
    generated = [0] * len(flops)
    for kernel, parts in zip(
        allocation.kernels, allocation.composition, strict=True
    ):
        generated[kernel.member] += kernel.size if parts else 0
    for index, measured in enumerate(metrics["members"]):
        # Members inside one model are all of it.
        of = min(index, len(flops) - 1)
        member = allocation.members[of]
        metrics["members"][index] = {
            "name": member.name,
            **measured,
            "parameters": member.num_params,
            "parameters_generated": generated[of],
            "flops": flops[of],
        }
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    return {
        **metrics,
        "trainable_parameters": trainable,
        "budget_params": allocation.budget_params,
        "independent_params": allocation.independent_params,
    }


def equal_pairs(network):
    """Returns pairs `(i, j)` of members of equal architecture, or refuses."""
    members = network.materialize()
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(members)), 2)
        if ksw.metrics.same_architecture(members[i], members[j])
    ]
    if not pairs:
        raise ValueError(
            "`--interpolation` needs two members of equal architecture. "
            f"Received: {[member.name for member in members]}."
        )
    return pairs


def measure_interpolation(network, images, pairs, num_points):
    """Measures the straight lines between members, see `interpolate_members`.

    Takes the result of `equal_pairs` and the number of points on each line;
    returns a list of `{"members": [i, j], "split", "points"}`.
    """
    members = network.materialize()
    ways = []
    for i, j in pairs:
        points = ksw.metrics.interpolate_members(
            members[i], members[j], images.test(), num_points
        )
        way = {"members": [i, j], "split": images.test_split}
        ways.append(way | {"points": points})
    return ways


def extra_figures(metrics):
    """Returns a dict from tag to figure of the measurements on demand."""
    found = {}
    for way in metrics.get("interpolation", ()):
        i, j = way["members"]
        found[f"evaluation/interpolation_{i}_{j}"] = (
            figures.interpolation_curve(
                way["points"], f"member {i}", f"member {j}"
            )
        )
    if "corruptions" in metrics:
        curves = figures.corruption_curves(metrics["corruptions"])
        found["evaluation/corruptions"] = curves
    return found
