"""On one replica: the first step is traced once, and trains as Keras does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent

IMAGES = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
LABELS = np.arange(8) % 3


def dense_net(width=4):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, activation="tanh")(inputs)
    x = keras.layers.Dense(width, activation="tanh")(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


class Traced(ksw.SuperWeightNetwork):
    """Counts how often a step is traced."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def traced_network(members, **kwargs):
    network = Traced(members, 1.0, Independent())
    compile_(network, **kwargs)
    return network


def compile_(model, **kwargs):
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **kwargs,
    )


def generator():
    while True:
        yield IMAGES[:4], LABELS[:4]


def each_once():
    for start in range(0, 8, 2):
        yield IMAGES[start : start + 2], LABELS[start : start + 2]


WAYS = {
    "arrays": lambda model: model.fit(IMAGES, LABELS, batch_size=4, verbose=0),
    "weights of samples": lambda model: model.fit(
        IMAGES, LABELS, 4, verbose=0, sample_weight=np.ones(8)
    ),
    "dataset": lambda model: model.fit(
        tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4), verbose=0
    ),
    "generator": lambda model: model.fit(
        generator(), steps_per_epoch=2, verbose=0
    ),
    "one batch": lambda model: model.train_on_batch(IMAGES, LABELS),
    "after evaluation": lambda model: (
        model.evaluate(IMAGES, LABELS, verbose=0),
        model.fit(IMAGES, LABELS, verbose=0),
    ),
}


@pytest.mark.parametrize("num_members", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_is_traced_once(way, num_members):
    network = traced_network([dense_net() for _ in range(num_members)])
    WAYS[way](network)
    assert network.traces == 1


def test_it_trains_as_keras_does():
    """On the same batches, none of which is taken to look at its shape."""
    member = dense_net()
    plain = keras.models.clone_model(member)
    network = traced_network(member)
    plain.set_weights([v.numpy() for v in network.materialize()[0].weights])
    compile_(plain)
    found, expected = (
        model.fit(each_once(), steps_per_epoch=4, verbose=0).history
        for model in (network, plain)
    )
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, 1e-5, err_msg=name)


def test_sparse_tensors_are_left_to_the_step():
    inputs = keras.Input((5,), sparse=True)
    x = keras.layers.Dense(4)(keras.layers.Dense(4)(inputs))
    network = traced_network(keras.Model(inputs, keras.layers.Dense(3)(x)))
    data = (tf.sparse.from_dense(IMAGES), LABELS)
    network.fit(tf.data.Dataset.from_tensors(data), verbose=0)
    assert network.traces == 2


def test_an_eager_network_makes_nothing_ahead():
    network = traced_network(dense_net(), run_eagerly=True)
    network.fit(IMAGES, LABELS, batch_size=4, verbose=0)
    assert network.traces == 2  # its steps


@pytest.mark.parametrize("fit", [True, False])
def test_images_of_another_shape_are_refused_as_by_keras(fit):
    messages = []
    for model in (traced_network(dense_net()), dense_net()):
        compile_(model)
        with pytest.raises(ValueError, match="shape") as error:
            if fit:
                model.fit(IMAGES[:, :3], LABELS, verbose=0)
            else:
                model.train_on_batch(IMAGES[:, :3], LABELS)
        messages.append(str(error.value))
    for message in messages:
        assert "expected shape=(None, 5), found shape=" in message
