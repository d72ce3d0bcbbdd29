"""How accuracy depends on a threshold or a budget."""

from keras_superweights.arguments import check_rows
from keras_superweights.figures import style
from keras_superweights.figures.labels import FLOPS
from keras_superweights.figures.labels import readable_unit
from keras_superweights.metrics.evaluation import pareto_frontier


def sensitivity_curves(runs, subject):
    """Returns a figure of the accuracies of runs that differ in one value.

    On the left, the accuracy of the ensemble and of each member over that
    value. On the right, for each value, the best accuracy within a cost, as
    `anytime_curve` draws it for one run.

    Args:
        runs: List of `{"label", "accuracy", "members", "anytime"}` in the
            order of the values. The label names the value; the others are as
            in the result of `metrics.evaluate_members`. Members may have a
            `"name"`.
        subject: What the runs differ in, such as `"tau"`.

    Raises:
        ValueError: If there is no run, or their members differ in number.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), figure 4 and table 3
    """
    check_rows("runs", runs, ("label", "accuracy", "members", "anytime"))
    counts = {len(run["members"]) for run in runs}
    if len(counts) != 1:
        raise ValueError(
            "`runs` must hold at least one run, and all runs must have equally "
            f"many members. Received: {len(runs)} runs with {sorted(counts)}."
        )
    figure = style.new_figure(12.0, 4.4)
    left, right = figure.subplots(1, 2)
    _draw_accuracies(left, runs)
    left.set_xlabel(subject)
    _draw_anytime(right, runs, subject)
    for axis in (left, right):
        axis.set_ylabel(style.METRIC_LABELS["accuracy"])
        axis.margins(y=0.1)
        style.tidy(axis)
    style.legend_beside(left)
    style.legend_beside(right, title=subject)
    return figure


def _draw_accuracies(axis, runs):
    members = runs[0]["members"]
    for index, member in enumerate(members):
        axis.plot(
            [run["members"][index]["accuracy"] for run in runs],
            color=style.curve_color(index),
            linewidth=1.1,
            marker="o",
            label=member.get("name", f"member {index}"),
        )
    axis.plot(
        [run["accuracy"] for run in runs],
        color=style.INK,
        linewidth=2.0,
        marker="o",
        label="ensemble" if len(members) > 1 else "network",
    )
    axis.set_xticks(range(len(runs)), [run["label"] for run in runs])
    axis.set_xlim(-0.3, len(runs) - 0.7)
    axis.set_title("Ensemble and members", pad=10)


def _draw_anytime(axis, runs, subject):
    from matplotlib import colormaps

    divisor, unit = readable_unit(
        (point["flops"] for run in runs for point in run["anytime"]), FLOPS
    )
    for index, run in enumerate(runs):
        best = pareto_frontier(run["anytime"])
        axis.plot(
            [point["flops"] / divisor for point in best],
            [point["accuracy"] for point in best],
            # From dark to light, except for what is too light on white.
            color=colormaps["viridis"](0.9 * index / max(1, len(runs) - 1)),
            drawstyle="steps-post",
            marker="o",
            label=run["label"].replace("\n", " "),
        )
    axis.set_xlabel(f"cost of one example ({unit})")
    axis.set_title(f"Best within the cost, by {subject}", pad=10)
