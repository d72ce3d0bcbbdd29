"""Two workers under MultiWorkerMirroredStrategy against one process."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.training import distribution
from tests.training.networks import ROOT
from tests.training.workers_program import measure


@pytest.fixture(scope="module")
def workers(two_workers, tmp_path_factory):
    """The measurements of each of two workers."""
    directory = tmp_path_factory.mktemp("workers")
    program = "tests.training.workers_program"
    processes = []
    for index, config in enumerate(two_workers()):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", program, directory / f"{index}.npz"],
                cwd=ROOT,
                env={**os.environ, "TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]
    return [dict(np.load(directory / f"{index}.npz")) for index in range(2)]


def test_two_workers_equal_one_process(workers):
    keras.utils.set_random_seed(0)
    expected = measure(tf.distribute.get_strategy())
    assert len(set(expected["ties"])) > 1  # something was decoupled
    assert len(json.loads(str(expected["clusters"]))) > 1
    assert len(set(expected["stores"])) == 2
    for name, value in expected.items():
        found = workers[0][name]
        if name in ("clusters", "stores", "ties"):
            np.testing.assert_array_equal(found, value, name)
        else:
            np.testing.assert_allclose(found, value, atol=1e-4, err_msg=name)


def test_two_workers_know_the_same(workers):
    one, other = workers
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value, name)


def test_batch_norm_statistics_are_those_of_both_workers(workers):
    for found in workers:
        halves = np.reshape(found["inputs"], (2, 4, 4))
        mean = halves.mean(axis=1).mean(axis=0)
        variance = halves.var(axis=1).mean(axis=0)
        np.testing.assert_allclose(found["moving mean"], mean, atol=1e-6)
        np.testing.assert_allclose(
            found["moving variance"], variance, atol=1e-6
        )


def test_several_steps_per_execution_are_refused(monkeypatch):
    monkeypatch.setattr(distribution, "is_multi_worker", lambda strategy: True)
    layers = [keras.layers.Dense(2) for _ in range(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    network = ksw.share(model, 1.0)
    network.compile("sgd", "mse", steps_per_execution=2)
    with pytest.raises(ValueError, match="must be 1.*steps_per_execution=2"):
        network.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)


def test_logs_of_any_shape_travel_in_one_row():
    logs = {"loss": tf.constant(0.5), "per_class": tf.constant([1.0, 2.0])}
    row = distribution._as_row(keras.tree.flatten(logs))
    assert row.shape == (1, 3)
    template = keras.tree.map_structure(distribution._shape, logs)
    found = distribution._from_row(row[0], template)
    assert found.keys() == logs.keys()
    for name, value in logs.items():
        np.testing.assert_array_equal(found[name], value)
