"""How training went: losses and accuracies over the epochs."""

import numpy as np

from keras_superweights.figures.style import INK
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import tidy


def training_curves(history):
    """Draws losses and accuracies over the epochs.

    One panel holds every series whose name ends in `loss`, one every series
    whose name ends in `accuracy`; other series (a learning rate) are left
    out, and so is a panel without series. Validation is a solid line, training
    a dashed one of the same colour; the whole network is black, each member
    has its colour. Losses so large that they would flatten all curves, as
    after a first epoch, lie beyond the axis, which says so.

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

    figure = new_figure(4.6 * len(panels) + 1.2, 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (quantity, names) in zip(axes, panels.items(), strict=True):
        _draw_series(axis, history, names, quantity)
    return figure


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
            # In training, an ensemble's loss is the sum that is minimised.
            whole = "sum of members" if name == "loss" else "ensemble"
            label = f"{subject or whole}, {label}"
        axis.plot(
            np.arange(1, len(history[name]) + 1),
            history[name],
            color=colors.get(subject, INK),
            linestyle="-" if name.startswith("val_") else "--",
            linewidth=1.1 if subject else 2.0,
            zorder=2 if subject else 3,
            label=label,
        )
    axis.set_title(f"{quantity.capitalize()} over the epochs", pad=10)
    unit = "fraction" if quantity == "accuracy" else "per example"
    axis.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
    if quantity == "loss":
        _cut_peaks(axis, [history[name] for name in names])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(subjects) > 1:
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axis.legend(frameon=False, fontsize="small", **beside)
    else:
        axis.legend(frameon=False, fontsize="small")
    tidy(axis)


def _cut_peaks(axis, curves):
    """Ends the axis below what is over five times as large as nearly all.

    Nearly all are nine tenths of the values of a curve, and all but one if
    there are no ten.
    """
    values = np.array(curves, dtype=float)
    values = values[np.isfinite(values)]
    usual = max(
        (
            np.quantile(finite, 0.9, method="lower")
            for curve in np.array(curves, dtype=float)
            if (finite := curve[np.isfinite(curve)]).size
        ),
        default=0,
    )
    beyond = values[values > 5 * usual]
    if usual <= 0 or not beyond.size:
        return
    low, high = values.min(), values[values <= 5 * usual].max()
    margin = 0.05 * (high - low or high)
    axis.set_ylim(low - margin, high + margin)
    count = f"{beyond.size} value" + "s" * (beyond.size > 1)
    axis.set_ylabel(
        f"{axis.get_ylabel()}\n{count} beyond the axis, up to "
        f"{beyond.max():.4g}"
    )


def _subject(name, quantity):
    """Returns whose series it is: `"member 0"`, or `""` for the network."""
    stem = name.removeprefix("val_").removesuffix(quantity)
    return stem.strip("_").replace("_", " ")
