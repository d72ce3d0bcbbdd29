"""What trained networks are worth, over the parameters that they have."""

import numpy as np

from keras_superweights.figures.points import label_points
from keras_superweights.figures.style import BLUE
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import METRIC_LABELS
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import tidy
from keras_superweights.metrics.evaluation import best_within

# Of more points, only those on a front are labelled.
MAX_LABELLED = 15


def pareto_front(points, subject="trial"):
    """Draws accuracy and NLL of networks over their trained parameters.

    A line joins the networks that are better than all that have no more
    parameters (the Pareto front). They are labelled with their names; of up to
    15 networks, the others are too, in smaller letters and where there is
    room.

    Args:
        points: List of `{"name", "parameters", "accuracy", "nll"}`.
        subject: What a point is called. Defaults to `"trial"`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no point.
    """
    if not points:
        raise ValueError(
            "`points` must hold at least one network. Received: an empty list."
        )
    figure = new_figure(10.0, 4.4)
    axes = figure.subplots(1, 2)
    for axis, quality in zip(axes, ("accuracy", "nll"), strict=True):
        _draw(axis, points, quality, subject)
    figure.suptitle("The best within so many parameters")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False
    )
    return figure


def _draw(axis, points, quality, subject):
    best = best_within(points, "parameters", quality)
    others = [point for point in points if point not in best]

    def places(chosen):
        return np.array([(p["parameters"], p[quality]) for p in chosen])

    if others:
        axis.plot(
            *places(others).T,
            color=GREY,
            linestyle="none",
            marker="o",
            label=f"other {subject}",
        )
    axis.plot(
        *places(best).T,
        color=BLUE,
        drawstyle="steps-post",
        marker="o",
        label="Pareto front",
    )
    better = "higher" if quality == "accuracy" else "lower"
    axis.set_title(f"{better} is better", pad=10)
    axis.set(xlabel="trained parameters", ylabel=METRIC_LABELS[quality])
    _scale(axis.xaxis, [point["parameters"] for point in points])
    axis.margins(x=0.08, y=0.14)
    tidy(axis)
    if len(points) > MAX_LABELLED:
        others = []
    label_points(
        axis,
        [str(point["name"]) for point in best + others],
        places(best + others),
        len(best),
    )


def _scale(axis, numbers):
    """A log scale for what spans a factor of three and more."""
    from matplotlib.ticker import FuncFormatter
    from matplotlib.ticker import LogLocator
    from matplotlib.ticker import MaxNLocator
    from matplotlib.ticker import NullLocator

    if max(numbers) > 3 * min(numbers):
        axis.axes.set_xscale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda n, _: shortened_number(n)))


def shortened_number(number):
    """`"900"`, `"70k"`, `"350k"`, `"36.5M"`."""
    if number >= 1_000_000:
        return f"{number / 1e6:.4g}M"
    return f"{number / 1e3:.4g}k" if number >= 1000 else f"{number:.4g}"
