"""Figures of what kernels have in common: similarities, coefficients."""

import numpy as np

from keras_superweights.figures.style import INK
from keras_superweights.figures.style import MAX_ROWS
from keras_superweights.figures.style import ROW
from keras_superweights.figures.style import SMALL
from keras_superweights.figures.style import labelled_rows
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import shortened


def similarity_matrix(similarity, names, groups, threshold, title):
    """Draws the gradient similarity of a cluster's kernels as a heat map.

    Kernels are ordered by group, and each group is framed. The threshold is
    marked on the colour bar: a pair above it is in one group.

    Args:
        similarity: Symmetric array `(n, n)` of values in [-1, 1].
        names: The `n` names of the kernels.
        groups: Tuples of indices, each index in one of them.
        threshold: The threshold in force, tau or beta.
        title: Title, such as the cluster and the quantity.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.patches import Rectangle

    order = [index for group in groups for index in group]
    count = len(order)
    side = max(3.0, ROW * min(count, MAX_ROWS))
    figure = new_figure(side + 2.8, side + 1.9)
    axis = figure.subplots()
    image = axis.imshow(
        np.asarray(similarity)[np.ix_(order, order)],
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
    )
    start = 0
    for group in groups:
        axis.add_patch(
            Rectangle(
                (start - 0.5, start - 0.5),
                len(group),
                len(group),
                fill=False,
                edgecolor=INK,
                linewidth=1.4,
                clip_on=False,
            )
        )
        start += len(group)
    short = shortened(names)
    places = labelled_rows(count)
    labels = [short[order[place]] for place in places]
    axis.set_xticks(places, labels, rotation=90, fontsize=SMALL)
    axis.set_yticks(places, labels, fontsize=SMALL)
    axis.set_title(title, pad=10)
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("cosine of summed gradients")
    bar.ax.axhline(threshold, color=INK, linewidth=2)
    bar.ax.annotate(
        f"{threshold:g}",
        (0, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="small",
    )
    return figure


def coefficient_matrix(blocks, names, title, parts=()):
    """Draws the coefficients that mix the templates of a cluster.

    One row a kernel, one column a template, SuperWeights side by side. Where
    a column is not the same template in all rows, as in a flat store that
    each size of kernel reads in its own way, lines part the rows, and only
    between two lines a column is one template.

    Args:
        blocks: For each SuperWeight, an array `(kernels, templates)`, tied
            kernels repeated, NaN for kernels that do not use it.
        names: The names of the kernels.
        title: Title, such as the cluster.
        parts: Numbers of rows, from top to bottom, that mix the same
            templates; by default all do.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    coefficients = np.concatenate([np.asarray(b) for b in blocks], axis=1)
    count, columns = coefficients.shape
    limit = max(float(np.nanmax(np.abs(coefficients))), 1e-8)
    figure = new_figure(
        max(4.6, 3.4 + 0.18 * columns),
        max(2.4, 1.7 + ROW * min(count, MAX_ROWS)),
    )
    axis = figure.subplots()
    axis.set_facecolor("#e3e3e3")
    image = axis.imshow(
        coefficients, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto"
    )
    widths = [len(np.transpose(block)) for block in blocks]
    for end in np.cumsum(widths)[:-1]:
        axis.axvline(end - 0.5, color=INK, linewidth=1.4)
    for end in np.cumsum(parts)[:-1]:
        axis.axhline(end - 0.5, color=INK, linewidth=0.8)
    short = shortened(names)
    places = labelled_rows(count)
    axis.set_yticks(places, [short[p] for p in places], fontsize=SMALL)
    numbers = [number for width in widths for number in range(width)]
    axis.set_xticks(range(columns), numbers, fontsize=SMALL)
    label = "template"
    if len(widths) > 1:
        label += ", one block a SuperWeight"
    if len(parts) > 1:
        label += "\n(the same only between lines)"
    axis.set_xlabel(label)
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(title)
    bar = figure.colorbar(image, ax=axis)
    bar.set_label("coefficient (grey: not used)")
    return figure
