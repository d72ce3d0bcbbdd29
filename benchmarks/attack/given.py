"""Valid values, made once, which the bad ones are put beside."""

import functools

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import keras_superweights as ksw
from keras_superweights.datasets import ImagePipeline


class Given:
    """Valid arguments by name; `network()` is a new one for each call.

    Args:
        directory: Where the digits are prepared.
    """

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    layer_class = type("Mine", (keras.layers.Dense,), {})
    labels = np.array([0, 1, 2, 0])
    line = [
        {"position": p, "accuracy": 0.5, "nll": 0.5} for p in (0.0, 0.5, 1.0)
    ]
    trials = [
        {"name": "one", "parameters": 9, "accuracy": 0.5, "nll": 0.5},
    ]

    def __init__(self, directory):
        self.data_dir = str(directory)
        tfds.disable_progress_bar()
        self.pipeline = ImagePipeline(
            name="sklearn_digits",
            data_dir=self.data_dir,
            validation_fraction=0.25,
        )
        self.member = perceptron("member")
        self.pair = [perceptron("one"), perceptron("other")]
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Flatten()(inputs)
        self.reader = keras.Model(inputs, keras.layers.Dense(10)(x))
        self.logits = list(
            np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
        )
        self.probabilities = ksw.metrics.ensemble_probabilities(self.logits)
        self.allocation = ksw.allocate(
            self.pair, 0.9, ksw.sharing.SuperWeights()
        )
        self.ties = [each.ties for each in self.allocation.superweights]
        self.spec = self.allocation.members[0]
        self.plan = ksw.planning.plan_training(self.pair, self.allocation)
        report = ksw.metrics.evaluate_members(
            self.logits, self.labels, [1, 2], [1.0, 2.0]
        )
        self.runs = [report | {"label": "a"}]
        self.anytime = [
            point for point in report["anytime"] if point["members"] == [0]
        ]
        self.corrupted = {
            "corruptions": [
                {
                    "corruption": "contrast",
                    "severity": 1,
                    "source": "generated",
                    "accuracy": 0.5,
                    "nll": 0.5,
                    "ece": 0.5,
                }
            ]
        }
        self.exported = [ksw.export.ExportedFile(directory, "keras", 9, 9, 0.0)]

    def network(self):
        return ksw.SuperWeightNetwork(self.pair, allocation=self.allocation)

    @functools.cached_property
    def batches(self):
        return tf.data.Dataset.from_tensor_slices(
            (np.zeros((16, 4), "float32"), np.arange(16) % 3)
        ).batch(8)

    @functools.cached_property
    def measured(self):
        rule = ksw.sharing.SuperWeights(tied=True)
        start = ksw.allocate(self.pair, 0.9, rule)
        similarities = tuple(
            np.eye(len(cluster.kernels))
            for cluster in rule.start_clusters(start.members)
        )
        return ksw.search.Measurement(start, similarities, similarities, ())

    @property
    def hyperparameters(self):
        import keras_tuner

        found = keras_tuner.HyperParameters()
        ksw.tuning.Space(budget_params=(0.2, 0.8)).declare(found)
        return found


def perceptron(name):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6, activation="relu", name="first")(inputs)
    x = keras.layers.Dense(6, activation="relu", name="second")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name=name)
