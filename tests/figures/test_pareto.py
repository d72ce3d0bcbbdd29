"""The Pareto front: positions and labels of networks, the best joined."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights.figures.pareto import shortened_number
from tests.figures import reading


def points(seed, count, low=1e5, high=1e6):
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
    networks = points(seed, count)
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
    figure = figures.pareto_front(points(0, 30, low, high), subject="network")
    figure.canvas.draw()
    for axis in figure.axes:
        assert axis.get_xscale() == scale
        left, right = axis.get_xlim()
        ticks = [t for t in axis.get_xticks() if left <= t <= right]
        assert len(ticks) >= 3
    assert reading.legend_of(figure) == ["other network", "Pareto front"]


def test_a_single_network_is_its_front():
    figure = figures.pareto_front(points(0, 1))
    assert [len(axis.get_lines()) for axis in figure.axes] == [1, 1]
    assert reading.overlaps(figure) == []


def test_numbers_are_short():
    numbers = [900, 70_000, 350_776, 36_500_000]
    shown = [shortened_number(number) for number in numbers]
    assert shown == ["900", "70k", "350.8k", "36.5M"]


def test_no_network_is_refused():
    with pytest.raises(ValueError, match="at least one network"):
        figures.pareto_front([])
