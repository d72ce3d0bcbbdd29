"""Figures of who shares what: allocations, similarities, coefficients."""

import numpy as np

from keras_superweights.figures.style import BLUE
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import INK
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import shortened
from keras_superweights.figures.style import tidy

# Height in inches of the row of a kernel, and points of the letters in it.
ROW = 0.14
SMALL = 7


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
    side = max(3.0, ROW * count)
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
    labels = [shortened(names[index]) for index in order]
    axis.set_xticks(range(count), labels, rotation=90, fontsize=SMALL)
    axis.set_yticks(range(count), labels, fontsize=SMALL)
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


def cluster_membership(allocation):
    """Draws which cluster each layer of each member belongs to.

    One row a member, its layers from left to right in the order of depth, one
    colour and number a cluster (SWN, Figure 5). Layers that share with no
    other are grey.

    Args:
        allocation: A `keras_superweights.Allocation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib import colormaps

    shared = [
        number
        for number, cluster in enumerate(allocation.clusters)
        if len(cluster) > 1
    ]
    number_of = {k: n for n in shared for k in allocation.clusters[n]}
    # Far apart on the colour wheel, since neighbours in number are often
    # neighbours in the figure.
    hues = np.arange(len(shared)) * 0.618 % 1
    pale = 0.3 + 0.7 * colormaps["hsv"](hues)[:, :3]
    colors = dict(zip(shared, pale, strict=True))
    longest = max(len(member.kernels) for member in allocation.members)
    rows = len(allocation.members)
    figure = new_figure(max(6.0, 2.4 + 0.24 * longest), 1.6 + 0.45 * rows)
    axis = figure.subplots()
    index = 0
    for row, member in enumerate(allocation.members):
        for place in range(len(member.kernels)):
            number = number_of.get(index)
            color = GREY if number is None else colors[number]
            axis.barh(row, 0.94, left=place, height=0.8, color=[color])
            if number is not None:
                axis.text(
                    place + 0.47,
                    row,
                    number,
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    color=_readable_on(color),
                )
            index += 1
    names = [
        shortened(f"{number}: {member.name}")
        for number, member in enumerate(allocation.members)
    ]
    axis.set_yticks(range(rows), names, fontsize="small")
    axis.invert_yaxis()
    axis.set_xticks(
        np.arange(longest) + 0.47, range(1, longest + 1), fontsize=SMALL
    )
    axis.set_xlim(-0.1, longest + 0.04)
    axis.set_xlabel("shareable layer, in order of depth")
    title = f"{_counted(len(shared), 'cluster')}, one colour and number each"
    alone = len(allocation.kernels) - len(number_of)
    if alone:
        title += f"; {_counted(alone, 'layer')} not shared"
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(title)
    tidy(axis)
    axis.grid(visible=False, axis="y")
    return figure


def _readable_on(color):
    red, green, blue = color[:3]
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.45 else "white"


def coefficient_matrix(blocks, names, title):
    """Draws the coefficients that mix the templates of a cluster.

    One row a kernel, one column a template, SuperWeights side by side.

    Args:
        blocks: For each SuperWeight, an array `(kernels, templates)`, tied
            kernels repeated, NaN for kernels that do not use it.
        names: The names of the kernels.
        title: Title, such as the cluster.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    coefficients = np.concatenate([np.asarray(b) for b in blocks], axis=1)
    count, columns = coefficients.shape
    limit = max(float(np.nanmax(np.abs(coefficients))), 1e-8)
    figure = new_figure(
        max(4.6, 3.4 + 0.18 * columns), max(2.4, 1.7 + ROW * count)
    )
    axis = figure.subplots()
    axis.set_facecolor("#e3e3e3")
    image = axis.imshow(
        coefficients, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto"
    )
    widths = [len(np.transpose(block)) for block in blocks]
    for end in np.cumsum(widths)[:-1]:
        axis.axvline(end - 0.5, color=INK, linewidth=1.4)
    axis.set_yticks(range(count), map(shortened, names), fontsize=SMALL)
    numbers = [number for width in widths for number in range(width)]
    axis.set_xticks(range(columns), numbers, fontsize=SMALL)
    axis.set_xlabel("template, one block a SuperWeight")
    axis.set_title(title, pad=10)
    bar = figure.colorbar(image, ax=axis)
    bar.set_label("coefficient (grey: not used)")
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

    figure = new_figure(7.2, 1.3 + 0.22 * len(bars))
    axis = figure.subplots()
    places = np.arange(len(bars))
    sizes = [size / divisor for _, size, _ in bars]
    colors = [BLUE] * num_banks + [GREY] * (len(bars) - num_banks)
    axis.barh(places, sizes, color=colors)
    for place, size, (_, _, label) in zip(places, sizes, bars, strict=True):
        axis.annotate(
            label,
            (size, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=INK,
        )
    axis.set_yticks(
        places, [shortened(name) for name, _, _ in bars], fontsize="small"
    )
    axis.invert_yaxis()
    axis.margins(x=0.3, y=0.01)
    axis.set_xlabel(f"trainable scalars{unit}")
    axis.set_title(
        f"{allocation.num_params:,} trainable scalars in a budget of "
        f"{allocation.budget_params:,}",
        pad=10,
    )
    tidy(axis)
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
