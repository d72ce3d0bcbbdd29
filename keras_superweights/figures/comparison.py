"""Methods side by side: quality over parameters and over FLOPs."""

import statistics

from keras_superweights.figures import style
from keras_superweights.figures.labels import FLOPS
from keras_superweights.figures.labels import readable_unit
from keras_superweights.figures.pareto import scale_of_counts


def comparison(points):
    """Returns a figure of accuracy and NLL over parameters and over FLOPs.

    A method has one colour; its budgets are joined by a line. Marks are means
    over seeds, bars reach one standard deviation to both sides.

    Args:
        points: List of dicts, one per method and budget: `"method"`, its name,
            and lists with a number per seed: `"parameters"`, `"flops"` (of one
            example), `"accuracy"`, `"nll"`.

    Raises:
        ValueError: If there is no point.
    """
    if not points:
        raise ValueError(
            "`points` must hold at least one method. Received: an empty list."
        )
    figure = style.new_figure(10.0, 7.0)
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    methods = list(dict.fromkeys(point["method"] for point in points))
    for row, quality in zip(axes, ("accuracy", "nll"), strict=True):
        row[0].set_ylabel(style.METRIC_LABELS[quality])
        for axis, cost in zip(row, ("parameters", "flops"), strict=True):
            for index, method in enumerate(methods):
                own = [point for point in points if point["method"] == method]
                _draw(axis, own, cost, quality, index)
            axis.margins(0.1)
            style.tidy(axis)
    parameters = [n for point in points for n in point["parameters"]]
    scale_of_counts(axes[1, 0].xaxis, parameters)
    axes[1, 0].set_xlabel("trained parameters")
    divisor, unit = readable_unit(
        [n for point in points for n in point["flops"]], FLOPS
    )
    axes[1, 1].xaxis.set_major_formatter(lambda n, _: f"{n / divisor:g}")
    axes[1, 1].set_xlabel(f"cost of one example ({unit})")
    figure.suptitle("What a budget buys")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def _draw(axis, points, cost, quality, index):
    points = sorted(points, key=lambda point: statistics.mean(point[cost]))
    spreads = [
        statistics.stdev(point[quality]) if len(point[quality]) > 1 else 0.0
        for point in points
    ]
    axis.errorbar(
        [statistics.mean(point[cost]) for point in points],
        [statistics.mean(point[quality]) for point in points],
        spreads,
        color=style.curve_color(index),
        marker="osD^vP*X"[index % 8],
        linewidth=1.1,
        capsize=2,
        label=points[0]["method"],
    )
