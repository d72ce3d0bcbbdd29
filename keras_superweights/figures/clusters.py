"""Which kernels share with one another, and what each is made of."""

import numpy as np

from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.figures.labels import counted
from keras_superweights.figures.labels import kernel_names
from keras_superweights.figures.style import GREY
from keras_superweights.figures.style import INK
from keras_superweights.figures.style import ROW
from keras_superweights.figures.style import SMALL
from keras_superweights.figures.style import beside
from keras_superweights.figures.style import new_figure
from keras_superweights.figures.style import shortened
from keras_superweights.figures.style import tidy

# Kernels of a member in one row, before it goes on below.
MAX_ACROSS = 50

# Kernels of a single network in one column, before it goes on beside, and how
# many columns, before they get longer.
MAX_DOWN = 60
MAX_COLUMNS = 3

# How a kernel is made of templates, and the hatching that says so.
HATCHES = {
    "mixed": "",
    "one template": "....",
    "upsampled": "////",
    "interpolated": "xxxx",
}


def cluster_membership(allocation):
    """Draws which cluster each kernel of each member belongs to.

    One colour and number a cluster; kernels that share with no other are
    grey. Hatching says how a kernel is made of its cluster's templates: mixed
    of several, from one, or upsampled.

    Of an ensemble, one row a member, its kernels from left to right in the
    order of depth (SWN, Figure 5), continued below after 50. Of a single
    network, one row a kernel, from top to bottom, its name on the left, and
    how many templates it is made of on the right.

    Args:
        allocation: A `keras_superweights.Allocation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    cells = _cells(allocation)
    draw = _members_as_rows if len(allocation.members) > 1 else _kernels_as_rows
    figure = draw(allocation, cells)
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(_membership_title(allocation))
    ways = {hatch for _, _, hatch in cells}
    if ways - {""}:
        from matplotlib.patches import Patch

        white = {"facecolor": GREY, "edgecolor": "white", "linewidth": 0}
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
    """For each kernel, `(colour, number of its cluster, hatching)`."""
    from matplotlib import colormaps

    clusters = clusters_as_formed(allocation)
    # Far apart on the colour wheel, since neighbours in number are often
    # neighbours in the figure.
    hues = np.cumsum([len(cluster) > 1 for cluster in clusters]) * 0.618 % 1
    pale = 0.3 + 0.7 * colormaps["hsv"](hues)[:, :3]
    cells = [(GREY, "", "")] * len(allocation.kernels)
    for number, (cluster, color) in enumerate(zip(clusters, pale, strict=True)):
        alone = len(cluster) == 1
        color = GREY if alone else color
        # Nothing to tell apart needs no number.
        text = str(number) if len(clusters) > 1 else ""
        for kernel in cluster:
            way = _way(allocation, kernel)
            plain = alone and way == "one template"
            cells[kernel] = (color, text, "" if plain else HATCHES[way])
    return cells


def _way(allocation, kernel):
    spec = allocation.kernels[kernel]
    labels = [t.label(spec) for t in allocation.transforms_of[kernel]]
    if any(labels):
        return next(filter(None, labels))
    most = max(_template_counts(allocation, kernel))
    return "mixed" if most > 1 else "one template"


def _template_counts(allocation, kernel):
    """Of how many templates each SuperWeight of a kernel is made."""
    return [
        len(allocation.superweights[s].templates_of(position))
        for s, position in allocation.composition[kernel]
    ]


def _made_of(allocation, kernel):
    """What a kernel is made of, in words."""
    counts = sorted(_template_counts(allocation, kernel))
    if not counts:
        return "not shared"
    if len(counts) > 1:
        some = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
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
    figure = new_figure(
        max(6.0, 2.4 + 0.24 * across), 1.3 + lines * (0.3 + 0.45 * rows)
    )
    axes = figure.subplots(lines, 1, squeeze=False)[:, 0]
    start = 0
    for row, member in enumerate(allocation.members):
        for place in range(len(member.kernels)):
            line, left = divmod(place, across)
            color, number, hatch = cells[start + place]
            _cell(axes[line], left, row, color, hatch, width=0.94, height=0.8)
            _number(axes[line], left + 0.47, row, number, color)
        start += len(member.kernels)
    names = [f"{n}: {m.name}" for n, m in enumerate(allocation.members)]
    for line, axis in enumerate(axes):
        axis.set_yticks(range(rows), shortened(names), fontsize="small")
        axis.set_ylim(rows - 0.5, -0.5)
        first = line * across
        count = min(across, longest - first)
        axis.set_xticks(
            np.arange(count) + 0.47,
            range(first + 1, first + count + 1),
            fontsize=SMALL,
        )
        axis.set_xlim(-0.1, across + 0.04)
        tidy(axis)
        axis.grid(visible=False, axis="y")
    axes[-1].set_xlabel("shareable kernel, in order of depth")
    return figure


def _kernels_as_rows(allocation, cells):
    count = len(cells)
    columns = min(MAX_COLUMNS, -(-count // MAX_DOWN) or 1)
    down = -(-count // columns)
    figure = new_figure(4.8 * columns, 1.2 + ROW * max(down, 3))
    names = shortened(kernel_names(allocation))
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for column, axis in enumerate(axes):
        kernels = range(count)[column * down : (column + 1) * down]
        for row, kernel in enumerate(kernels):
            color, number, hatch = cells[kernel]
            _cell(axis, 0, row, color, hatch, width=1, height=0.86)
            _number(axis, 0.5, row, number, color)
        rows = range(len(kernels))
        axis.set_yticks(rows, [names[k] for k in kernels], fontsize=SMALL)
        made_of = [_made_of(allocation, k) for k in kernels]
        beside(axis, rows, made_of, fontsize=SMALL)
        axis.set(xticks=[], xlim=(0, 1), ylim=(max(down, 3) - 0.5, -0.5))
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    return figure


def _cell(axis, left, row, color, hatch, width, height):
    axis.barh(
        row,
        width,
        left=left,
        height=height,
        color=[color],
        hatch=hatch,
        edgecolor="white",
        linewidth=0,
    )


def _number(axis, x, row, number, color):
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(color)
    bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.45
    axis.text(
        x,
        row,
        number,
        ha="center",
        va="center",
        fontsize=SMALL,
        color=INK if bright else "white",
        # Hatching ends around it.
        bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0},
    )
