"""What every subset of the members is worth, over what it costs."""

import numpy as np

from keras_superweights.figures.style import BLUE
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import INK
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import tidy
from keras_superweights.metrics.evaluation import pareto_frontier

# Of more subsets, those of five members, only the frontier is labelled.
MAX_LABELLED = 15

# Where a label may stand, in points from its own point, the best place first.
_SIDES = [
    {"position": (x, y), "ha": ha, "va": va}
    for x, y, ha, va in (
        (0, 5, "center", "bottom"),
        (0, -5, "center", "top"),
        (6, 0, "left", "center"),
        (-6, 0, "right", "center"),
        (4, 4, "left", "bottom"),
        (4, -4, "left", "top"),
        (-4, 4, "right", "bottom"),
        (-4, -4, "right", "top"),
    )
]


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
        divisor, unit = _flops_unit(max(point[cost] for point in anytime))

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
    _label(
        axis,
        [_members(point) for point in frontier + others],
        np.array(places(frontier + others)),
        len(frontier),
    )
    return figure


def _members(point):
    return "+".join(map(str, point["members"]))


def _label(axis, names, places, num_best):
    """Labels points, each on a side where it covers nothing.

    Args:
        axis: Where all points are drawn.
        names: The labels.
        places: Array `(points, 2)`, the `num_best` on the line first.
        num_best: How many points have a label even where there is no room.
    """
    from matplotlib.path import Path
    from matplotlib.transforms import Bbox

    # Where things are on the canvas is known after the layout only.
    axis.figure.draw_without_rendering()
    steps = np.repeat(places[:num_best], 2, axis=0)
    line = Path(
        axis.transData.transform(
            np.stack([steps[1:, 0], steps[:-1, 1]], axis=1)
        )
    )
    radius = 4 / 72 * axis.figure.dpi
    taken = [
        Bbox([center - radius, center + radius])
        for center in axis.transData.transform(places)
    ]
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        best = index < num_best
        label = axis.annotate(
            name,
            place,
            xytext=(0, 0),
            textcoords="offset points",
            color=INK,
            fontsize="medium" if best else "x-small",
            in_layout=False,
        )
        for side in _SIDES:
            label.set(**side)
            box = label.get_window_extent()
            if (
                axis.bbox.containsx(box.x0)
                and axis.bbox.containsx(box.x1)
                and axis.bbox.containsy(box.y0)
                and axis.bbox.containsy(box.y1)
                and not any(map(box.overlaps, taken))
                and not line.intersects_bbox(box, filled=False)
            ):
                taken.append(box)
                break
        else:
            if best:
                label.set(**_SIDES[0])
            else:
                label.remove()


def _flops_unit(flops):
    for divisor, unit in ((10**9, "GFLOPs"), (10**6, "MFLOPs")):
        if flops >= divisor:
            return divisor, unit
    return 1, "FLOPs"
