"""Two replicas under MirroredStrategy against one, in a separate process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.networks import ROOT
from tests.training.replicas_program import measure


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """The directory of the results of two replicas."""
    directory = tmp_path_factory.mktemp("replicas")
    program = "tests.training.replicas_program"
    done = subprocess.run(
        [sys.executable, "-m", program, directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return directory


def read(directory):
    results = json.loads((directory / "results.json").read_text())
    with np.load(directory / "arrays.npz") as arrays:
        return results, dict(arrays)


def test_two_replicas_equal_one_without_batch_norm(replicas, tmp_path):
    measure(tf.distribute.get_strategy(), False, tmp_path / "one")
    one, one_arrays = read(tmp_path / "one")
    two, two_arrays = read(replicas / "plain")
    assert two["history"].keys() == one["history"].keys()
    for name, values in one["history"].items():
        assert two["history"][name] == pytest.approx(values, abs=1e-5), name
    assert two["evaluated"] == pytest.approx(one["evaluated"], abs=1e-5)
    assert two["apart"] == 0.0
    for name, value in one_arrays.items():
        np.testing.assert_allclose(two_arrays[name], value, atol=1e-5)


def test_with_batch_norm_all_replicas_hold_and_save_the_same(replicas):
    results, arrays = read(replicas / "batch_norm")
    assert results["apart"] == 0.0
    loaded = keras.models.load_model(replicas / "batch_norm" / "network.keras")
    np.testing.assert_allclose(
        loaded.predict(arrays["x"], verbose=0), arrays["predictions"], atol=1e-5
    )
    for layer in loaded.members[0].layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert np.abs(layer.moving_mean).max() > 1e-3
