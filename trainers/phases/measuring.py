"""Measures a trained network: always, and on demand."""

import itertools

import numpy as np

from keras_superweights import figures
from keras_superweights.anytime import measure_latency
from keras_superweights.datasets.corruptions import CORRUPTIONS
from keras_superweights.metrics import count_flops
from keras_superweights.metrics import evaluate_corrupted
from keras_superweights.metrics import evaluate_members
from keras_superweights.metrics import interpolate_members
from keras_superweights.metrics import same_architecture


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
    flops = [count_flops(member) for member in network.members]
    metrics = evaluate_members(
        logits, labels, flops, milliseconds=measure_latency(network)
    )
    generated = [0] * len(flops)
    for kernel, parts in zip(
        allocation.kernels, allocation.composition, strict=True
    ):
        generated[kernel.member] += kernel.size if parts else 0
    metrics["members"] = [
        {
            "name": member.name,
            **measured,
            "parameters": member.num_params,
            "parameters_generated": generated[index],
            "flops": flops[index],
        }
        for index, (member, measured) in enumerate(
            zip(allocation.members, metrics["members"], strict=True)
        )
    ]
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
        if same_architecture(members[i], members[j])
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
    return [
        {
            "members": [i, j],
            "split": images.test_split,
            "points": interpolate_members(
                members[i], members[j], images.test(), num_points
            ),
        }
        for i, j in pairs
    ]


def measure_corruptions(network, images, names):
    """Measures a network on corrupted copies of the test split.

    Takes names of corruptions, or `["all"]` for all that need no download;
    returns the dict of `metrics.evaluate_corrupted`, with `"split"`.
    """
    names = CORRUPTIONS if names == ["all"] else names
    return {
        "split": images.test_split,
        **evaluate_corrupted(network, images, names),
    }


def extra_figures(metrics):
    """Yields `(tag, figure)` of the measurements on demand."""
    for way in metrics.get("interpolation", ()):
        i, j = way["members"]
        yield (
            f"evaluation/interpolation_{i}_{j}",
            figures.interpolation_curve(
                way["points"], f"member {i}", f"member {j}"
            ),
        )
    if "corruptions" in metrics:
        yield (
            "evaluation/corruptions",
            figures.corruption_curves(metrics["corruptions"]),
        )
