"""The cluster of every kernel, and the templates it is made of."""

import numpy as np

from keras_superweights.allocation import Allocation
from keras_superweights.arguments import check_type
from keras_superweights.figures import style
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.figures.labels import counted
from keras_superweights.figures.labels import kernel_names

# The most kernels of a member in one row.
MAX_ACROSS = 50

# The most kernels of a single network in one column; more than 3 columns get
# longer instead.
MAX_DOWN = 60
MAX_COLUMNS = 3

# How a kernel is made of templates, and the hatching of its cell.
HATCHES = {
    "mixed": "",
    "one template": "....",
    "upsampled": "////",
    "interpolated": "xxxx",
}


def cluster_membership(allocation):
    """Returns a figure of the cluster of each kernel of each member.

    Each cluster has a colour and a number; kernels that are not shared are
    grey. Hatching shows how a kernel is made of its cluster's templates: a
    mixture of several, one, or one upsampled.

    An ensemble has one row per member with its kernels in the order of depth
    (SWN, Figure 5), continued below after 50. A single network has one row
    per kernel with its name on the left and its templates on the right.

    Args:
        allocation: A `keras_superweights.Allocation`.
    """
    is_allocation = isinstance(allocation, Allocation)
    check_type("allocation", allocation, is_allocation, "an `Allocation`")
    cells = _cells(allocation)
    draw = _members_as_rows if len(allocation.members) > 1 else _kernels_as_rows
    figure = draw(allocation, cells)
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(_membership_title(allocation))
    ways = {hatch for _, _, hatch in cells}
    if ways - {""}:
        from matplotlib.patches import Patch

        white = {"facecolor": style.GREY, "edgecolor": "white", "linewidth": 0}
        figure.legend(
            handles=[
                Patch(label=way, hatch=hatch, **white)
                for way, hatch in HATCHES.items()
                if hatch in ways
            ],
            loc="outside lower center",
            ncols=len(HATCHES),
            frameon=False,
            fontsize="small",
        )
    return figure


def _cells(allocation):
    """Returns `(colour, number of the cluster, hatching)` of each kernel."""
    from matplotlib import colormaps

    clusters = clusters_as_formed(allocation)
    # Far apart on the colour wheel, since clusters with neighbouring numbers
    # are often neighbours in the figure.
    hues = np.cumsum([len(cluster) > 1 for cluster in clusters]) * 0.618 % 1
    pale = 0.3 + 0.7 * colormaps["hsv"](hues)[:, :3]
    cells = [(style.GREY, "", "")] * len(allocation.kernels)
    for number, (cluster, color) in enumerate(zip(clusters, pale, strict=True)):
        alone = len(cluster) == 1
        text = str(number) if len(clusters) > 1 else ""
        for kernel in cluster:
            way = _way(allocation, kernel)
            plain = alone and way == "one template"
            hatch = "" if plain else HATCHES[way]
            cells[kernel] = (style.GREY if alone else color, text, hatch)
    return cells


def _way(allocation, kernel):
    spec = allocation.kernels[kernel]
    for transform in allocation.transforms_of[kernel]:
        if transform.label(spec):
            return transform.label(spec)
    most = max(_template_counts(allocation, kernel))
    return "mixed" if most > 1 else "one template"


def _template_counts(allocation, kernel):
    """Returns the number of templates of each SuperWeight of a kernel."""
    return [
        len(allocation.superweights[s].templates_of(position))
        for s, position in allocation.composition[kernel]
    ]


def _made_of(allocation, kernel):
    """Describes in words what a kernel is made of."""
    counts = _template_counts(allocation, kernel)
    if not counts:
        return "not shared"
    if len(counts) > 1:
        some = "-".join(map(str, sorted({min(counts), max(counts)})))
        return f"{len(counts)} SuperWeights, {some} templates"
    text = counted(counts[0], "template")
    spec = allocation.kernels[kernel]
    for transform in allocation.transforms_of[kernel]:
        if transform.label(spec):
            times = spec.size / transform.input_size(spec)
            text += f", {transform.label(spec)} {times:.3g} times"
    return text


def _membership_title(allocation):
    sizes = [len(cluster) for cluster in clusters_as_formed(allocation)]
    shared = [size for size in sizes if size > 1]
    alone = len(allocation.kernels) - sum(shared)
    if not shared:
        return f"{counted(alone, 'kernel')}, none shared"
    title = f"{counted(len(shared), 'cluster')}, one colour and number each"
    if len(sizes) == 1:
        title = f"{sizes[0]} kernels in one cluster, 0"
    if alone:
        title += f"\n{counted(alone, 'kernel')} not shared"
    return title


def _members_as_rows(allocation, cells):
    longest = max(len(member.kernels) for member in allocation.members)
    lines = -(-longest // MAX_ACROSS) or 1
    across = -(-longest // lines)
    rows = len(allocation.members)
    figure = style.new_figure(
        max(6.0, 2.4 + 0.24 * across), 1.3 + lines * (0.3 + 0.45 * rows)
    )
    axes = figure.subplots(lines, 1, squeeze=False)[:, 0]
    cells = iter(cells)
    for row, member in enumerate(allocation.members):
        for place in range(len(member.kernels)):
            line, left = divmod(place, across)
            _draw_cell(axes[line], left, row, next(cells), 0.94, 0.8)
    names = [f"{n}: {m.name}" for n, m in enumerate(allocation.members)]
    for line, axis in enumerate(axes):
        axis.set_yticks(range(rows), style.shortened(names), fontsize="small")
        axis.set_ylim(rows - 0.5, -0.5)
        numbers = range(longest + 1)[line * across + 1 :][:across]
        centers = np.arange(len(numbers)) + 0.47
        axis.set_xticks(centers, numbers, fontsize=style.SMALL)
        axis.set_xlim(-0.1, across + 0.04)
        style.tidy(axis)
        axis.grid(visible=False, axis="y")
    axes[-1].set_xlabel("shareable kernel, in order of depth")
    return figure


def _kernels_as_rows(allocation, cells):
    count = len(cells)
    columns = min(MAX_COLUMNS, -(-count // MAX_DOWN) or 1)
    down = -(-count // columns)
    figure = style.new_figure(4.8 * columns, 1.2 + style.ROW * max(down, 3))
    names = style.shortened(kernel_names(allocation))
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for column, axis in enumerate(axes):
        kernels = range(count)[column * down : (column + 1) * down]
        for row, kernel in enumerate(kernels):
            _draw_cell(axis, 0, row, cells[kernel], 1, 0.86)
        rows = range(len(kernels))
        axis.set_yticks(rows, [names[k] for k in kernels], fontsize=style.SMALL)
        made_of = [_made_of(allocation, k) for k in kernels]
        style.beside(axis, rows, made_of, fontsize=style.SMALL)
        axis.set(xticks=[], xlim=(0, 1), ylim=(max(down, 3) - 0.5, -0.5))
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    return figure


def _draw_cell(axis, left, row, cell, width, height):
    from matplotlib.colors import to_rgb

    color, number, hatch = cell
    look = {"color": [color], "edgecolor": "white", "linewidth": 0}
    axis.barh(row, width, height, left, hatch=hatch, **look)
    red, green, blue = to_rgb(color)
    bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.45
    axis.text(
        left + width / 2,
        row,
        number,
        ha="center",
        va="center",
        fontsize=style.SMALL,
        color=style.INK if bright else "white",
        # Hatching ends around it.
        bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0},
    )
