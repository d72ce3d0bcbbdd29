"""Calibration, interpolation between members, and corrupted images."""

import collections

import numpy as np

from keras_superweights.arguments import check_rows
from keras_superweights.arguments import check_type
from keras_superweights.figures import style
from keras_superweights.metrics.calibration import calibration_bins
from keras_superweights.metrics.calibration import expected_calibration_error


def reliability(probabilities, labels, num_bins=15):
    """Returns a reliability diagram, with the confidences below it.

    Above, each bar is the accuracy of the examples of one bin of confidence,
    and a mark their mean confidence; the bars of a calibrated network end on
    the diagonal. Below, the fraction of the examples in each bin. The bins and
    the expected calibration error (ECE) are those of
    `keras_superweights.metrics`.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        num_bins: Positive integer. Defaults to 15.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If a row is not a distribution, the shapes do not agree,
            or there is no bin.

    References:
        - Guo et al., On Calibration of Modern Neural Networks (ICML 2017),
          figure 1: https://arxiv.org/abs/1706.04599
    """
    bins = calibration_bins(probabilities, labels, num_bins)
    error = expected_calibration_error(probabilities, labels, num_bins)
    occupied = bins["fraction"] > 0

    figure = style.new_figure(4.6, 5.4)
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    figure.get_layout_engine().set(hspace=0.08)
    bar = {"width": 1 / num_bins, "align": "edge", "edgecolor": "white"}
    left = bins["edges"][:-1]
    above.bar(left, bins["accuracy"], color=style.BLUE, label="accuracy", **bar)
    above.plot(
        [0, 1], [0, 1], color=style.INK, linestyle="--", label="calibrated"
    )
    above.plot(
        bins["confidence"][occupied],
        bins["accuracy"][occupied],
        color=style.RED,
        linestyle="none",
        marker="o",
        markersize=4,
        clip_on=False,
        label="mean confidence",
    )
    above.set_title(f"ECE {error:.2%} ({num_bins} bins)", pad=10)
    above.set(ylabel="accuracy (fraction)", xlim=(0, 1), ylim=(0, 1))
    below.bar(left, bins["fraction"], color=style.GREY, **bar)
    below.set(xlabel="confidence", ylabel="examples\n(fraction)")
    style.tidy(above)
    style.tidy(below)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def interpolation_curve(points, first="first", second="second"):
    """Returns a figure of accuracy and NLL on the line between two members.

    If the accuracy dips between the ends, the members lie in different basins
    of the loss.

    Args:
        points: List of `{"position", "accuracy", "nll"}`, as
            `keras_superweights.metrics.interpolate_members` returns.
        first, second: The names of the members.

    Raises:
        ValueError: If there are fewer than two points.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), supplement, section 3.4 and figure 3
    """
    check_rows("points", points, ("position", "accuracy", "nll"))
    if len(points) < 2:
        raise ValueError(
            "`points` must hold at least the two members themselves. "
            f"Received: {len(points)} points."
        )
    figure = style.new_figure(8.4, 3.8)
    figure.suptitle("Linear interpolation between two members")
    positions = [point["position"] for point in points]
    for axis, metric in zip(
        figure.subplots(1, 2), ("accuracy", "nll"), strict=True
    ):
        values = [point[metric] for point in points]
        axis.plot(
            positions, values, color=style.BLUE, marker="o", clip_on=False
        )
        axis.set(
            xlabel=f"position (0: {first}, 1: {second})",
            ylabel=style.METRIC_LABELS[metric],
            xlim=(0, 1),
            ylim=(0, 1 if metric == "accuracy" else None),
        )
        style.tidy(axis)
    return figure


def corruption_curves(report):
    """Returns a figure of accuracy and NLL over the severity of corruptions.

    On the left, the accuracy of the whole network under each corruption. Then
    accuracy and NLL, averaged over the corruptions, of the network and, in an
    ensemble, of each member.

    Args:
        report: What `keras_superweights.metrics.evaluate_corrupted` returns.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), supplement, section 3.3 and table 1
    """
    is_report = isinstance(report, dict) and "corruptions" in report
    check_type("report", report, is_report, "that of `evaluate_corrupted`")
    rows = report["corruptions"]
    names = dict.fromkeys(row["corruption"] for row in rows)
    num_members = len(report.get("members", ()))
    each = []
    for i, name in enumerate(names):
        of_name = [row for row in rows if row["corruption"] == name]
        label = name.replace("_", " ")
        each.append((label, of_name, style.curve_color(i), 1.5))
    means = []
    for i in range(num_members):
        of_member = [row | row["members"][i] for row in rows]
        means.append((f"member {i}", of_member, style.curve_color(i), 1.1))
    whole = "ensemble" if num_members else "network"
    means.append((whole, rows, style.INK, 2.0))

    figure = style.new_figure(14.4, 3.8)
    for axis, metric, curves in zip(
        figure.subplots(1, 3),
        ("accuracy", "accuracy", "nll"),
        (each, means, means),
        strict=True,
    ):
        for label, results, color, linewidth in curves:
            values = collections.defaultdict(list)
            for result in results:
                values[result["severity"]].append(result[metric])
            severities = sorted(values)
            axis.plot(
                severities,
                [np.mean(values[severity]) for severity in severities],
                color=color,
                linewidth=linewidth,
                marker="o",
                label=label,
            )
        title = "Mean over the corruptions"
        if curves is each:
            title = "Each corruption, whole network"
        axis.set_title(title, pad=10)
        axis.set(
            xlabel="severity",
            ylabel=style.METRIC_LABELS[metric],
            xticks=sorted({row["severity"] for row in rows}),
        )
        style.legend_beside(axis)
        style.tidy(axis)
    return figure
