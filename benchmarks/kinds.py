"""Kinds of ensembles on real data: shared, alone, and sharing nothing.

    python -m benchmarks.kinds [--seeds 0 1 2] [--epochs 1.0]

Compares three small networks inside the parameters of one with that one network
and with three that share nothing, on

    diabetes    442 patients, 10 measurements, disease progression after a year
                (`sklearn.datasets.load_diabetes`); perceptrons that predict
                mean and variance, `Regression(variance=True)`. RMSE and NLL of
                the standardised target
    ink         1797 handwritten digits of 8x8 pixels with added noise; one of
                three levels of ink at each pixel
                (`sklearn.datasets.load_digits`); U-Nets that classify every
                pixel, `Classifier()`. Accuracy and mean IoU

Each seed holds out a fifth of the data for the test. Prints mean and standard
deviation over the seeds. --epochs multiplies the epochs of the recipes.
"""

import argparse
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import sklearn.datasets
from keras import layers
from sklearn.metrics import jaccard_score

import keras_superweights as ksw
from benchmarks.comparing import table
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles

NUM_MEMBERS = 3
LEVELS = 3


def perceptron():
    inputs = keras.Input((10,))
    x = layers.Dense(32, "relu")(inputs)
    x = layers.Dense(32, "relu")(x)
    return keras.Model(inputs, layers.Dense(2)(x), name="perceptron")


def unet():
    """Goes down to 4x4 pixels and up again, with one skip connection."""
    inputs = keras.Input((8, 8, 1))
    fine = convolutions(inputs, 8)
    coarse = convolutions(layers.MaxPooling2D()(fine), 16)
    x = layers.Concatenate()([layers.UpSampling2D()(coarse), fine])
    x = convolutions(x, 8)
    return keras.Model(inputs, layers.Conv2D(LEVELS, 1)(x), name="unet")


def convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return x


def held_out(x, y, seed):
    """Returns `(train, test)`, each `(x, y)`; the test split is a fifth."""
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = np.split(order, [len(x) // 5])
    return (x[train], y[train]), (x[test], y[test])


def diabetes(seed):
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    train, test = held_out(x, y[:, None], seed)

    def standardised(split):
        for part, known in zip(split, train, strict=True):
            yield ((part - known.mean(0)) / known.std(0)).astype("float32")

    return list(standardised(train)), list(standardised(test))


def ink(seed):
    images = sklearn.datasets.load_digits().images[..., None]
    # No ink, a trace of it, a stroke: 49, 21 and 30 % of all pixels.
    levels = np.digitize(images[..., 0], [1, 9])
    noise = np.random.default_rng(seed).normal(0, 4, images.shape)
    noisy = ((images + noise) / 16).astype("float32")
    return held_out(noisy, levels, seed)


def measure_values(network, x, y):
    mean, variance = np.split(network.predict(x, verbose=0), 2, axis=-1)
    squares = (y - mean) ** 2
    nll = (np.log(2 * np.pi * variance) + squares / variance) / 2
    return {"RMSE": math.sqrt(squares.mean()), "NLL": float(nll.mean())}


def measure_pixels(network, x, y):
    found = network.predict(x, verbose=0).argmax(axis=-1)
    iou = jaccard_score(y.ravel(), found.ravel(), average="macro")
    return {"accuracy": np.mean(found == y), "IoU": iou}


TASKS = {
    "diabetes": {
        "data": diabetes,
        "member": perceptron,
        "kind": lambda: ksw.ensembles.Regression(variance=True),
        "loss": ksw.ensembles.GaussianNLL,
        "measure": measure_values,
        "epochs": 30,
        "learning_rate": 3e-3,
    },
    "ink": {
        "data": ink,
        "member": unet,
        "kind": ksw.ensembles.Classifier,
        "loss": lambda: keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        ),
        "measure": measure_pixels,
        "epochs": 6,
        "learning_rate": 1e-2,
    },
}


def run(task, seeds, epochs):
    """Trains all ways on a task; returns `{way: {measure: values}}`."""
    build = task["member"]
    one = ksw.allocate(build, 1.0, Independent()).independent_params
    members = [build] * NUM_MEMBERS
    ways = {
        "one network": (build, 1.0, Independent()),
        "shared": (members, one, MixtureEnsembles()),
        "independent": (members, 1.0, Independent()),
    }
    num_epochs = max(1, round(epochs * task["epochs"]))
    results = {way: {"params": []} for way in ways}
    for way, sharing in ways.items():
        for seed in seeds:
            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
            train, test = task["data"](seed)
            network = ksw.SuperWeightNetwork(*sharing, ensemble=task["kind"]())
            steps = num_epochs * math.ceil(len(train[0]) / 32)
            schedule = keras.optimizers.schedules.CosineDecay(
                task["learning_rate"], steps
            )
            optimizer = keras.optimizers.Adam(schedule)
            network.compile(optimizer, task["loss"](), jit_compile=False)
            network.fit(*train, epochs=num_epochs, verbose=0)
            results[way]["params"].append(network.allocation.num_params)
            for measure, value in task["measure"](network, *test).items():
                results[way].setdefault(measure, []).append(float(value))
    return results


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    options = parser.parse_args(arguments)
    for name in options.tasks:
        values = run(TASKS[name], options.seeds, options.epochs)
        print(table(values, name), "\n")


if __name__ == "__main__":
    main()
