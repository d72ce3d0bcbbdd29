"""The quality of trained networks over their parameters."""

from keras_superweights.arguments import check_rows
from keras_superweights.figures import style
from keras_superweights.figures.points import draw_front
from keras_superweights.figures.points import label_front
from keras_superweights.metrics.evaluation import best_within


def pareto_front(points, subject="trial"):
    """Returns a figure of accuracy and NLL over trained parameters.

    A line joins the Pareto front: the networks that are better than every
    other network of at most as many parameters, each labelled with its name.
    If there are at most 15 networks, the others have smaller labels where
    there is room.

    Args:
        points: List of `{"name", "parameters", "accuracy", "nll"}`.
        subject: What a point is called. Defaults to `"trial"`.

    Raises:
        ValueError: If there is no point.
    """
    check_rows("points", points, ("name", "parameters", "accuracy", "nll"))
    if not points:
        raise ValueError(
            "`points` must hold at least one network. Received: an empty list."
        )
    figure = style.new_figure(10.0, 4.4)
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

    def place_of(point):
        return point["parameters"], point[quality]

    draw_front(
        axis, others, best, place_of, (f"other {subject}", "Pareto front")
    )
    better = "higher" if quality == "accuracy" else "lower"
    axis.set_title(f"{better} is better", pad=10)
    axis.set(xlabel="trained parameters", ylabel=style.METRIC_LABELS[quality])
    scale_of_counts(axis.xaxis, [point["parameters"] for point in points])
    label_front(axis, others, best, place_of, lambda p: str(p["name"]))


def scale_of_counts(axis, numbers):
    """Sets a log scale if the numbers span more than a factor of 3."""
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
    """Returns `"900"`, `"70k"`, `"350k"`, `"36.5M"`."""
    if number >= 1_000_000:
        return f"{number / 1e6:.4g}M"
    return f"{number / 1e3:.4g}k" if number >= 1000 else f"{number:.4g}"
