"""Trains with and without batch norm; on two replicas, if it is a program.

    python replicas_program.py DIRECTORY

TensorFlow splits the CPU before it starts, and a process should hold one
MirroredStrategy, so these replicas are a process of their own.
"""

import contextlib
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw


def member(width, batch_norm):
    inputs = keras.Input((6, 6, 2))
    x = inputs
    for _ in range(3):
        x = keras.layers.Conv2D(
            width, 3, padding="same", kernel_regularizer="l2"
        )(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.5)(x)
        x = keras.layers.Activation("tanh")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def build(batch_norm):
    network = ksw.SuperWeightNetwork(
        [lambda: member(4, batch_norm), lambda: member(6, batch_norm)],
        0.8,
        ksw.sharing.SuperWeights(depth_bins=1),
        weight_decay=0.01,
    )
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        # The second makes its variables when it sees the shape of labels.
        metrics=["accuracy", keras.metrics.F1Score(average="macro")],
        jit_compile=False,
    )
    return network


def differ(one, other):
    return float(np.abs(one.numpy() - other.numpy()).max())


def measure(strategy, batch_norm, directory):
    """Writes what training under a strategy, or none, leads to."""
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        network = build(batch_norm)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(24, 6, 6, 2)).astype("float32")
    y = np.eye(3, dtype="float32")[draw.integers(0, 3, 24)]
    weight = draw.uniform(0.5, 2.0, 24).astype("float32")

    def generator():
        # Not one batch more than is trained on: none may be lost.
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
    if strategy:
        for variable in network.weights:
            copies = strategy.experimental_local_results(variable.value)
            assert len(copies) == 2
            apart = max(apart, differ(*copies))
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
