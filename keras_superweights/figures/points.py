"""Points, the best of them on a staircase, and labels that cover nothing."""

import numpy as np

from keras_superweights.figures import style

# With more points than these, only the best are labelled.
MAX_LABELLED = 15

# Positions of a label relative to its point, in points, best first.
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


def draw_front(axis, points, best, place_of, legend):
    """Draws points in grey, and the best ones in blue, joined by a staircase.

    `place_of` maps a point to `(x, y)`; `legend` has the entries of the points
    and of the best ones.
    """
    if points:
        look = {"color": style.GREY, "linestyle": "none", "label": legend[0]}
        axis.plot(*zip(*map(place_of, points), strict=True), marker="o", **look)
    look = {"color": style.BLUE, "drawstyle": "steps-post", "label": legend[1]}
    axis.plot(*zip(*map(place_of, best), strict=True), marker="o", **look)
    axis.margins(x=0.08, y=0.14)
    style.tidy(axis)


def label_front(axis, points, best, place_of, name_of):
    """Labels the best points and, of up to 15 points, where they fit, all."""
    labelled = best + [point for point in points if point not in best]
    if len(labelled) > MAX_LABELLED:
        labelled = best
    places = np.array([place_of(point) for point in labelled])
    label_points(axis, list(map(name_of, labelled)), places, len(best))


def label_points(axis, names, places, num_best):
    """Labels points, each on a side where the label covers nothing.

    Of the places `(points, 2)`, the first `num_best` lie on the line and have a
    label even if there is no room.
    """
    from matplotlib.path import Path
    from matplotlib.transforms import Bbox

    # Positions on the canvas are known only after the layout.
    axis.figure.draw_without_rendering()
    steps = np.repeat(places[:num_best], 2, axis=0)
    corners = np.stack([steps[1:, 0], steps[:-1, 1]], axis=1)
    line = Path(axis.transData.transform(corners))
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
            color=style.INK,
            fontsize="medium" if best else "x-small",
            in_layout=False,
        )
        for side in _SIDES:
            label.set(**side)
            box = label.get_window_extent()
            if (
                all(axis.bbox.contains(*corner) for corner in box.corners())
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
