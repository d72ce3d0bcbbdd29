"""How good members and ensembles are, and how that changes."""

import numpy as np

from keras_superweights.figures.style import BLUE
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import INK
from keras_superweights.figures.style import METRIC_LABELS
from keras_superweights.figures.style import RED
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import tidy
from keras_superweights.metrics.calibration import calibration_bins
from keras_superweights.metrics.calibration import expected_calibration_error


def reliability(probabilities, labels, num_bins=15):
    """Draws a reliability diagram, with the confidences below it.

    Above, each bar is the accuracy of the examples of one bin of confidence,
    and a mark their mean confidence; a calibrated network has its bars end on
    the diagonal. Below, the fraction of the examples in each bin. The bins and
    the expected calibration error (ECE) are those of
    `keras_superweights.metrics`.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        num_bins: Positive integer. Defaults to 15.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If a row is no distribution, the shapes do not agree, or
            there is no bin.

    References:
        - Guo et al., On Calibration of Modern Neural Networks (ICML 2017),
          figure 1: https://arxiv.org/abs/1706.04599
    """
    bins = calibration_bins(probabilities, labels, num_bins)
    error = expected_calibration_error(probabilities, labels, num_bins)
    occupied = bins["fraction"] > 0

    figure = new_figure(4.6, 5.4)
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    figure.get_layout_engine().set(hspace=0.08)
    bar = {"width": 1 / num_bins, "align": "edge", "edgecolor": "white"}
    above.bar(
        bins["edges"][:-1],
        bins["accuracy"],
        color=BLUE,
        label="accuracy",
        **bar,
    )
    above.plot([0, 1], [0, 1], color=INK, linestyle="--", label="calibrated")
    above.plot(
        bins["confidence"][occupied],
        bins["accuracy"][occupied],
        color=RED,
        linestyle="none",
        marker="o",
        markersize=4,
        clip_on=False,
        label="mean confidence",
    )
    above.set_title(f"ECE {error:.2%} ({num_bins} bins)", pad=10)
    above.set(
        ylabel="accuracy (fraction)",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    below.bar(bins["edges"][:-1], bins["fraction"], color=GREY, **bar)
    below.set(xlabel="confidence", ylabel="examples\n(fraction)")
    for axis in (above, below):
        tidy(axis)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def interpolation_curve(points, first="first", second="second"):
    """Draws accuracy and NLL on the straight line between two members.

    An accuracy that dips between its ends says that the members lie in
    different basins of the loss.

    Args:
        points: List of `{"position", "accuracy", "nll"}`, as
            `keras_superweights.metrics.interpolate_members` returns.
        first, second: What the members are called.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are fewer than two points.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), supplement, section 3.4 and figure 3
    """
    if len(points) < 2:
        raise ValueError(
            "`points` must hold at least the two members themselves. "
            f"Received: {len(points)} points."
        )
    figure = new_figure(8.4, 3.8)
    figure.suptitle("Linear interpolation between two members")
    left, right = figure.subplots(1, 2)
    for axis, metric in ((left, "accuracy"), (right, "nll")):
        axis.plot(
            [point["position"] for point in points],
            [point[metric] for point in points],
            color=BLUE,
            marker="o",
            clip_on=False,
        )
        axis.set(
            xlabel=f"position (0: {first}, 1: {second})",
            ylabel=METRIC_LABELS[metric],
            xlim=(0, 1),
            ylim=(0, 1 if metric == "accuracy" else None),
        )
        tidy(axis)
    return figure


def corruption_curves(report):
    """Draws accuracy and NLL over the severity of corruptions.

    On the left the accuracy of the whole network under each corruption; then
    accuracy and NLL, means over the corruptions, of the network and, if it is
    an ensemble, of each member.

    Args:
        report: What `keras_superweights.metrics.evaluate_corrupted` returns.

    Returns:
        A `matplotlib.figure.Figure`.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), supplement, section 3.3 and table 1
    """
    from matplotlib import colormaps

    rows = report["corruptions"]
    severities = sorted({row["severity"] for row in rows})
    names = list(dict.fromkeys(row["corruption"] for row in rows))
    members = range(len(report.get("members", ())))
    palette = colormaps["tab10"].colors

    def draw(axis, label, value_of, **style):
        """One line: at each severity, the mean over its rows."""
        means = [
            np.mean([value_of(r) for r in rows if r["severity"] == severity])
            for severity in severities
        ]
        axis.plot(severities, means, marker="o", label=label, **style)

    figure = new_figure(14.4, 3.8)
    each, *both = figure.subplots(1, 3)
    for index, name in enumerate(names):
        of_name = sorted(
            (row for row in rows if row["corruption"] == name),
            key=lambda row: row["severity"],
        )
        each.plot(
            [row["severity"] for row in of_name],
            [row["accuracy"] for row in of_name],
            color=palette[index % len(palette)],
            marker="o",
            label=name.replace("_", " "),
        )
    each.set_title("Each corruption, whole network", pad=10)
    for axis, metric in zip(both, ("accuracy", "nll"), strict=True):
        for index in members:
            draw(
                axis,
                f"member {index}",
                lambda row, i=index, m=metric: row["members"][i][m],
                color=palette[index % len(palette)],
                linewidth=1.1,
            )
        draw(
            axis,
            "ensemble" if members else "network",
            lambda row, m=metric: row[m],
            color=INK,
            linewidth=2.0,
        )
        axis.set_title("Mean over the corruptions", pad=10)
    for axis, metric in zip(
        (each, *both), ("accuracy", "accuracy", "nll"), strict=True
    ):
        axis.set(
            xlabel="severity", ylabel=METRIC_LABELS[metric], xticks=severities
        )
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axis.legend(frameon=False, fontsize="small", **beside)
        tidy(axis)
    return figure
