"""Interpolation between members, compared with NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights import SuperWeightNetwork
from keras_superweights import metrics
from keras_superweights import models

EPSILON = 1e-3


def normalized_net(name="net", units=5, activation="tanh", dropout=0.0):
    """Dense, batch norm, dropout, dense: 4 inputs, 3 classes."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units, activation=activation),
            keras.layers.BatchNormalization(epsilon=EPSILON),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(3),
        ],
        name=name,
    )


def randomized(seed, **arguments):
    """A `normalized_net` with random weights of either sign."""
    model = normalized_net(**arguments)
    draw = np.random.default_rng(seed)
    model.set_weights(
        [
            draw.uniform(0.2, 2, w.shape) * draw.choice([-1, 1], w.shape)
            for w in model.get_weights()
        ]
    )
    return model


def batches(seed, num_batches=3, size=10):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(num_batches, size, 4)).astype("float32")
    labels = draw.integers(0, 3, (num_batches, size))
    return list(zip(inputs, labels, strict=True))


def numpy_accuracy_and_nll(weights, data):
    """Computes `normalized_net` with the statistics of each batch."""
    kernel, bias, gamma, beta, _, _, head, head_bias = weights
    hits, nlls = [], []
    for inputs, labels in data:
        x = np.tanh(inputs @ kernel + bias)
        x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + EPSILON)
        logits = (x * gamma + beta) @ head + head_bias
        hits.append(logits.argmax(axis=1) == labels)
        of_labels = logits[np.arange(len(labels)), labels]
        nlls.append(np.log(np.exp(logits).sum(axis=1)) - of_labels)
    return np.mean(np.concatenate(hits)), np.mean(np.concatenate(nlls))


@pytest.mark.parametrize("seed", range(3))
def test_every_point_equals_a_mixture_made_by_hand(seed):
    first = randomized(seed, name="a", dropout=0.9)
    second = randomized(seed + 100, name="b", dropout=0.9)
    before = [first.get_weights(), second.get_weights()]
    data = batches(seed)
    points = metrics.interpolate_members(first, second, data, num_points=5)
    assert [p["position"] for p in points] == [0, 0.25, 0.5, 0.75, 1]
    for point in points:
        t = point["position"]
        mixed = [(1 - t) * a + t * b for a, b in zip(*before, strict=True)]
        accuracy, nll = numpy_accuracy_and_nll(mixed, data)
        assert point["accuracy"] == pytest.approx(accuracy)
        assert point["nll"] == pytest.approx(nll, rel=1e-4)
    # The members are unchanged, moving statistics included.
    for model, weights in zip((first, second), before, strict=True):
        for now, then in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)


def test_frozen_batch_normalization_uses_the_batches_too():
    first, second = randomized(0), randomized(1)
    data = batches(0)
    free = metrics.interpolate_members(first, second, data, num_points=3)
    first.layers[1].trainable = False
    assert free == metrics.interpolate_members(first, second, data, 3)


def test_labels_may_be_one_hot_and_data_a_dataset():
    first, second = randomized(0), randomized(1)
    (inputs, labels), *_ = batches(3, size=30)
    expected = metrics.interpolate_members(first, second, [(inputs, labels)])
    assert len(expected) == 11
    dataset = tf.data.Dataset.from_tensors((inputs, np.eye(3)[labels]))
    assert metrics.interpolate_members(first, second, dataset) == expected


def test_members_of_a_network_can_be_interpolated():
    members = [
        models.wide_resnet(10, 1, num_classes=3, input_shape=(8, 8, 1))
        for _ in range(2)
    ]
    network = SuperWeightNetwork(members, budget_params=0.9)
    first, second = network.materialize()
    generator = np.random.default_rng(0)
    images = generator.normal(size=(30, 8, 8, 1)).astype("float32")
    labels = np.argmax(first(images, training=True), axis=-1)
    points = metrics.interpolate_members(
        first, second, [(images, labels)], num_points=2
    )
    assert points[0]["accuracy"] == 1
    agree = np.argmax(second(images, training=True), axis=-1) == labels
    assert points[1]["accuracy"] == pytest.approx(agree.mean())
    with pytest.raises(TypeError, match="`first`.*materialize"):
        metrics.interpolate_members(*network.members, [(images, labels)])


def wired(name, crossed):
    """Returns a model of two dense layers, in sequence or in parallel."""
    inputs = keras.Input((4,))
    one = keras.layers.Dense(4, name=f"{name}_one")(inputs)
    two = keras.layers.Dense(4, name=f"{name}_two")(inputs if crossed else one)
    return keras.Model(inputs, keras.layers.Add()([one, two]), name=name)


def test_names_are_not_part_of_an_architecture():
    points = metrics.interpolate_members(
        wired("a", False), wired("b", False), batches(0), num_points=2
    )
    assert [point["position"] for point in points] == [0, 1]
    assert metrics.same_architecture(wired("a", False), wired("b", False))
    assert not metrics.same_architecture(wired("a", False), wired("b", True))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (normalized_net(), normalized_net(units=6)),
        (normalized_net(), normalized_net(activation="relu")),
        (wired("a", False), wired("b", True)),
    ],
    ids=["width", "activation", "wiring"],
)
def test_other_architectures_are_refused(first, second):
    with pytest.raises(ValueError, match="same architecture.*layers and"):
        metrics.interpolate_members(first, second, batches(0))


def test_other_bad_arguments_are_refused():
    net = normalized_net()
    with pytest.raises(ValueError, match="num_points=1"):
        metrics.interpolate_members(net, net, batches(0), num_points=1)
    with pytest.raises(ValueError, match="iterator.*position 0.10"):
        metrics.interpolate_members(net, net, iter(batches(0)))
    with pytest.raises(TypeError, match="`second`.*Received: None"):
        metrics.interpolate_members(net, None, batches(0))
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(TypeError, match="`first`.*built Sequential"):
        metrics.interpolate_members(unbuilt, net, batches(0))
