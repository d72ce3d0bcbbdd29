"""One replica: the first step is traced once and trains as in Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent
from tests.training.networks import compiled

IMAGES = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
LABELS = np.arange(8) % 3


def dense_net(sparse=False):
    inputs = keras.Input((5,), sparse=sparse)
    x = keras.layers.Dense(4, activation="tanh")(inputs)
    x = keras.layers.Dense(4, activation="tanh")(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


class Traced(ksw.SuperWeightNetwork):
    """Counts how often a step is traced."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def traced_network(members, **kwargs):
    return compile_(Traced(members, 1.0, Independent()), **kwargs)


def compile_(model, **kwargs):
    kwargs = kwargs or {"jit_compile": False}
    return compiled(model, keras.optimizers.Adam(0.01), **kwargs)


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
    """On the same batches, none of which is lost to find shapes."""
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
    network = traced_network(dense_net(sparse=True))
    data = (tf.sparse.from_dense(IMAGES), LABELS)
    network.fit(tf.data.Dataset.from_tensors(data), verbose=0)
    assert network.traces == 2


def test_an_eager_network_makes_nothing_ahead():
    network = traced_network(dense_net(), run_eagerly=True)
    network.fit(IMAGES, LABELS, batch_size=4, verbose=0)
    assert network.traces == 2  # its steps


@pytest.mark.parametrize("fit", [True, False])
def test_images_of_another_shape_are_refused_as_by_keras(fit):
    for model in (traced_network(dense_net()), compile_(dense_net())):
        train = model.fit if fit else model.train_on_batch
        message = r"expected shape=\(None, 5\), found shape="
        with pytest.raises(ValueError, match=message):
            train(IMAGES[:, :3], LABELS)
