"""The Pareto front: every network where it belongs, the best ones joined."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights.figures.pareto import shortened_number


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


def beaten(point, others, quality):
    """Whether another has no more parameters, and is better."""
    sign = 1 if quality == "accuracy" else -1
    return any(
        other["parameters"] <= point["parameters"]
        and sign * other[quality] > sign * point[quality]
        for other in others
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_front_joins_what_no_smaller_network_beats(seed, line, overlaps):
    networks = points(seed, 14)
    figure = figures.pareto_front(networks)
    for axis, quality, label in zip(
        figure.axes,
        ("accuracy", "nll"),
        ("accuracy (fraction)", "NLL (nats)"),
        strict=True,
    ):
        assert axis.get_xlabel() == "trained parameters"
        assert axis.get_ylabel() == label
        best = [p for p in networks if not beaten(p, networks, quality)]
        best.sort(key=lambda point: point["parameters"])
        np.testing.assert_array_equal(
            line(axis, "Pareto front").get_xydata(),
            [(p["parameters"], p[quality]) for p in best],
        )
        others = [p for p in networks if p not in best]
        np.testing.assert_array_equal(
            sorted(map(tuple, line(axis, "other trial").get_xydata())),
            sorted((p["parameters"], p[quality]) for p in others),
        )
        # The front is labelled whatever the room.
        shown = {text.get_text(): text.xy for text in axis.texts}
        for point in best:
            place = (point["parameters"], point[quality])
            assert shown[point["name"]] == place
    assert overlaps(figure) == []


def test_of_many_networks_only_the_front_is_labelled():
    networks = points(0, 40)
    for axis, quality in zip(
        figures.pareto_front(networks).axes, ("accuracy", "nll"), strict=True
    ):
        best = {p["name"] for p in networks if not beaten(p, networks, quality)}
        assert {text.get_text() for text in axis.texts} == best


@pytest.mark.parametrize(
    "low, high, scale", [(3e5, 5e5, "linear"), (1e5, 1e7, "log")]
)
def test_what_spans_orders_of_magnitude_has_a_log_scale(low, high, scale):
    figure = figures.pareto_front(points(0, 30, low, high), subject="network")
    figure.canvas.draw()
    for axis in figure.axes:
        assert axis.get_xscale() == scale
        left, right = axis.get_xlim()
        ticks = [t for t in axis.get_xticks() if left <= t <= right]
        assert len(ticks) >= 3
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["other network", "Pareto front"]


def test_a_single_network_is_its_front(overlaps):
    figure = figures.pareto_front(points(0, 1))
    assert [len(axis.get_lines()) for axis in figure.axes] == [1, 1]
    assert overlaps(figure) == []


def test_numbers_are_short():
    numbers = [900, 70_000, 350_776, 36_500_000]
    shown = [shortened_number(number) for number in numbers]
    assert shown == ["900", "70k", "350.8k", "36.5M"]


def test_no_network_is_refused():
    with pytest.raises(ValueError, match="at least one network"):
        figures.pareto_front([])
