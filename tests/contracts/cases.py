"""Small networks that together use every layer, part, rule and kind."""

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights import ensembles
from keras_superweights import sharing
from keras_superweights.parts import RankOne
from keras_superweights.parts import Standardized
from tests.ensembles.cases import mlp
from tests.ensembles.cases import per_pixel

layers = keras.layers


def images(width=4):
    """Uses every layer for images, without replica-dependent batch norm."""
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(inputs)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.SeparableConv2D(width, 3, padding="same")(x)
    x = layers.Conv2DTranspose(width, 3, padding="same")(x)
    x = layers.Reshape((4, 4, 1, width))(x)
    x = layers.Conv3D(width, 1, activation="tanh")(x)
    x = layers.Reshape((16, width))(x)
    x = layers.Conv1D(width, 3, padding="same")(x)
    x = layers.DepthwiseConv1D(3, padding="same")(x)
    x = layers.SeparableConv1D(width, 3, padding="same")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def words(width=4):
    """Uses every layer for words."""
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Add()(
        [
            layers.Embedding(7, width)(inputs),
            layers.ReversibleEmbedding(7, width)(inputs),
        ]
    )
    x = layers.Bidirectional(layers.GRU(width, return_sequences=True))(x)
    x = layers.LSTM(width, return_sequences=True)(x)
    x = layers.EinsumDense("abc,cd->abd", (None, width))(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def convolutions(width=4):
    """Has a few kernels of two shapes."""
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(inputs)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


ONE_BIN = sharing.SuperWeights(depth_bins=1)
PAIR = [convolutions] * 2
# By name: the rule, the budget, and what makes the members.
CASES = {
    "image layers": (sharing.Shapeshifter(), 0.6, images),
    "word layers": (sharing.Shapeshifter(max_templates=2), 0.6, words),
    "nested": (ONE_BIN, 0.9, convolutions, lambda: convolutions(6)),
    "tied": (sharing.SuperWeights("position", tied=True), 0.9, *PAIR),
    "mixtures": (sharing.MixtureEnsembles(max_templates=2), 1.2, *PAIR),
    "one store": (sharing.MixtureEnsembles(), 0.55, *PAIR),
    "embeddings": (
        sharing.Shapeshifter("emb", max_templates=2, upsampling="repeat"),
        0.8,
        convolutions,
    ),
    "interpolated": (
        sharing.Shapeshifter("avg", upsampling="bilinear"),
        0.3,
        convolutions,
    ),
    "rank one": (
        sharing.HardSharing(scope="both", transforms=RankOne()),
        0.9,
        *PAIR,
    ),
    "batch ensemble": (
        sharing.BatchEnsemble(rate=0.5, also_shared="bias"),
        0.9,
        *PAIR,
    ),
    "masked": (sharing.Shapeshifter(), 0.4, convolutions),
    "repeated": (sharing.Shapeshifter(upsampling="repeat"), 0.3, convolutions),
    "soft": (sharing.SoftSharing(), 1.2, convolutions),
    "standardized": (
        sharing.FairShares(transforms=Standardized()),
        0.6,
        *[convolutions] * 3,
    ),
    "fair": (sharing.FairShares(), 0.6, *[convolutions] * 3),
    "independent": (sharing.Independent(), 1.0, *PAIR),
    "pixels": (ONE_BIN, 0.9, *[lambda: per_pixel(3)] * 2),
    "labels": (sharing.MixtureEnsembles(), 0.9, *[lambda: mlp(2)] * 2),
    "values": (sharing.MixtureEnsembles(), 0.9, *[lambda: mlp(1)] * 2),
    "variances": (sharing.MixtureEnsembles(), 0.9, *[lambda: mlp(2)] * 2),
    "several inputs": (
        ONE_BIN,
        0.9,
        lambda: ksw.models.mimo(convolutions(), 2),
    ),
}
KINDS = {
    "pixels": ensembles.Classifier(),
    "labels": ensembles.MultiLabel(),
    "values": ensembles.Regression(),
    "variances": ensembles.Regression(variance=True),
    # All see the same: what replicas see would differ otherwise.
    "several inputs": ensembles.MIMO(2, 1, input_repetition=1.0),
}


def allocate(name):
    """Allocates a case without making variables."""
    rule, budget, *members = CASES[name]
    return ksw.allocate(members, budget, rule)


def build(name, **kwargs):
    """Builds and compiles the network of a case, always equal."""
    keras.utils.set_random_seed(0)
    rule, budget, *members = CASES[name]
    network = ksw.SuperWeightNetwork(
        [member() for member in members],
        budget,
        rule,
        ensemble=KINDS.get(name),
    )
    return compiled(network, **kwargs)


def compiled(network, **kwargs):
    """Compiles a network, to run eagerly unless told otherwise."""
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        loss(network.ensemble),
        **(kwargs or {"run_eagerly": True}),
    )
    return network


def loss(kind):
    """Returns a loss for a kind of ensemble."""
    if isinstance(kind, ensembles.MultiLabel):
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if isinstance(kind, ensembles.Regression):
        return ensembles.GaussianNLL() if kind.variance else "mse"
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batch(network, size=8):
    """Draws inputs and targets for the network of a case."""
    draw = np.random.default_rng(0)
    member = network.members[0]
    kind = network.ensemble
    shape = (size, *kind.input(network.members).shape[1:])
    if member.inputs[0].dtype == "int32":
        x = draw.integers(1, 7, shape)
    else:
        x = draw.normal(size=shape).astype("float32")
    outputs = (size, *member.output_shape[1:])
    if isinstance(kind, ensembles.MultiLabel):
        return x, draw.integers(0, 2, outputs).astype("float32")
    if isinstance(kind, ensembles.Regression):
        return x, draw.normal(size=(size, 1)).astype("float32")
    return x, draw.integers(0, 3, outputs[:-1])
