"""Trains and searches on two replicas, or as one of two workers.

    python -m tests.training.distributed_program DIRECTORY
    TF_CONFIG=... python -m tests.training.distributed_program DIRECTORY

Writes what is measured to DIRECTORY/NAME.npz, NAME of `replicas` or of the
worker's index, and the network of the replicas. Workers begin with different
seeds: what they have in common comes from each other. A program of its own:
TensorFlow splits the CPU before it starts, and a process holds one strategy.
"""

import json
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.optimizers import IVON
from tests.builders import perceptron
from tests.contracts import cases
from tests.optimizers.networks import ByHand
from tests.optimizers.networks import gradient
from tests.optimizers.networks import linear


def batches(rows, size, weighted=False):
    draw = np.random.default_rng(rows)
    x = draw.normal(size=(rows, 5)).astype("float32")
    y = np.eye(3, dtype="float32")[draw.integers(0, 3, rows)]
    weight = draw.uniform(0.5, 2.0, rows).astype("float32")
    data = (x, y, weight) if weighted else (x, y)
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def rows_of(data, context):
    """Keeps a worker's own rows of batches of 8."""
    rows = 8 // context.num_input_pipelines
    start = rows * context.input_pipeline_id
    return data.map(
        lambda x, y: (x[start : start + rows], y[start : start + rows])
    )


def member(width):
    return perceptron(width, depth=3, kernel_regularizer="l2")


