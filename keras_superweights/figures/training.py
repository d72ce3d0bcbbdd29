"""Losses and accuracies over the epochs."""

import numpy as np

from keras_superweights.arguments import check_type
from keras_superweights.figures import style
from keras_superweights.figures.labels import counted


def training_curves(history):
    """Returns a figure of losses and accuracies over the epochs.

    One panel holds every series whose name ends in `loss`, one every series
    whose name ends in `accuracy`. Other series, such as a learning rate, and
    panels without series are left out. Validation is a solid line, training
    a dashed one of the same colour; the whole network is black, and each
    member has its own colour. If a few losses, as after a first epoch, would
    flatten all curves, the axis ends below them and says so.

    Args:
        history: Dict from name to a list of one number per epoch, as
            `keras.callbacks.History.history`: `"loss"`, `"val_loss"`,
            `"accuracy"`, `"val_member_0_accuracy"`, ...

    Raises:
        ValueError: If there is no loss and no accuracy, or a series does not
            have one number per epoch.
    """
    is_history = isinstance(history, dict)
    check_type("history", history, is_history, "a dict of lists")
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

    figure = style.new_figure(4.6 * len(panels) + 1.2, 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (quantity, names) in zip(axes, panels.items(), strict=True):
        _draw_series(axis, history, names, quantity)
    return figure


def _draw_series(axis, history, names, quantity):
    from matplotlib.ticker import MaxNLocator

    subject_of = {name: _subject(name, quantity) for name in names}
    subjects = sorted(set(subject_of.values()), key=lambda s: (len(s), s))
    members = list(filter(None, subjects))
    for name in sorted(names, key=lambda n: subjects.index(subject_of[n])):
        subject = subject_of[name]
        label = "validation" if name.startswith("val_") else "training"
        if len(subjects) > 1:
            # In training, an ensemble's loss is the sum that is minimised.
            whole = "sum of members" if name == "loss" else "ensemble"
            label = f"{subject or whole}, {label}"
        axis.plot(
            np.arange(1, len(history[name]) + 1),
            history[name],
            color=style.curve_color(members.index(subject))
            if subject
            else style.INK,
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
        style.legend_beside(axis)
    else:
        axis.legend(frameon=False, fontsize="small")
    style.tidy(axis)


def _cut_peaks(axis, curves):
    """Ends the axis below values over five times as large as the usual ones.

    Usual are nine tenths of the values of each curve, or all but one if it
    has fewer than ten.
    """
    finite = [curve[np.isfinite(curve)] for curve in np.array(curves, float)]
    usual = max(
        (np.quantile(x, 0.9, method="lower") for x in finite if x.size),
        default=0,
    )
    values = np.concatenate(finite)
    beyond = values[values > 5 * usual]
    if usual <= 0 or not beyond.size:
        return
    low, high = values.min(), values[values <= 5 * usual].max()
    margin = 0.05 * (high - low or high)
    axis.set_ylim(low - margin, high + margin)
    axis.set_ylabel(
        f"{axis.get_ylabel()}\n{counted(beyond.size, 'value')} beyond the "
        f"axis, up to {beyond.max():.4g}"
    )


def _subject(name, quantity):
    """Returns whose series it is: `"member 0"`, or `""` for the network."""
    stem = name.removeprefix("val_").removesuffix(quantity)
    return stem.strip("_").replace("_", " ")
