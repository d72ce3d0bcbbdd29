"""Trains on one of several workers, as a program run by the test.

    TF_CONFIG=... python -m tests.training.workers_program FILE

Writes what `measure` returns to FILE (.npz). Workers begin with different
seeds: what they have in common comes from each other.
"""

import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw


def member(width):
    inputs = keras.Input((5, 5, 1))
    x = inputs
    for _ in range(3):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def batches(rows, size, weighted=False):
    draw = np.random.default_rng(rows)
    x = draw.normal(size=(rows, 5, 5, 1)).astype("float32")
    y = draw.integers(0, 3, rows)
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


def measure(strategy):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with strategy.scope():
        network = ksw.SuperWeightNetwork(
            [lambda: member(4), lambda: member(6)],
            0.8,
            ksw.sharing.SuperWeights(depth_bins=1),
            weight_decay=0.01,
        )
        network.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            loss,
            metrics=["accuracy"],
            jit_compile=False,
        )
    history = network.fit(
        batches(22, 8, weighted=True),
        epochs=2,
        shuffle=False,
        callbacks=[ksw.callbacks.CoefficientDecoupling(beta=0.5, epoch=1)],
        verbose=0,
    ).history
    results = {f"history {k}": v for k, v in history.items()}
    # The last batch is one row, so that a second worker has none.
    test = batches(17, 8)
    results |= network.evaluate(test, verbose=0, return_dict=True)
    results["predictions"] = network.predict(test, verbose=0)
    results |= {f"weight {i}": w for i, w in enumerate(network.get_weights())}
    results["ties"] = np.concatenate(
        [each.ties for each in network.allocation.superweights]
    )

    train = batches(16, 8)
    own = strategy.distribute_datasets_from_function(
        lambda context: rows_of(train, context)
    )
    with strategy.scope():
        found = ksw.search.find_clusters(
            [lambda: member(4), lambda: member(6)],
            0.8,
            own,
            pretrain_epochs=1,
            optimizer=keras.optimizers.SGD(0.05),
            sketch_size=64,
            verbose=0,
        )
        learned = ksw.search.learn_stores(
            keras.Sequential(
                [keras.Input((5, 5, 1)), keras.layers.Flatten()]
                + [keras.layers.Dense(width) for width in (8, 6, 4, 3)]
            ),
            0.7,
            own,
            ksw.sharing.Shapeshifter(num_stores=2),
            loss=loss,
            pretrain_epochs=1,
            optimizer=keras.optimizers.SGD(0.05),
            verbose=0,
        )
    for i, similarity in enumerate(found.similarities):
        results[f"similarity {i}"] = similarity
    results["clusters"] = json.dumps(found.allocation.clusters)
    results["coefficients"] = learned.coefficients
    results["stores"] = learned.sharing.stores
    return results


def batch_norm_statistics(strategy, x, y):
    """Returns the moving mean and variance after one step on one batch."""
    with strategy.scope():
        network = ksw.share(
            keras.Sequential(
                [keras.Input((4,)), keras.layers.BatchNormalization(momentum=0)]
                + [keras.layers.Dense(4) for _ in range(2)]
            ),
            1.0,
        )
        network.compile("sgd", "mse", jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x))
    network.fit(data, verbose=0)
    (layer,) = [
        each
        for each in network.members[0].layers
        if isinstance(each, keras.layers.BatchNormalization)
    ]
    return {
        "inputs": x,
        "moving mean": layer.moving_mean.numpy(),
        "moving variance": layer.moving_variance.numpy(),
    }


if __name__ == "__main__":
    multi_worker = tf.distribute.MultiWorkerMirroredStrategy()
    assert multi_worker.num_replicas_in_sync == 2
    task = json.loads(os.environ["TF_CONFIG"])["task"]
    keras.utils.set_random_seed(task["index"])
    inputs = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    np.savez(
        sys.argv[1],
        **measure(multi_worker),
        **batch_norm_statistics(multi_worker, inputs, inputs),
    )
