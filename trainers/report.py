"""What a trained network is measured by, and the table that says it."""

import numpy as np
import tensorflow as tf

from keras_superweights.anytime import measure_latency
from keras_superweights.metrics import count_flops
from keras_superweights.metrics import evaluate_members
from keras_superweights.metrics import pareto_frontier

# Rows of the table of subsets; where there are more, some of the frontier.
_MAX_SUBSETS = 8


def predict_members(network, images):
    """Predicts a whole split with every member, in one pass.

    Args:
        network: A `SuperWeightNetwork`.
        images: Batches `(images, labels)` with labels as integers or one-hot.

    Returns:
        `(logits, labels)`: one float array `(examples, classes)` a member,
        and an integer array `(examples,)`.
    """
    member_outputs = tf.function(network.member_outputs, reduce_retracing=True)
    logits = [[] for _ in network.members]
    labels = []
    for batch, targets in images:
        for outputs, of_member in zip(
            member_outputs(batch), logits, strict=True
        ):
            of_member.append(outputs.numpy())
        targets = targets.numpy()
        labels.append(targets.argmax(1) if targets.ndim == 2 else targets)
    return [np.concatenate(each) for each in logits], np.concatenate(labels)


def measure(network, logits, labels):
    """Returns everything that is reported of a network, ready for JSON.

    Args:
        network: A `SuperWeightNetwork`.
        logits, labels: What `predict_members` returned.

    Returns:
        The dict of `keras_superweights.metrics.evaluate_members`, with the
        time of a single example, measured on this machine, and
        `"trainable_parameters"`, `"budget_params"`, `"independent_params"`
        (of the members when they share nothing), and for each of
        `"members"` also `"name"`, `"parameters"` (as a model of its own),
        `"parameters_generated"` (those of its kernels that come from banks)
        and `"flops"`.
    """
    allocation = network.allocation
    flops = [count_flops(member) for member in network.members]
    metrics = evaluate_members(
        logits, labels, flops, milliseconds=measure_latency(network)
    )
    generated = [0] * len(flops)
    for kernel, pieces in zip(
        allocation.kernels, allocation.pieces, strict=True
    ):
        generated[kernel.member] += kernel.size if pieces else 0
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


def table(metrics):
    """The table of what `measure` returned, as text."""
    members = metrics["members"]
    rows = [("", "accuracy", "NLL", "ECE", "parameters", "MFLOPs")]
    for index, member in enumerate(members):
        label = f"member {index}, {member['name']}"
        rows.append((label, *_numbers(member, member["parameters"])))
    if len(members) > 1:
        flops = sum(member["flops"] for member in members)
        trainable = metrics["trainable_parameters"]
        total = _numbers({**metrics, "flops": flops}, trainable)
        rows.append((f"ensemble of {len(members)}", *total))
    lines = _aligned(rows)
    if len(members) > 1:
        lines.insert(-1, lines[1])
        lines += ["", *_anytime(metrics["anytime"])]
    return "\n".join([*lines, "", *_remarks(metrics)])


def _aligned(rows):
    """Rows of cells as lines, the first one underlined."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(
                zip(row, widths, strict=True)
            )
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return lines


def _anytime(points):
    """The table of subsets; a star marks those on the Pareto frontier."""
    frontier = pareto_frontier(points)
    if len(points) > _MAX_SUBSETS:
        last = len(frontier) - 1
        shown = np.linspace(0, last, min(len(frontier), _MAX_SUBSETS))
        points = [frontier[round(place)] for place in shown]
    rows = [("members that answer", "accuracy", "NLL", "MFLOPs", "ms")]
    for point in points:
        star = "*" if point in frontier else " "
        rows.append(
            (
                f"{star} {', '.join(map(str, point['members']))}",
                f"{point['accuracy']:.2%}",
                f"{point['nll']:.3f}",
                f"{point['flops'] / 1e6:,.1f}",
                f"{point['milliseconds']:,.2f}",
            )
        )
    yield from _aligned(rows)
    yield "* more accurate than all that need no more FLOPs (ms: one example)"


def _numbers(measured, parameters):
    return (
        f"{measured['accuracy']:.2%}",
        f"{measured['nll']:.3f}",
        f"{measured['ece']:.2%}",
        f"{parameters:,}",
        f"{measured['flops'] / 1e6:,.1f}",
    )


def _remarks(metrics):
    trainable = metrics["trainable_parameters"]
    budget = metrics["budget_params"]
    alone = metrics["independent_params"]
    if len(metrics["members"]) > 1:
        diversity = metrics["diversity"]
        shown = "not defined: no errors" if diversity is None else diversity
        if diversity is not None:
            shown = f"{diversity:.2f} (disagreement of two members / error)"
        yield f"diversity   {shown}"
    yield (
        f"parameters  {trainable:,} of a budget of {budget:,} "
        f"({trainable / budget:.1%}) are trained and stored;"
    )
    yield (
        f"            {alone:,} without sharing, of which that is "
        f"{trainable / alone:.1%}"
    )
