"""Figures of what kernels have in common: similarities, coefficients."""

import itertools

import numpy as np

from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer
from keras_superweights.arguments import quoted
from keras_superweights.figures import style


def similarity_matrix(similarity, names, groups, threshold, title):
    """Returns a heat map of the gradient similarity of a cluster's kernels.

    Kernels are ordered by group, and each group is framed. The colour bar
    marks the threshold: pairs above it are in one group.

    Args:
        similarity: Symmetric array `(n, n)` of values in [-1, 1].
        names: The `n` names of the kernels.
        groups: Tuples of indices; each index is in one of them.
        threshold: The threshold in force, tau or beta.
        title: Title, such as the cluster and the quantity.
    """
    _check_names(names)
    check_number("threshold", threshold, least=-1.01, most=1.01)  # rounding
    count = len(names)
    are_groups = isinstance(groups, (list, tuple)) and all(
        isinstance(group, (list, tuple, range)) for group in groups
    )
    check_type("groups", groups, are_groups, "a list of tuples of indices")
    if sorted(itertools.chain(*groups)) != list(range(count)):
        raise ValueError(
            f"`groups` must hold each index of {count} kernels once. Received: "
            f"groups={quoted(groups)}."
        )
    if np.shape(similarity) != (count, count):
        raise ValueError(
            f"`similarity` must be an array of shape {(count, count)}. "
            f"Received: similarity={quoted(similarity)}."
        )
    from matplotlib.patches import Rectangle

    order = [index for group in groups for index in group]
    count = len(order)
    side = max(3.0, style.ROW * min(count, style.MAX_ROWS))
    figure = style.new_figure(side + 2.8, side + 1.9)
    axis = figure.subplots()
    cells = np.asarray(similarity)[np.ix_(order, order)]
    image = axis.imshow(cells, cmap="RdBu_r", vmin=-1, vmax=1)
    start = -0.5
    frame = {"fill": False, "edgecolor": style.INK, "linewidth": 1.4}
    for size in map(len, groups):
        corner = (start, start)
        axis.add_patch(Rectangle(corner, size, size, clip_on=False, **frame))
        start += size
    ordered = [names[index] for index in order]
    style.label_rows(axis.xaxis, axis.yaxis, names=ordered)
    axis.tick_params(axis="x", rotation=90)
    axis.set_title(title, pad=10)
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("cosine of summed gradients")
    bar.ax.axhline(threshold, color=style.INK, linewidth=2)
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
    """Returns a heat map of the coefficients that mix a cluster's templates.

    One row per kernel, one column per template, SuperWeights side by side.
    Kernels of different sizes divide a flat store into different templates;
    lines then separate the rows, and a column is one template only between
    two lines.

    Args:
        blocks: For each SuperWeight, an array `(kernels, templates)` with the
            rows of tied kernels repeated, NaN for kernels that do not use it.
        names: The names of the kernels.
        title: Title, such as the cluster.
        parts: Numbers of rows, from top to bottom, that mix the same
            templates. Defaults to all rows.
    """
    _check_names(names)
    are_matrices = isinstance(blocks, (list, tuple)) and all(
        np.shape(block)[:-1] == (len(names),) for block in blocks
    )
    expected = f"a list of arrays with {len(names)} rows"
    check_type("blocks", blocks, are_matrices and bool(blocks), expected)
    are_rows = isinstance(parts, (list, tuple, range)) and all(
        map(is_integer, parts)
    )
    check_type("parts", parts, are_rows, "a list of numbers of rows")
    coefficients = np.concatenate([np.asarray(b) for b in blocks], axis=1)
    count, columns = coefficients.shape
    limit = max(float(np.nanmax(np.abs(coefficients))), 1e-8)
    figure = style.new_figure(
        max(4.6, 3.4 + 0.18 * columns),
        max(2.4, 1.7 + style.ROW * min(count, style.MAX_ROWS)),
    )
    axis = figure.subplots()
    axis.set_facecolor("#e3e3e3")
    image = axis.imshow(
        coefficients, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto"
    )
    widths = [len(np.transpose(block)) for block in blocks]
    for end in np.cumsum(widths)[:-1]:
        axis.axvline(end - 0.5, color=style.INK, linewidth=1.4)
    for end in np.cumsum(parts)[:-1]:
        axis.axhline(end - 0.5, color=style.INK, linewidth=0.8)
    style.label_rows(axis.yaxis, names=names)
    numbers = [number for width in widths for number in range(width)]
    axis.set_xticks(range(columns), numbers, fontsize=style.SMALL)
    label = "template"
    if len(widths) > 1:
        label += ", one block per SuperWeight"
    if len(parts) > 1:
        label += "\n(the same only between lines)"
    axis.set_xlabel(label)
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(title)
    bar = figure.colorbar(image, ax=axis)
    bar.set_label("coefficient (grey: not used)")
    return figure


def _check_names(names):
    are_names = isinstance(names, (list, tuple)) and all(
        isinstance(name, str) for name in names
    )
    check_type("names", names, are_names, "a list of text")
