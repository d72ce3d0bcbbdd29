"""What every epoch did to kernels and coefficients."""

import numpy as np

from keras_superweights.figures import style
from keras_superweights.figures.labels import kernel_names

_LABELS = {
    "relative step": "|change in an epoch| / |kernel|",
    "agreement": "|sum of gradients|² / sum of |gradient|²",
    "effective rank": "effective rank / templates",
    "coefficients": "|change since the start| / |start|",
    "last template": "part of the squared norm",
}
_TITLES = {
    "relative step": "Relative step of each kernel",
    "agreement": "Agreement of the users of a template",
    "effective rank": "Effective rank of coefficients",
    "coefficients": "Movement of coefficients",
    "last template": "What the last template carries",
}


def diagnosis_heatmap(allocation, history, measure, first_epoch=1):
    """Returns a heat map of one measure of a `SharingDiagnosis`.

    Rows are kernels, member by member, or banks; columns are epochs. What a
    measure does not apply to is white.

    Args:
        allocation: The network's `Allocation`.
        history: The `history` of the diagnosis.
        measure: One of its keys.
        first_epoch: Number of the first epoch measured.
    """
    cells = np.array(history[measure]).T
    if measure == "relative step":
        names = kernel_names(allocation)
    else:
        names = [
            allocation.banks[superweight.bank].name
            for superweight in allocation.superweights
        ]
    height = max(1.6, style.ROW * min(len(cells), style.MAX_ROWS))
    figure = style.new_figure(7, height + 1.4)
    axis = figure.subplots()
    log = measure in ("relative step", "agreement")
    image = axis.imshow(
        cells,
        aspect="auto",
        cmap="RdBu_r" if measure == "agreement" else "viridis",
        norm=_norm(cells, log, around_one=measure == "agreement"),
        extent=(
            first_epoch - 0.5,
            first_epoch + cells.shape[1] - 0.5,
            len(cells) - 0.5,
            -0.5,
        ),
        interpolation="nearest",
    )
    style.label_rows(axis.yaxis, names=names)
    axis.set(xlabel="epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_title(_TITLES[measure], pad=10)
    bar = figure.colorbar(image, ax=axis, format="%.3g")
    bar.ax.yaxis.set_minor_formatter("{x:.3g}")
    bar.ax.tick_params(which="both", labelsize=style.SMALL)
    bar.set_label(_LABELS[measure], fontsize="small")
    return figure


def _norm(cells, log, around_one):
    from matplotlib.colors import LogNorm
    from matplotlib.colors import Normalize

    positive = cells[np.isfinite(cells) & (cells > 0)]
    if not log or not len(positive):
        return Normalize(0, positive.max() if len(positive) else 1)
    low, high = positive.min(), positive.max()
    if around_one:
        high = max(high, 1 / low, 1.1)
        low = 1 / high
    return LogNorm(low, max(high, low * 1.01))
