"""Two workers under MultiWorkerMirroredStrategy against one process."""

import json
import os
import pathlib
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.training import distribution

PROGRAM = pathlib.Path(__file__).with_name("workers_program.py")


@pytest.fixture(scope="module")
def workers(two_workers, tmp_path_factory):
    """What each of two workers has measured."""
    directory = tmp_path_factory.mktemp("workers")
    processes = []
    for index, config in enumerate(two_workers()):
        processes.append(
            subprocess.Popen(
                [sys.executable, PROGRAM, directory / f"{index}.npz"],
                env={
                    **os.environ,
                    "TF_CONFIG": config,
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    "PYTHONPATH": str(pathlib.Path(ksw.__file__).parents[1]),
                },
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
    expected = runpy.run_path(str(PROGRAM))["measure"](
        tf.distribute.get_strategy()
    )
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
        halves = np.split(found["inputs"], 2)
        np.testing.assert_allclose(
            found["moving mean"],
            np.mean([half.mean(0) for half in halves], axis=0),
            atol=1e-6,
        )
        np.testing.assert_allclose(
            found["moving variance"],
            np.mean([half.var(0) for half in halves], axis=0),
            atol=1e-6,
        )


def test_several_steps_an_execution_are_refused(monkeypatch):
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
