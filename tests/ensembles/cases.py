"""Cases of every kind of ensemble and their networks."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

import keras_superweights as ksw
from keras_superweights.sharing import MixtureEnsembles


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of ensemble with its members, loss, metrics and labels."""

    kind: ksw.ensembles.EnsembleKind
    member: Callable
    labels: Callable  # of a random generator and a number of examples
    loss: Callable
    metrics: Callable = lambda: ["accuracy"]
    comparisons: Sequence = ("diversity",)
    num_members: int = 2

    def network(self, **kwargs):
        return ksw.SuperWeightNetwork(
            [self.member() for _ in range(self.num_members)],
            1.0,
            MixtureEnsembles(),
            ensemble=self.kind,
            **kwargs,
        )

    def compiled(self, network, optimizer=None, **kwargs):
        network.compile(
            optimizer or keras.optimizers.SGD(0.1),
            self.loss(),
            metrics=self.metrics(),
            **(kwargs or {"run_eagerly": True}),
        )
        return network

    def evaluated(self, batch_size=3):
        """Returns plain members, their inputs and labels, and logs."""
        network = self.compiled(self.network())
        x, y = self.batch()
        logs = network.evaluate(x, y, batch_size, verbose=0, return_dict=True)
        return network.materialize(), x, y, logs

    def batch(self, size=8, seed=0):
        draw = np.random.default_rng(seed)
        (inputs,) = self.member().inputs
        shape = (size, *inputs.shape[1:])
        if inputs.dtype == "int32":  # words; 0 is padding
            x = draw.integers(0, 6, shape)
            x[:, 0] = 1
        else:
            x = draw.normal(size=shape).astype("float32")
        return x, self.labels(draw, size)


def softmax(logits):
    logits = logits.astype("float64")
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def mlp(columns, activation=None):
    inputs = keras.Input((4,))
    x = layers.Dense(5, "tanh")(inputs)
    x = layers.Dense(5, "tanh")(x)
    return keras.Model(inputs, layers.Dense(columns, activation)(x))


def per_pixel(columns):
    inputs = keras.Input((3, 2, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="tanh")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="tanh")(x)
    return keras.Model(inputs, layers.Conv2D(columns, 1)(x))


def per_token(columns):
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = layers.Dense(4, "tanh")(x)
    return keras.Model(inputs, layers.Dense(columns)(x))


def sparse_crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def binary_crossentropy():
    return keras.losses.BinaryCrossentropy(from_logits=True)


def classes(count, *shape):
    """Labels that are classes, as integers."""
    return lambda draw, size: draw.integers(0, count, (size, *shape))


def one_hot(draw, size):
    return np.eye(3, dtype="float32")[draw.integers(0, 3, size)]


def binary(*shape):
    """Labels that are 0 or 1."""
    return lambda draw, size: draw.integers(0, 2, (size, *shape)).astype("f4")


def values(*shape):
    """Labels that are real numbers."""
    return lambda draw, size: draw.normal(size=(size, *shape)).astype("f4")


CASES = {
    "single": Case(
        ksw.ensembles.Single(),
        lambda: mlp(2),
        values(2),
        lambda: "mse",
        metrics=lambda: ["mae", keras.metrics.R2Score()],
        comparisons=(),
        num_members=1,
    ),
    "classifier": Case(
        ksw.ensembles.Classifier(),
        lambda: mlp(3),
        one_hot,
        lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=lambda: ["accuracy", keras.metrics.F1Score("macro")],
    ),
    "classifier of pixels": Case(
        ksw.ensembles.Classifier(),
        lambda: per_pixel(3),
        classes(3, 3, 2),
        sparse_crossentropy,
        metrics=lambda: [
            "accuracy",
            keras.metrics.MeanIoU(3, name="iou", sparse_y_pred=False),
        ],
    ),
    "classifier of tokens": Case(
        ksw.ensembles.Classifier(),
        lambda: per_token(3),
        classes(3, 5),
        sparse_crossentropy,
    ),
    "classifier of one member": Case(
        ksw.ensembles.Classifier(),
        lambda: mlp(3),
        classes(3),
        sparse_crossentropy,
        comparisons=(),
        num_members=1,
    ),
    "binary": Case(
        ksw.ensembles.MultiLabel(),
        lambda: mlp(1),
        binary(1),
        binary_crossentropy,
        metrics=lambda: ["accuracy", keras.metrics.AUC(name="auc")],
    ),
    "multi-label": Case(
        ksw.ensembles.MultiLabel(),
        lambda: mlp(3),
        binary(3),
        binary_crossentropy,
        metrics=lambda: [
            "accuracy",
            keras.metrics.F1Score("macro", threshold=0.5),
        ],
        num_members=3,
    ),
    "values": Case(
        ksw.ensembles.Regression(),
        lambda: mlp(2),
        values(2),
        lambda: "mse",
        metrics=lambda: ["mae", keras.metrics.R2Score()],
        comparisons=("ambiguity",),
    ),
    "mean and variance": Case(
        ksw.ensembles.Regression(variance=True),
        lambda: mlp(4),
        values(2),
        ksw.ensembles.GaussianNLL,
        metrics=lambda: [
            keras.metrics.RootMeanSquaredError("rmse"),
            keras.metrics.R2Score(),
        ],
        comparisons=("ambiguity",),
        num_members=3,
    ),
    "mean and variance of one member": Case(
        ksw.ensembles.Regression(variance=True),
        lambda: mlp(4),
        values(2),
        ksw.ensembles.GaussianNLL,
        metrics=lambda: ["mae"],
        comparisons=(),
        num_members=1,
    ),
    "values of pixels": Case(
        ksw.ensembles.Regression(),
        lambda: per_pixel(1),
        values(3, 2, 1),
        keras.losses.Huber,
        metrics=lambda: [],
        comparisons=("ambiguity",),
    ),
}