class Recorded(keras.callbacks.Callback):
    """Keeps what the first epoch has recorded, before it is used."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            recorder = self.model._recorder
            gradients = recorder.coefficient_gradients()
            self.gradients = np.concatenate([g.ravel() for g in gradients])
            total = recorder._coefficients[0].value
            self.copies = len(getattr(total, "values", [total]))


def trained(strategy, train, test):
    """Returns a network after two epochs, and what is measured of it."""
    with strategy.scope():
        network = ksw.SuperWeightNetwork(
            [member(4), member(6)],
            0.8,
            ksw.sharing.SuperWeights(depth_bins=1, tied=True),
            weight_decay=0.01,
        )
        network.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            # The second makes its variables when it sees the shape of labels.
            metrics=["accuracy", keras.metrics.F1Score(average="macro")],
            jit_compile=False,
        )
    # `fit` is called outside the scope, as Keras allows.
    history = network.fit(
        train,
        epochs=2,
        steps_per_epoch=3,
        shuffle=False,
        callbacks=[
            recorded := Recorded(),
            ksw.callbacks.CoefficientDecoupling(beta=0.9, epoch=1),
        ],
        verbose=0,
    ).history
    results = {f"history {k}": v for k, v in history.items()}
    results |= network.evaluate(test, verbose=0, return_dict=True)
    results["predictions"] = network.predict(test, verbose=0)
    results |= {f"weight {i}": w for i, w in enumerate(network.get_weights())}
    results["recorded"] = recorded.gradients
    results["copies"] = recorded.copies
    results["ties"] = np.concatenate(
        [each.ties for each in network.allocation.superweights]
    )
    results["apart"] = 0.0
    for variable in network.weights:
        copies = strategy.experimental_local_results(variable.value)
        difference = np.array(copies[0]) - np.array(copies[-1])
        results["apart"] += np.abs(difference).sum()
    return network, results


def searched(strategy, data):
    """Returns what both searches find."""
    settings = {
        "loss": keras.losses.CategoricalCrossentropy(from_logits=True),
        "pretrain_epochs": 1,
        "verbose": 0,
    }
    with strategy.scope():
        found = ksw.search.find_clusters(
            [member(4), member(6)],
            2.0,
            data,
            ksw.sharing.SuperWeights(depth_bins=2),
            beta=0.5,
            optimizer=keras.optimizers.SGD(0.05),
            sketch_size=8,
            **settings,
        )
        learned = ksw.search.learn_stores(
            member(6),
            0.7,
            data,
            ksw.sharing.Shapeshifter(num_stores=2),
            optimizer=keras.optimizers.SGD(0.05),
            **settings,
        )
    matrices = found.similarities + found.coefficient_similarities
    return {
        **{f"similarity {i}": matrix for i, matrix in enumerate(matrices)},
        "allocation": found.allocation.to_json(),
        "clusters": json.dumps(found.allocation.clusters),
        "coefficients": learned.coefficients,
        "stores": learned.sharing.stores,
    }


def normalized(strategy):
    """Returns the statistics of batch norm after one step on one batch."""
    stack = [keras.layers.BatchNormalization(momentum=0)]
    stack += [keras.layers.Dense(4) for _ in range(2)]
    with strategy.scope():
        network = ksw.share(keras.Sequential([keras.Input((4,)), *stack]), 1.0)
        network.compile("sgd", "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    data = tf.data.Dataset.from_tensors((x, x))
    statistics = []
    for rows in (x, x[:1]):
        data = tf.data.Dataset.from_tensors((rows, rows))
        network.fit(data, verbose=0)
        statistics += [
            np.array(strategy.experimental_local_results(variable.value))
            for variable in network.members[0].non_trainable_variables
        ]
    return {
        "inputs": x,
        "moving means": statistics[0],
        "moving variances": statistics[1],
        "means of one row": statistics[2],
    }


def unequal(strategy):
    """What replicas with unequal rows, or none, do, and what they refuse."""
    # Rows 2 + 1, 2 + 1 and 1 + 0.
    data = batches(7, 3)
    weights = []
    for scope in (tf.distribute.get_strategy(), strategy):
        keras.utils.set_random_seed(0)
        with scope.scope():
            network = ksw.SuperWeightNetwork([perceptron()] * 2)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            network.compile(keras.optimizers.SGD(0.5), loss)
        network.fit(data, verbose=0)
        values = [weight.ravel() for weight in network.get_weights()]
        weights.append(np.concatenate(values))
    network.compile("sgd", loss, steps_per_execution=2)
    try:
        network.fit(data, verbose=0)
    except ValueError as error:
        return {"unequal rows": weights, "refused": str(error)}


def contracts(strategy):
    """How far each case is after one step from the same without a strategy."""
    apart = {}
    for name in cases.CASES:
        one = cases.build(name)
        x, y = cases.batch(one)
        one.train_on_batch(x, y)
        with strategy.scope():
            other = cases.build(name)
        data = tf.data.Dataset.from_tensors((x, y))
        other.fit(data, verbose=0)
        differences = [
            np.abs(a - b).max()
            for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
        ]
        apart[f"case {name}"] = np.max(differences)  # also where one is NaN
    return apart


def by_ivon(strategy, estimator):
    """How far two steps of IVON are from the algorithm by hand.

    Each replica has noise of its own at its half of the batch, and a loss that
    is scaled.
    """
    settings = {"ess": 8, "weight_decay": 0.1, "beta_2": 0.9}
    with strategy.scope():
        ivon = IVON(0.5, **settings, estimator=estimator, seed=3)
        scaled = keras.optimizers.LossScaleOptimizer(ivon, initial_scale=8.0)
        network = linear(scaled, jit_compile=False)
    (variable,) = network.trainable_variables
    start = variable.numpy().reshape(2, 1)
    hand = ByHand(start, 8, 1.0, 0.1, betas=(0.9, 0.9), estimator=estimator)
    draw = np.random.default_rng(0)
    x, y = (draw.normal(size=(8, s)).astype("float32") for s in (2, 1))
    network.fit(tf.data.Dataset.from_tensors((x, y)).repeat(2), verbose=0)
    standard = IVON(0.0, ess=1, weight_decay=0.0)
    zeros = keras.Variable(np.zeros((2, 1), "float32"))
    standard.build([zeros])
    for step in range(2):
        normals = []
        for replica in range(2):
            seed = tf.constant([3, step], "int64")
            for data in (replica, 0):
                seed = tf.random.fold_in(seed, data)
            normals += standard.sample([zeros], seed)
        hand.step(
            normals,
            lambda w, i: gradient(x[4 * i :][:4], y[4 * i :][:4], w),
            0.5,
        )
    found = [variable, ivon._momentums[0], ivon._hessians[0]]
    return np.max(
        [
            np.abs(slot.numpy().reshape(2, 1) - expected).max()
            for slot, expected in zip(
                found, (hand.m, hand.g, hand.h), strict=True
            )
        ]
    )


def measure(strategy, train=None, data=None):
    """Returns a network, and all that is measured but batch norm."""
    train = train or batches(22, 8, weighted=True).repeat(2)
    # The last batch is one row, so that a second worker has none.
    network, results = trained(strategy, train, batches(17, 8))
    return network, results | searched(strategy, data or batches(16, 8))


def as_worker():
    """Returns a strategy, and what `measure` takes, of a worker."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    data = strategy.distribute_datasets_from_function(
        lambda context: rows_of(batches(16, 8), context)
    )
    return strategy, None, data


def as_replicas():
    """Returns a strategy, and what `measure` takes, of two replicas."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    # As many batches as are trained on: none may be lost.
    train = batches(22, 8, weighted=True).repeat(2).as_numpy_iterator()
    return strategy, (batch for batch in train), None


def main(directory):
    config = os.environ.get("TF_CONFIG")
    strategy, train, data = as_worker() if config else as_replicas()
    assert strategy.num_replicas_in_sync == 2
    index = json.loads(config)["task"]["index"] if config else 0
    keras.utils.set_random_seed(index)
    network, results = measure(strategy, train, data)
    results |= normalized(strategy)
    if not config:
        network.save(directory / "network.keras")
        results |= contracts(strategy) | unequal(strategy)
        for estimator in ("price", "gradsq"):
            results[f"ivon {estimator}"] = by_ivon(strategy, estimator)
    name = index if config else "replicas"
    np.savez(directory / f"{name}.npz", **results)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
