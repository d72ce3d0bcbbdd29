"""What all figures have in common: colours, canvas, axes."""

INK = "#222222"
BLUE = "#5b92c9"
RED = "#c0392b"
GREY = "#9aa0a6"


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


def shortened(name, length=28):
    """A name that fits beside an axis; the ends say most in layers' names."""
    if len(name) <= length:
        return name
    return f"{name[: length // 2 - 1]}…{name[-(length // 2) :]}"
