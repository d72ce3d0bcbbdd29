"""What the tests look for in a figure."""

import matplotlib.text
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec


@pytest.fixture
def legend_of():
    def legend_of_(owner):
        """Returns the label of every legend entry."""
        legend = getattr(owner, "legends", None) or [owner.get_legend()]
        return [text.get_text() for text in legend[0].get_texts()]

    return legend_of_


@pytest.fixture
def line():
    def line_(axis, label):
        (found,) = [x for x in axis.get_lines() if x.get_label() == label]
        return found

    return line_


@pytest.fixture
def overlaps():
    def overlaps_(figure):
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
        texts = [
            text
            for text in figure.findobj(matplotlib.text.Text)
            if text.get_visible()
            and text.get_text().strip()
            and id(text) not in hidden
        ]
        boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
        return [
            (first, second)
            for index, (first, a) in enumerate(boxes)
            for second, b in boxes[index + 1 :]
            if a.overlaps(b)
        ]

    return overlaps_


@pytest.fixture
def texts():
    def texts_(labels):
        return [label.get_text() for label in labels]

    return texts_


@pytest.fixture
def right_of(texts):
    def right_of_(axis):
        """Returns the labels along the right edge of an axis."""
        (column,) = axis.child_axes
        return texts(column.get_yticklabels())

    return right_of_


@pytest.fixture
def members_of():
    def members_of_(*depths, shape=(3, 3, 4, 4)):
        """Returns members with so many kernels of one shape each."""
        return [
            MemberSpec(
                f"net{m}",
                tuple(KernelSpec(m, f"l{i}", shape) for i in range(depth)),
                other_params=5,
            )
            for m, depth in enumerate(depths)
        ]

    return members_of_
