"""Two replicas under MirroredStrategy against one, in processes apart."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_superweights as ksw

PROGRAM = pathlib.Path(__file__).with_name("replicas_program.py")


def run(directory, replicas, batch_norm):
    workdir = directory / f"{replicas}_{batch_norm}"
    done = subprocess.run(
        [sys.executable, PROGRAM, str(replicas), str(batch_norm), workdir],
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(pathlib.Path(ksw.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((workdir / "results.json").read_text())
    with np.load(workdir / "arrays.npz") as arrays:
        return workdir, results, dict(arrays)


def test_two_replicas_equal_one_without_batch_norm(tmp_path):
    _, one, one_arrays = run(tmp_path, 1, False)
    _, two, two_arrays = run(tmp_path, 2, False)
    assert two["history"].keys() == one["history"].keys()
    for name, values in one["history"].items():
        assert two["history"][name] == pytest.approx(values, abs=1e-5), name
    assert two["evaluated"] == pytest.approx(one["evaluated"], abs=1e-5)
    assert two["apart"] == 0.0
    for name, value in one_arrays.items():
        np.testing.assert_allclose(two_arrays[name], value, atol=1e-5)


def test_with_batch_norm_all_replicas_hold_and_save_the_same(tmp_path):
    workdir, results, arrays = run(tmp_path, 2, True)
    assert results["apart"] == 0.0
    loaded = keras.models.load_model(workdir / "network.keras")
    np.testing.assert_allclose(
        loaded.predict(arrays["x"], verbose=0), arrays["predictions"], atol=1e-5
    )
    for layer in loaded.members[0].layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert np.abs(layer.moving_mean).max() > 1e-3
