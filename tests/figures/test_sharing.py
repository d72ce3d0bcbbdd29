"""Cells and frames of similarities and coefficients agree with the data."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from keras_superweights import figures
from tests.figures.reading import cells
from tests.figures.reading import texts


@pytest.mark.parametrize("seed", range(5))
def test_similarities_are_plotted_group_by_group(seed):
    draw = np.random.default_rng(seed)
    count = draw.integers(2, 12).item()
    similarity = draw.uniform(-1, 1, (count, count))
    names = [f"0: layer{index}" for index in range(count)]
    of_kernel = draw.integers(0, 3, count)
    groups = [tuple(np.flatnonzero(of_kernel == g)) for g in range(3)]
    groups = [group for group in groups if group]
    threshold = draw.uniform(-1, 1)
    figure = figures.similarity_matrix(
        similarity, names, groups, threshold, "Cluster 3"
    )
    axis, bar = figure.axes
    order = np.argsort(of_kernel, kind="stable")
    labels = texts(axis.get_yticklabels())
    assert labels == texts(axis.get_xticklabels()) == [names[k] for k in order]
    np.testing.assert_array_equal(cells(axis), similarity[order][:, order])
    assert axis.get_images()[0].get_clim() == (-1, 1)
    frames = [p for p in axis.patches if isinstance(p, Rectangle)]
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]]) - 0.5
    assert [frame.get_bbox().bounds for frame in frames] == [
        (start, start, size, size)
        for start, size in zip(starts, sizes, strict=True)
    ]
    (mark,) = [line for line in bar.get_lines() if line.get_color() != "none"]
    np.testing.assert_array_equal(mark.get_ydata(), threshold)
    assert texts(bar.texts) == [f"{threshold:g}"]
    assert bar.get_ylim() == (-1, 1)
    assert axis.get_title() == "Cluster 3"


@pytest.mark.parametrize("seed", range(10))
def test_coefficients_are_plotted_block_by_block(seed):
    draw = np.random.default_rng(seed)
    parts = draw.integers(1, 4, draw.integers(1, 6)).tolist()
    count = sum(parts)
    widths = draw.integers(1, 5, draw.integers(1, 4)).tolist()
    blocks = [draw.normal(size=(count, width)) for width in widths]
    if count > 1:
        blocks[-1][0] = np.nan
    names = [f"1: layer{index}" for index in range(count)]
    if seed % 2:  # all rows mix the same templates
        parts = []

    figure = figures.coefficient_matrix(blocks, names, "Coefficients", parts)

    axis, bar = figure.axes
    np.testing.assert_array_equal(cells(axis), np.hstack(blocks))
    assert texts(axis.get_yticklabels()) == names
    assert texts(axis.get_xticklabels()) == [
        str(number) for width in widths for number in range(width)
    ]
    across, down = len(widths) - 1, max(len(parts), 1) - 1
    drawn = axis.get_lines()
    separators = [line.get_xdata()[0] for line in drawn[:across]]
    np.testing.assert_array_equal(separators, np.cumsum(widths)[:-1] - 0.5)
    separators = [line.get_ydata()[0] for line in drawn[across:]]
    np.testing.assert_array_equal(separators, np.cumsum(parts)[:-1] - 0.5)
    largest = np.nanmax(np.abs(np.hstack(blocks)))
    clim = axis.get_images()[0].get_clim()
    assert clim == pytest.approx((-largest, largest))
    assert bar.get_ylabel() == "coefficient (grey: not used)"
    assert ("block" in axis.get_xlabel()) == (across > 0)
    told = "the same only between lines" in axis.get_xlabel()
    assert told == (down > 0)


@pytest.mark.parametrize("count", [100, 121, 500])
def test_evenly_spaced_rows_of_very_many_are_labelled(count):
    values = np.eye(count)
    names = [f"layer{index}" for index in range(count)]
    whole = [tuple(range(count))]
    for figure in (
        figures.coefficient_matrix([values[:, :4]], names, "title"),
        figures.similarity_matrix(values, names, whole, 0.1, "title"),
    ):
        axis = figure.axes[0]
        ticks = axis.get_yticks()
        assert len(ticks) == count if count <= 120 else 50 < len(ticks) <= 120
        assert len(set(np.diff(ticks))) == 1
        assert texts(axis.get_yticklabels()) == [names[t] for t in ticks]
        assert max(figure.get_size_inches()) < 20
