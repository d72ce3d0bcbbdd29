"""Labels stand beside their points and cover neither points nor labels."""

import numpy as np
import pytest
from matplotlib import figure

from keras_superweights.figures.points import label_points


@pytest.mark.parametrize("seed", range(20))
def test_labels_cover_nothing(seed):
    draw = np.random.default_rng(seed)
    num_best, count = draw.integers(1, 6), draw.integers(6, 60)
    # The best climb to the right; the others are anywhere below them.
    best = np.sort(draw.uniform(0.4, 1, (num_best, 2)), axis=0)
    others = draw.uniform(0, 0.4, (count - num_best, 2))
    places = np.concatenate([best, others])
    drawn = figure.Figure(figsize=(5, 4))
    axis = drawn.subplots()
    axis.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    names = [f"net {index}" for index in range(count)]
    label_points(axis, names, places, num_best)
    drawn.canvas.draw()
    labels = {text.get_text(): text for text in axis.texts}
    assert set(names[:num_best]) <= set(labels)
    pixels = axis.transData.transform(places)
    boxes = {name: text.get_window_extent() for name, text in labels.items()}
    for name, box in boxes.items():
        if names.index(name) < num_best:
            continue  # labelled even without room
        assert not any(box.contains(*pixel) for pixel in pixels), name
        assert not any(
            box.overlaps(other) for key, other in boxes.items() if key != name
        )
        nearest = np.linalg.norm(
            pixels - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2], axis=1
        )
        assert nearest[names.index(name)] < 60


def test_all_points_are_labelled_if_there_is_room():
    grid = np.stack(np.meshgrid(range(4), range(4)), axis=-1).reshape(-1, 2)
    axis = figure.Figure(figsize=(5, 4)).subplots()
    axis.plot(*grid.T, "o")
    axis.margins(0.2)
    names = [f"net {index}" for index in range(16)]
    label_points(axis, names, grid, num_best=1)
    assert [text.get_text() for text in axis.texts] == names


def test_the_best_are_labelled_even_without_room():
    places = np.full((30, 2), 0.5)
    axis = figure.Figure(figsize=(2, 2)).subplots()
    label_points(axis, list("abc") * 10, places, num_best=3)
    assert [text.get_text() for text in axis.texts][:3] == list("abc")
    assert 3 <= len(axis.texts) < 15
