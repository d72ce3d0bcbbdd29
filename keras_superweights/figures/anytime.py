"""What every subset of the members is worth, over what it costs."""

import numpy as np

from keras_superweights.figures.points import label_points
from keras_superweights.figures.style import BLUE
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import tidy
from keras_superweights.metrics.evaluation import pareto_frontier

# Of more subsets, those of five members, only the frontier is labelled.
MAX_LABELLED = 15


def anytime_curve(anytime, cost="flops"):
    """Draws the accuracy of every subset of the members over its cost.

    The line joins the subsets that no other subset beats: each is more
    accurate than all that cost no more (`metrics.pareto_frontier`). They are
    labelled with the indices of their members; of up to 15 subsets, the
    others are too, in smaller letters and where there is room.

    Args:
        anytime: List of `{"members", "flops", "accuracy"}`, as in the result
            of `keras_superweights.metrics.evaluate_members`.
        cost: `"flops"` or `"milliseconds"`, which the subsets must then
            have. Defaults to `"flops"`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the list is empty or does not have that cost.
    """
    frontier = pareto_frontier(anytime, cost)
    divisor, unit = 1, "milliseconds"
    if cost == "flops":
        divisor, unit = flops_unit(max(point[cost] for point in anytime))

    def places(points):
        return [(point[cost] / divisor, point["accuracy"]) for point in points]

    figure = new_figure(5.8, 4.2)
    axis = figure.subplots()
    axis.plot(
        *zip(*places(anytime), strict=True),
        color=GREY,
        linestyle="none",
        marker="o",
        label="subset of the members",
    )
    axis.plot(
        *zip(*places(frontier), strict=True),
        color=BLUE,
        drawstyle="steps-post",
        marker="o",
        label="best within the cost",
    )
    axis.set(
        xlabel=f"cost of one example ({unit})", ylabel="accuracy (fraction)"
    )
    axis.set_title("Accuracy of the members and their ensembles", pad=10)
    axis.margins(x=0.08, y=0.14)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    tidy(axis)
    others = [point for point in anytime if point not in frontier]
    if len(anytime) > MAX_LABELLED:
        others = []
    label_points(
        axis,
        [_members(point) for point in frontier + others],
        np.array(places(frontier + others)),
        len(frontier),
    )
    return figure


def _members(point):
    return "+".join(map(str, point["members"]))


def flops_unit(flops):
    for divisor, unit in ((10**9, "GFLOPs"), (10**6, "MFLOPs")):
        if flops >= divisor:
            return divisor, unit
    return 1, "FLOPs"
