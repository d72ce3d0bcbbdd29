"""Figures of a run, drawn from plain data.

Each function returns a `matplotlib.figure.Figure` that belongs to the caller:
no window is opened and nothing global changes. Save it with
`figure.savefig("curves.png")`.
"""

import numpy as np

from keras_superweights.metrics.calibration import calibration_bins
from keras_superweights.metrics.calibration import expected_calibration_error
from keras_superweights.metrics.evaluation import pareto_frontier

_INK = "#222222"
_BLUE = "#5b92c9"
_RED = "#c0392b"
_GREY = "#9aa0a6"


def training_curves(history):
    """Draws losses and accuracies over the epochs.

    One panel holds every series whose name ends in `loss`, one every series
    whose name ends in `accuracy`; other series (a learning rate) are left
    out, and so is a panel without series. Validation is a solid line, training
    a dashed one of the same colour; the whole network is black, each member
    has its colour.

    Args:
        history: Dict from name to a list of one number per epoch, as
            `keras.callbacks.History.history`: `"loss"`, `"val_loss"`,
            `"accuracy"`, `"val_member_0_accuracy"`, ...

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no loss and no accuracy, or a series has not
            one number per epoch.
    """
    panels = {
        quantity: names
        for quantity in ("loss", "accuracy")
        if (names := [name for name in history if name.endswith(quantity)])
    }
    if not panels:
        raise ValueError(
            "`history` must hold a series whose name ends in 'loss' or "
            f"'accuracy'. Received: {sorted(history)}."
        )
    drawn = [name for names in panels.values() for name in names]
    lengths = {name: len(history[name]) for name in drawn}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "Every series of `history` must hold one number per epoch. "
            f"Received: lengths {lengths}."
        )

    figure = _new_figure(4.6 * len(panels) + 1.2, 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (quantity, names) in zip(axes, panels.items(), strict=True):
        _draw_series(axis, history, names, quantity)
    return figure


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

    figure = _new_figure(4.6, 5.4)
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    figure.get_layout_engine().set(hspace=0.08)
    bar = {"width": 1 / num_bins, "align": "edge", "edgecolor": "white"}
    above.bar(
        bins["edges"][:-1],
        bins["accuracy"],
        color=_BLUE,
        label="accuracy",
        **bar,
    )
    above.plot([0, 1], [0, 1], color=_INK, linestyle="--", label="calibrated")
    above.plot(
        bins["confidence"][occupied],
        bins["accuracy"][occupied],
        color=_RED,
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
    below.bar(bins["edges"][:-1], bins["fraction"], color=_GREY, **bar)
    below.set(xlabel="confidence", ylabel="examples\n(fraction)")
    for axis in (above, below):
        _tidy(axis)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def anytime_curve(anytime, cost="flops"):
    """Draws the accuracy of every subset of the members over its cost.

    The line joins the subsets that no other subset beats: each is more
    accurate than all that cost no more (`metrics.pareto_frontier`). They are
    labelled with the indices of their members.

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

    figure = _new_figure(5.8, 4.2)
    axis = figure.subplots()
    axis.plot(
        [point[cost] / divisor for point in anytime],
        [point["accuracy"] for point in anytime],
        color=_GREY,
        linestyle="none",
        marker="o",
        label="subset of the members",
    )
    axis.plot(
        [point[cost] / divisor for point in frontier],
        [point["accuracy"] for point in frontier],
        color=_BLUE,
        drawstyle="steps-post",
        marker="o",
        label="best within the cost",
    )
    for point in frontier:
        axis.annotate(
            "+".join(str(index) for index in point["members"]),
            (point[cost] / divisor, point["accuracy"]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            color=_INK,
        )
    axis.set(
        xlabel=f"cost of one example ({unit})", ylabel="accuracy (fraction)"
    )
    axis.margins(x=0.08, y=0.14)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _tidy(axis)
    return figure


def interpolation_curve(points):
    """Draws the accuracy on the straight line between two members' weights.

    A curve that dips between its ends says that the members lie in different
    basins of the loss.

    Args:
        points: List of `{"position", "accuracy"}`, as
            `keras_superweights.metrics.interpolate_members` returns.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are fewer than two points.

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (seed 000), supplement, section 3.4 and figure 3
    """
    if len(points) < 2:
        raise ValueError(
            "`points` must hold at least the two members themselves. "
            f"Received: {len(points)} points."
        )
    figure = _new_figure(5.2, 3.8)
    axis = figure.subplots()
    axis.plot(
        [point["position"] for point in points],
        [point["accuracy"] for point in points],
        color=_BLUE,
        marker="o",
        clip_on=False,
    )
    axis.set(
        xlabel="position between the members (0: first, 1: second)",
        ylabel="accuracy (fraction)",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axis.set_title("Linear interpolation between two members", pad=10)
    _tidy(axis)
    return figure


def allocation_bars(allocation):
    """Draws where the parameters of an allocation are.

    One bar a bank, its label saying how many templates are shared by how many
    kernels; then the coefficients, kernels that share nothing, and the rest of
    the members (heads, biases, batch norm). All bars together are the
    trainable scalars of the network.

    Args:
        allocation: A `keras_superweights.Allocation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    bars = _bank_bars(allocation)
    num_banks = len(bars)
    private = sum(
        allocation.kernels[k].size for k in allocation.private_kernels
    )
    other = sum(member.other_params for member in allocation.members)
    bars += [
        ("coefficients", allocation.num_coefficients, ""),
        ("kernels not shared", private, ""),
        ("rest of the members", other, ""),
    ]
    divisor, unit = _count_unit(max(size for _, size, _ in bars))

    figure = _new_figure(7.2, 1.3 + 0.22 * len(bars))
    axis = figure.subplots()
    places = np.arange(len(bars))
    sizes = [size / divisor for _, size, _ in bars]
    colors = [_BLUE] * num_banks + [_GREY] * (len(bars) - num_banks)
    axis.barh(places, sizes, color=colors)
    for place, size, (_, _, label) in zip(places, sizes, bars, strict=True):
        axis.annotate(
            label,
            (size, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=_INK,
        )
    axis.set_yticks(places, [name for name, _, _ in bars], fontsize="small")
    axis.invert_yaxis()
    axis.margins(x=0.3, y=0.01)
    axis.set_xlabel(f"trainable scalars{unit}")
    axis.set_title(
        f"{allocation.num_params:,} trainable scalars in a budget of "
        f"{allocation.budget_params:,}",
        pad=10,
    )
    _tidy(axis)
    axis.grid(visible=False, axis="y")
    return figure


def _bank_bars(allocation):
    """Returns `(name, scalars, who shares it)` of every bank."""
    bars = []
    for bank, users in zip(allocation.banks, allocation.readers, strict=True):
        kernels = len({k for piece in users for k in piece.kernels})
        most = max(piece.num_templates for piece in users)
        up_to = "up to " if len(users) > 1 else ""
        label = f"{up_to}{_counted(most, 'template')}, "
        label += _counted(kernels, "kernel")
        bars.append((bank.name, bank.size, label))
    return bars


def _counted(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _count_unit(count):
    for divisor, unit in ((10**6, " (millions)"), (10**3, " (thousands)")):
        if count >= divisor:
            return divisor, unit
    return 1, ""


def _new_figure(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axis.set_axisbelow(True)


def _draw_series(axis, history, names, quantity):
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    subjects = sorted(
        {_subject(name, quantity) for name in names},
        key=lambda subject: (len(subject), subject),
    )
    palette = colormaps["tab10"].colors
    colors = {
        subject: palette[index % len(palette)]
        for index, subject in enumerate(filter(None, subjects))
    }
    for name in sorted(
        names, key=lambda name: subjects.index(_subject(name, quantity))
    ):
        subject = _subject(name, quantity)
        label = "validation" if name.startswith("val_") else "training"
        if len(subjects) > 1:
            label = f"{subject or 'ensemble'}, {label}"
        axis.plot(
            np.arange(1, len(history[name]) + 1),
            history[name],
            color=colors.get(subject, _INK),
            linestyle="-" if name.startswith("val_") else "--",
            linewidth=1.1 if subject else 2.0,
            zorder=2 if subject else 3,
            label=label,
        )
    unit = "fraction" if quantity == "accuracy" else "per example"
    axis.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(subjects) > 1:
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axis.legend(frameon=False, fontsize="small", **beside)
    else:
        axis.legend(frameon=False, fontsize="small")
    _tidy(axis)


def _subject(name, quantity):
    """Returns whose series it is: `"member 0"`, or `""` for the network."""
    stem = name.removeprefix("val_").removesuffix(quantity)
    return stem.strip("_").replace("_", " ")


def _flops_unit(flops):
    for divisor, unit in ((10**9, "GFLOPs"), (10**6, "MFLOPs")):
        if flops >= divisor:
            return divisor, unit
    return 1, "FLOPs"
