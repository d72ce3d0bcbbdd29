"""What all figures have in common: colours, canvas, axes, labels."""

INK = "#222222"
BLUE = "#5b92c9"
RED = "#c0392b"
GREY = "#9aa0a6"

METRIC_LABELS = {"accuracy": "accuracy (fraction)", "nll": "NLL (nats)"}

# Of the row of a kernel, the height in inches and the points of its letters.
ROW = 0.14
SMALL = 7

# More rows than these get thinner, and not every one has a label.
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


def labelled_rows(count):
    """Which of so many rows have a label: all, or evenly spaced ones."""
    return range(0, count, -(-count // MAX_ROWS))


def beside(axis, places, labels, **style):
    """Writes a column of labels along the right edge of an axis."""
    column = axis.secondary_yaxis("right")
    column.set_yticks(places, labels, **style)
    column.tick_params(length=0)
    column.spines[:].set_visible(False)


def shortened(names, length=36):
    """Names that fit beside an axis, cut in the middle.

    What is different stays different: where cuts of that length would make
    two names equal, fewer letters are cut from all of them.
    """
    names = list(names)
    short = [_cut(name, length) for name in names]
    if len(set(short)) < len(set(names)):
        return shortened(names, length + 4)
    return short


def _cut(name, length):
    if len(name) <= length:
        return name
    return f"{name[: length // 2 - 1]}…{name[-(length // 2) :]}"
