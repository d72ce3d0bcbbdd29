"""Trains on two replicas, with and without batch norm.

    python -m tests.training.replicas_program DIRECTORY

TensorFlow splits the CPU before it starts, and a process should hold one
MirroredStrategy, so these replicas are a process of their own.
"""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tests.training.networks import CLASSES
from tests.training.networks import batch_of
from tests.training.networks import shared
from tests.training.networks import small_net


def build(batch_norm):
    def member(width):
        model = small_net(width, regularizer="l2", batch_norm=batch_norm)
        for layer in model.layers:
            if batch_norm and hasattr(layer, "momentum"):
                layer.momentum = 0.5
        return model

    network = shared([member(4), member(6)], weight_decay=0.01)
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        # The second makes its variables when it sees the shape of labels.
        metrics=["accuracy", keras.metrics.F1Score(average="macro")],
        jit_compile=False,
    )
    return network


def measure(strategy, batch_norm, directory):
    """Trains under a strategy and writes results to a directory."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        network = build(batch_norm)
    x, labels = batch_of(24)
    y = np.eye(CLASSES, dtype="float32")[labels]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 24).astype("float32")

    def generator():
        # As many batches as are trained on: none may be lost.
        for start in (0, 8, 16) * 2:
            batch = slice(start, start + 8)
            yield x[batch], y[batch], weight[batch]

    history = network.fit(
        generator(), epochs=2, steps_per_epoch=3, verbose=0
    ).history
    evaluated = network.evaluate(
        tf.data.Dataset.from_tensor_slices((x, y)).batch(8),
        verbose=0,
        return_dict=True,
    )
    apart = 0.0
    for variable in network.weights:
        copies = strategy.experimental_local_results(variable.value)
        assert len(copies) == strategy.num_replicas_in_sync
        difference = copies[0].numpy() - copies[-1].numpy()
        apart = max(apart, float(np.abs(difference).max()))
    directory.mkdir(parents=True)
    network.save(directory / "network.keras")
    results = {"history": history, "evaluated": evaluated, "apart": apart}
    (directory / "results.json").write_text(json.dumps(results))
    np.savez(
        directory / "arrays.npz",
        x=x,
        predictions=network.predict(x, verbose=0),
        **{f"w{i}": np.array(w) for i, w in enumerate(network.weights)},
    )


def main(directory):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    measure(strategy, False, directory / "plain")
    measure(strategy, True, directory / "batch_norm")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
