"""The accuracy of every subset of the members over its cost."""

from keras_superweights.figures.labels import FLOPS
from keras_superweights.figures.labels import readable_unit
from keras_superweights.figures.points import draw_front
from keras_superweights.figures.points import label_front
from keras_superweights.figures.style import new_figure
from keras_superweights.metrics.evaluation import pareto_frontier


def anytime_curve(anytime, cost="flops"):
    """Returns a figure of the accuracy of member subsets over their cost.

    The line joins the subsets that are more accurate than every other subset
    of at most their cost (`metrics.pareto_frontier`), each labelled with the
    indices of its members. If there are at most 15 subsets, the others have
    smaller labels where there is room.

    Args:
        anytime: List of `{"members", "flops", "accuracy"}`, as in the result
            of `keras_superweights.metrics.evaluate_members`.
        cost: `"flops"` or `"milliseconds"`, a key of every subset. Defaults
            to `"flops"`.

    Raises:
        ValueError: If the list is empty or does not have that cost.
    """
    frontier = pareto_frontier(anytime, cost)
    divisor, unit = 1, "milliseconds"
    if cost == "flops":
        divisor, unit = readable_unit((p[cost] for p in anytime), FLOPS)

    def place_of(point):
        return point[cost] / divisor, point["accuracy"]

    figure = new_figure(5.8, 4.2)
    axis = figure.subplots()
    legend = "subset of the members", "best within the cost"
    draw_front(axis, anytime, frontier, place_of, legend)
    axis.set(
        xlabel=f"cost of one example ({unit})", ylabel="accuracy (fraction)"
    )
    axis.set_title("Accuracy of the members and their ensembles", pad=10)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    label_front(
        axis,
        anytime,
        frontier,
        place_of,
        lambda point: "+".join(map(str, point["members"])),
    )
    return figure
