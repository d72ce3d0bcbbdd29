"""Labels of points on a staircase, which cover nothing."""

import numpy as np

from keras_superweights.figures.style import INK

# Where a label may stand, in points from its own point, the best place first.
_SIDES = [
    {"position": (x, y), "ha": ha, "va": va}
    for x, y, ha, va in (
        (0, 5, "center", "bottom"),
        (0, -5, "center", "top"),
        (6, 0, "left", "center"),
        (-6, 0, "right", "center"),
        (4, 4, "left", "bottom"),
        (4, -4, "left", "top"),
        (-4, 4, "right", "bottom"),
        (-4, -4, "right", "top"),
    )
]


def label_points(axis, names, places, num_best):
    """Labels points, each on a side where it covers nothing.

    Args:
        axis: Where all points are drawn.
        names: The labels.
        places: Array `(points, 2)`, the `num_best` on the line first.
        num_best: How many points have a label even where there is no room.
    """
    from matplotlib.path import Path
    from matplotlib.transforms import Bbox

    # Where things are on the canvas is known after the layout only.
    axis.figure.draw_without_rendering()
    steps = np.repeat(places[:num_best], 2, axis=0)
    line = Path(
        axis.transData.transform(
            np.stack([steps[1:, 0], steps[:-1, 1]], axis=1)
        )
    )
    radius = 4 / 72 * axis.figure.dpi
    taken = [
        Bbox([center - radius, center + radius])
        for center in axis.transData.transform(places)
    ]
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        best = index < num_best
        label = axis.annotate(
            name,
            place,
            xytext=(0, 0),
            textcoords="offset points",
            color=INK,
            fontsize="medium" if best else "x-small",
            in_layout=False,
        )
        for side in _SIDES:
            label.set(**side)
            box = label.get_window_extent()
            if (
                axis.bbox.containsx(box.x0)
                and axis.bbox.containsx(box.x1)
                and axis.bbox.containsy(box.y0)
                and axis.bbox.containsy(box.y1)
                and not any(map(box.overlaps, taken))
                and not line.intersects_bbox(box, filled=False)
            ):
                taken.append(box)
                break
        else:
            if best:
                label.set(**_SIDES[0])
            else:
                label.remove()
