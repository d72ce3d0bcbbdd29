"""The comparison of kinds on real data, in a quick variant."""

import numpy as np
import pytest

from benchmarks import kinds


@pytest.fixture
def quick(monkeypatch, eager):
    """A step or two on few examples, done before they would be traced."""
    for task in kinds.TASKS.values():
        monkeypatch.setitem(task, "data", few(task["data"]))


def few(data):
    return lambda seed: [[part[:40] for part in s] for s in data(seed)]


@pytest.mark.parametrize("name", kinds.TASKS)
def test_every_way_is_trained_and_measured(name, quick, capsys):
    kinds.main(["--seeds", "0", "--epochs", "0", "--tasks", name])
    header, *rows = capsys.readouterr().out.strip().splitlines()
    assert header.split()[:2] == [name, "params"]
    params = {}
    for row in rows:
        way, rest = row[:13].strip(), row[13:].split()
        params[way] = int(rest[0].replace(",", ""))
        assert len(rest) == 3
        assert np.isfinite(list(map(float, rest[1:]))).all()
    assert params["shared"] <= params["one network"]
    assert params["independent"] == 3 * params["one network"]


def test_measures_are_those_of_numpy_by_hand():
    class Fixed:
        def __init__(self, outputs):
            self.outputs = np.array(outputs, float)

        def predict(self, x, verbose):
            return self.outputs

    values = kinds.measure_values(
        Fixed([[0, 1], [2, 4]]), None, np.array([[1.0], [2.0]])
    )
    assert values["RMSE"] == pytest.approx(np.sqrt(0.5))
    nll = (0.9189385 + 0.5 + 0.9189385 + np.log(2)) / 2
    assert values["NLL"] == pytest.approx(nll)
    pixels = kinds.measure_pixels(
        Fixed(np.eye(3)[[0, 1, 2, 2]]), None, np.array([0, 1, 1, 2])
    )
    assert pixels["accuracy"] == 0.75
    assert pixels["IoU"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_what_is_held_out_is_a_fifth_and_trained_on_by_none():
    x = np.arange(50)
    (train, _), (test, _) = kinds.held_out(x, x, seed=3)
    assert len(test) == 10
    assert sorted([*train, *test]) == list(x)
