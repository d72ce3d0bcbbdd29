"""Colours, canvas, axes and labels, the same in all figures."""

INK = "#222222"
BLUE = "#5b92c9"
RED = "#c0392b"
GREY = "#9aa0a6"

METRIC_LABELS = {"accuracy": "accuracy (fraction)", "nll": "NLL (nats)"}

# The height of a kernel's row, in inches, and the size of its letters.
ROW = 0.14
SMALL = 7

# With more rows than these, rows are thinner and not every one is labelled.
MAX_ROWS = 120


def new_figure(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axis.set_axisbelow(True)


def curve_color(index):
    """Returns the colour of a member or another one of several curves."""
    from matplotlib import colormaps

    return colormaps["tab10"](index % 10)[:3]


def legend_beside(axis, **options):
    """Adds a legend to the right of an axis."""
    options |= {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axis.legend(frameon=False, fontsize="small", **options)


def label_rows(*axes, names):
    """Labels the rows of a heat map along axes: all, or evenly spaced ones."""
    places = range(0, len(names), -(-len(names) // MAX_ROWS))
    short = shortened(names)
    labels = [short[place] for place in places]
    for axis in axes:
        axis.set_ticks(places, labels, fontsize=SMALL)


def beside(axis, places, labels, **style):
    """Writes a column of labels along the right edge of an axis."""
    column = axis.secondary_yaxis("right")
    column.set_yticks(places, labels, **style)
    column.tick_params(length=0)
    column.spines[:].set_visible(False)


def shortened(names, length=36):
    """Cuts names in the middle to fit beside an axis.

    Different names stay different: if cuts of that length would make two of
    them equal, all names keep more letters.
    """
    names = list(names)
    half = length // 2
    short = [
        name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"
        for name in names
    ]
    if len(set(short)) < len(set(names)):
        return shortened(names, length + 4)
    return short
