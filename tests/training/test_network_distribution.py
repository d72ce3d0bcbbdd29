"""Two replicas, and two workers, against one process."""

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
from tests.contracts import cases
from tests.training import distributed_program
from tests.training.networks import ROOT


@pytest.fixture(scope="module")
def directory(two_workers, tmp_path_factory):
    """Where two replicas and two workers have written what they measured."""
    directory = tmp_path_factory.mktemp("distributed")
    program = "tests.training.distributed_program"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", program, directory],
            cwd=ROOT,
            env=os.environ | config,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for config in [{}, *({"TF_CONFIG": c} for c in two_workers())]
    ]
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output[-3000:]
    return directory


@pytest.fixture(scope="module")
def measured(directory):
    """What `replicas` and each worker measured, by name."""
    return {path.stem: dict(np.load(path)) for path in directory.glob("*.npz")}


def test_two_replicas_and_two_workers_equal_one_process(measured):
    _, expected = distributed_program.measure(tf.distribute.get_strategy())
    assert len(set(expected["ties"])) > 1  # something was decoupled
    assert len(json.loads(expected["clusters"])) > 1

    def superweights(results):
        """All but the names of members, which Keras counts up."""
        text = results["allocation"].item()
        return ksw.Allocation.from_json(text).superweights

    expected["allocation"] = np.array(expected["allocation"])
    first = superweights(expected)[0]
    assert first.kernels == (0, 1, 3, 4) and first.ties == (0, 1, 2, 2)
    assert len(set(expected["stores"])) == 2
    # One a replica, or every step would communicate.
    assert expected.pop("copies") == 1 and measured["replicas"]["copies"] == 2
    for name, value in expected.items():
        for found in (measured["replicas"], measured["0"]):
            if name == "allocation":
                assert superweights(found) == superweights(expected)
            elif name in ("clusters", "stores", "ties", "apart"):
                np.testing.assert_array_equal(found[name], value, name)
            else:
                np.testing.assert_allclose(
                    found[name], value, rtol=1e-4, atol=1e-5, err_msg=name
                )


def test_two_workers_know_the_same(measured):
    assert measured["0"].keys() == measured["1"].keys()
    for name, value in measured["0"].items():
        np.testing.assert_array_equal(measured["1"][name], value, name)


def test_batch_norm_statistics_are_those_of_both_halves(measured):
    for found in measured.values():
        halves = np.reshape(found["inputs"], (2, 4, 4))
        mean = halves.mean(axis=1).mean(axis=0)
        variance = halves.var(axis=1).mean(axis=0)
        for copy in found["moving means"]:
            np.testing.assert_allclose(copy, mean, atol=1e-6)
        for copy in found["moving variances"]:
            np.testing.assert_allclose(copy, variance, atol=1e-6)
        # Whoever has no row has no statistics either.
        for copy in found["means of one row"]:
            np.testing.assert_allclose(copy, found["inputs"][0], atol=1e-6)
    assert len(measured["replicas"]["moving means"]) == 2


def test_rows_weigh_alike_however_replicas_share_them(measured):
    one, replicas = measured["replicas"]["unequal rows"]
    np.testing.assert_allclose(replicas, one, atol=1e-6)


def test_what_replicas_save_predicts_the_same(directory, measured):
    loaded = keras.models.load_model(directory / "network.keras")
    found = loaded.predict(distributed_program.batches(17, 8), verbose=0)
    expected = measured["replicas"]["predictions"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", cases.CASES)
def test_two_replicas_end_as_one(name, measured):
    """Whatever the layers, parts, rule and kind of ensemble."""
    assert measured["replicas"][f"case {name}"] < 1e-5


@pytest.mark.parametrize("estimator", ["price", "gradsq"])
def test_replicas_sample_for_themselves_and_average_products(
    estimator, measured
):
    assert measured["replicas"][f"ivon {estimator}"] < 1e-5


def test_several_steps_per_execution_are_refused_of_replicas(measured):
    refused = measured["replicas"]["refused"].item()
    assert "must be 1" in refused and "steps_per_execution=2" in refused
    assert "MirroredStrategy" in refused


def test_logs_of_any_shape_travel_in_one_row():
    logs = {"loss": tf.constant(0.5), "per_class": tf.constant([1.0, 2.0])}
    row = distribution._as_row(keras.tree.flatten(logs))
    assert row.shape == (1, 3)
    template = keras.tree.map_structure(distribution._shape, logs)
    found = distribution._from_row(row[0], template)
    assert found.keys() == logs.keys()
    for name, value in logs.items():
        np.testing.assert_array_equal(found[name], value)
