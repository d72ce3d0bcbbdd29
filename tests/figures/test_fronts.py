"""Points, the best of them joined and labelled: of subsets and of networks."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_superweights import figures
from keras_superweights.figures.pareto import shortened_number
from keras_superweights.figures.points import label_points
from tests.figures import reading


def labels_of(axis):
    """The point that each label stands at."""
    return {text.get_text(): text.xy for text in axis.texts}


def points_of(flops, accuracies):
    return [
        {"members": [index], "flops": int(cost), "accuracy": float(accuracy)}
        for index, (cost, accuracy) in enumerate(
            zip(flops, accuracies, strict=True)
        )
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_anytime_curve_joins_what_no_subset_beats(seed):
    draw = np.random.default_rng(seed)
    points = points_of(
        draw.integers(1, 9, 12) * 10**6, draw.permutation(12) / 12
    )
    figure = figures.anytime_curve(points)
    (axis,) = figure.axes
    assert axis.get_ylabel() == "accuracy (fraction)"
    legend = ["subset of the members", "best within the cost"]
    assert reading.legend_of(figure) == legend
    places = [(p["flops"] / 1e6, p["accuracy"]) for p in points]
    reading.shows(axis, legend[0], places)
    best = sorted(
        (p["flops"] / 1e6, p["accuracy"], str(p["members"][0]))
        for p in points
        if not reading.beaten(p, points, "flops")
    )
    reading.shows(axis, legend[1], [place for *place, _ in best])
    assert {(*xy, name) for name, xy in labels_of(axis).items()} >= set(best)


@pytest.mark.parametrize(
    ("cost", "scale", "unit"),
    [
        ("flops", 1, "FLOPs"),
        ("flops", 10**6, "MFLOPs"),
        ("flops", 10**9, "GFLOPs"),
        ("milliseconds", 1, "milliseconds"),
    ],
)
def test_cost_has_a_readable_unit(cost, scale, unit):
    points = [
        {"members": members, "flops": 9, "accuracy": value / 10}
        | {cost: value * scale}
        for members, value in (([0, 2], 5), ([1], 4))
    ]
    (axis,) = figures.anytime_curve(points, cost).axes
    assert axis.get_xlabel() == f"cost of one example ({unit})"
    reading.shows(axis, "subset of the members", [(5, 0.5), (4, 0.4)])
    # With room, all subsets are labelled.
    assert labels_of(axis) == {"0+2": (5, 0.5), "1": (4, 0.4)}


def test_only_the_best_of_many_subsets_are_labelled():
    draw = np.random.default_rng(0)
    points = points_of(draw.integers(1, 9, 31), draw.permutation(31) / 31)
    (axis,) = figures.anytime_curve(points).axes
    assert labels_of(axis).keys() == {
        str(point["members"][0])
        for point in points
        if not reading.beaten(point, points, "flops")
    }


def test_an_empty_anytime_curve_is_refused():
    with pytest.raises(ValueError, match="at least one subset"):
        figures.anytime_curve([])


def networks_of(seed, count, low=1e5, high=1e6):
    draw = np.random.default_rng(seed)
    return [
        {
            "name": str(index),
            "parameters": int(low * (high / low) ** draw.uniform()),
            "accuracy": float(draw.uniform(0.9, 1.0)),
            "nll": float(draw.uniform(0.1, 0.3)),
        }
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("seed", "count"), [*((seed, 14) for seed in range(6)), (0, 40)]
)
def test_the_front_joins_what_no_smaller_network_beats(seed, count):
    networks = networks_of(seed, count)
    figure = figures.pareto_front(networks)
    for axis, quality, label in zip(
        figure.axes,
        ("accuracy", "nll"),
        ("accuracy (fraction)", "NLL (nats)"),
        strict=True,
    ):
        assert axis.get_xlabel() == "trained parameters"
        assert axis.get_ylabel() == label
        places = {p["name"]: (p["parameters"], p[quality]) for p in networks}
        best = {
            p["name"]: places[p["name"]]
            for p in networks
            if not reading.beaten(p, networks, "parameters", quality)
        }
        reading.shows(axis, "Pareto front", sorted(best.values()))
        np.testing.assert_array_equal(
            sorted(map(tuple, reading.line(axis, "other trial").get_xydata())),
            sorted(places[name] for name in places.keys() - best.keys()),
        )
        # The front is always labelled; of many networks, only the front.
        shown = {text.get_text(): text.xy for text in axis.texts}
        assert best.items() <= shown.items() <= places.items()
        assert count <= 15 or shown == best
    assert count > 15 or reading.overlaps(figure) == []


@pytest.mark.parametrize(
    "low, high, scale", [(3e5, 5e5, "linear"), (1e5, 1e7, "log")]
)
def test_a_wide_range_has_a_log_scale(low, high, scale):
    figure = figures.pareto_front(
        networks_of(0, 30, low, high), subject="network"
    )
    figure.canvas.draw()
    for axis in figure.axes:
        assert axis.get_xscale() == scale
        left, right = axis.get_xlim()
        ticks = [t for t in axis.get_xticks() if left <= t <= right]
        assert len(ticks) >= 3
    assert reading.legend_of(figure) == ["other network", "Pareto front"]


def test_a_single_network_is_its_front():
    figure = figures.pareto_front(networks_of(0, 1))
    assert [len(axis.get_lines()) for axis in figure.axes] == [1, 1]
    assert reading.overlaps(figure) == []


def test_numbers_are_short():
    numbers = [900, 70_000, 350_776, 36_500_000]
    shown = [shortened_number(number) for number in numbers]
    assert shown == ["900", "70k", "350.8k", "36.5M"]


def test_no_network_is_refused():
    with pytest.raises(ValueError, match="at least one network"):
        figures.pareto_front([])


@pytest.mark.parametrize("seed", range(20))
def test_labels_cover_nothing(seed):
    draw = np.random.default_rng(seed)
    num_best, count = draw.integers(1, 6), draw.integers(6, 60)
    # The best climb to the right; the others are anywhere below them.
    best = np.sort(draw.uniform(0.4, 1, (num_best, 2)), axis=0)
    others = draw.uniform(0, 0.4, (count - num_best, 2))
    places = np.concatenate([best, others])
    drawn = Figure(figsize=(5, 4))
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
    axis = Figure(figsize=(5, 4)).subplots()
    axis.plot(*grid.T, "o")
    axis.margins(0.2)
    names = [f"net {index}" for index in range(16)]
    label_points(axis, names, grid, num_best=1)
    assert [text.get_text() for text in axis.texts] == names


def test_the_best_are_labelled_even_without_room():
    places = np.full((30, 2), 0.5)
    axis = Figure(figsize=(2, 2)).subplots()
    label_points(axis, list("abc") * 10, places, num_best=3)
    assert [text.get_text() for text in axis.texts][:3] == list("abc")
    assert 3 <= len(axis.texts) < 15
