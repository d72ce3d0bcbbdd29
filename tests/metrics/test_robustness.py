"""Metrics on corrupted images."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from keras_superweights import SuperWeightNetwork
from keras_superweights import metrics
from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import corruptions
from tests import builders
from tests.datasets.sets import collect

METRICS = ("accuracy", "nll", "brier", "ece")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return ImagePipeline(
        name="sklearn_digits",
        data_dir=tmp_path_factory.mktemp("digits"),
        test_split="test[:60]",
        batch_size=25,
    )


@pytest.fixture
def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_initializer="random_normal"),
        ]
    )


def by_hand(network, batches):
    images, labels = collect(batches)
    kernel, bias = network.get_weights()
    logits = images.reshape(len(images), -1) @ kernel + bias
    rows = scipy.special.softmax(logits, axis=1)
    hits = rows.argmax(axis=1) == labels
    nll = sklearn.metrics.log_loss(labels, rows, labels=range(10))
    return len(labels), hits.mean(), nll


def test_every_row_is_measured_on_its_corruption(pipeline, network):
    report = metrics.evaluate_corrupted(
        network, pipeline, ["contrast", "gaussian_noise"], [5, 1]
    )
    report = json.loads(json.dumps(report))
    rows = report["corruptions"]
    assert [(row["corruption"], row["severity"]) for row in rows] == [
        *(("contrast", 5), ("contrast", 1)),
        *(("gaussian_noise", 5), ("gaussian_noise", 1)),
    ]
    for row in rows:
        batches, source = corruptions.corrupted_test(
            pipeline, row["corruption"], row["severity"]
        )
        num_examples, accuracy, nll = by_hand(network, batches)
        assert num_examples == 60
        assert row["source"] == source == "generated"
        assert row["accuracy"] == pytest.approx(accuracy)
        assert row["nll"] == pytest.approx(nll, rel=1e-4)
    for metric in METRICS:
        mean = sum(row[metric] for row in rows) / 4
        assert report[metric] == pytest.approx(mean)


def test_an_ensemble_and_its_members_are_measured_in_one_pass(pipeline):
    members = [builders.conv_member(6) for _ in range(2)]
    ensemble = SuperWeightNetwork(members, budget_params=0.9)
    arguments = (pipeline, ["contrast", "pixelate"], [4])
    report = metrics.evaluate_corrupted(ensemble, *arguments)
    json.dumps(report)
    alone = [
        metrics.evaluate_corrupted(member, *arguments)
        for member in ensemble.materialize()
    ]
    # A single model with the predictions of the ensemble.
    inputs = keras.Input((8, 8, 1))
    whole = keras.Model(inputs, ensemble(inputs))
    alone.append(metrics.evaluate_corrupted(whole, *arguments))
    places = [(report, alone)] + [
        (row, [each["corruptions"][place] for each in alone])
        for place, row in enumerate(report["corruptions"])
    ]
    for found, expected in places:
        each_found = [*found["members"], found]
        for each, by_itself in zip(each_found, expected, strict=True):
            assert [each[metric] for metric in METRICS] == pytest.approx(
                [by_itself[metric] for metric in METRICS], abs=1e-5
            )


def test_all_corruptions_at_all_severities_unless_told(network, monkeypatch):
    asked = []

    def no_images(pipeline, corruption, severity):
        asked.append((corruption, severity))
        images, labels = np.zeros((2, 8, 8, 1)), np.array([0, 1])
        return [(images, keras.ops.convert_to_tensor(labels))], "generated"

    monkeypatch.setattr(metrics.robustness, "corrupted_test", no_images)
    report = metrics.evaluate_corrupted(network, None)
    names = corruptions.CORRUPTIONS
    assert asked == [(name, level) for name in names for level in range(1, 6)]
    assert len(report["corruptions"]) == len(names) * 5


def test_one_hot_labels_are_understood(pipeline, network):
    smoothed = dataclasses.replace(pipeline, label_smoothing=0.1)
    arguments = (["contrast"], [2])
    plain = metrics.evaluate_corrupted(network, pipeline, *arguments)
    assert plain == metrics.evaluate_corrupted(network, smoothed, *arguments)


def test_nothing_to_measure_and_wrong_names_are_refused(pipeline, network):
    with pytest.raises(ValueError, match=r"not be empty.*corruptions=\[\]"):
        metrics.evaluate_corrupted(network, pipeline, corruptions=[])
    with pytest.raises(ValueError, match="'gaussian_noise'.*'fog'"):
        metrics.evaluate_corrupted(network, pipeline, ["contrast", "fog"])
    with pytest.raises(ValueError, match=r"\(1, 2, 3, 4, 5\).*severity=0"):
        metrics.evaluate_corrupted(network, pipeline, severities=[0])
