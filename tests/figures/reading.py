"""What figures are drawn of, and their texts, lines and cells."""

import matplotlib.text
import numpy as np

from tests import builders


def legend_of(owner):
    """Returns the label of every legend entry."""
    legend = getattr(owner, "legends", None) or [owner.get_legend()]
    return texts(legend[0].get_texts())


def line(axis, label):
    (found,) = [x for x in axis.get_lines() if x.get_label() == label]
    return found


def shows(axis, label, points):
    """Checks that the line of that label goes through exactly these points."""
    xy = line(axis, label).get_xydata()
    np.testing.assert_array_equal(xy, points)


def overlaps(figure):
    """Returns pairs of texts of the drawn figure that cover each other."""
    figure.canvas.draw()
    hidden = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval())
        <= tick.get_loc()
        <= max(axis.get_view_interval())
    }
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible()
        and text.get_text().strip()
        and id(text) not in hidden
    ]
    return [
        (first, second)
        for index, (first, a) in enumerate(boxes)
        for second, b in boxes[index + 1 :]
        if a.overlaps(b)
    ]


def corruption_report(names, severities, num_members):
    """What `evaluate_corrupted` returns, of random numbers."""
    draw = np.random.default_rng(0)

    def measured():
        return {"accuracy": draw.uniform(), "nll": draw.uniform()}

    rows = [
        {"corruption": name, "severity": severity, **measured()}
        for name in names
        for severity in severities
    ]
    report = {"corruptions": rows}
    if num_members > 1:
        for each in (report, *rows):
            each["members"] = [measured() for _ in range(num_members)]
    return report


def beaten(point, points, cost, quality="accuracy"):
    """Whether another point costs no more, and is better."""
    sign = 1 if quality == "accuracy" else -1
    return any(
        other[cost] <= point[cost]
        and sign * other[quality] > sign * point[quality]
        for other in points
    )


def texts(labels):
    return [label.get_text() for label in labels]


def right_of(axis):
    """Returns the labels along the right edge of an axis."""
    (column,) = axis.child_axes
    return texts(column.get_yticklabels())


def cells(axis):
    """Returns the values of a heat map, as plotted."""
    (image,) = axis.get_images()
    return np.ma.filled(image.get_array().astype(float), np.nan)


def members_of(*depths):
    """Returns members with that many kernels of one shape each."""
    shapes = [[(3, 3, 4, 4)] * depth for depth in depths]
    return builders.members(*shapes, other_params=5)
