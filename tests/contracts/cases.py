"""Small networks that together use every layer, part, rule and kind."""

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights import ensembles
from keras_superweights.parts import RankOne
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SoftSharing
from keras_superweights.sharing import SuperWeights
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


# By name: the rule, the budget, and what makes the members.
CASES = {
    "image layers": (Shapeshifter(), 0.6, images),
    "word layers": (Shapeshifter(max_templates=2), 0.6, words),
    "nested": (
        SuperWeights(depth_bins=1),
        0.9,
        convolutions,
        lambda: convolutions(6),
    ),
    "tied": (
        SuperWeights(clusters="position", tied=True),
        0.9,
        convolutions,
        convolutions,
    ),
    "mixtures": (
        MixtureEnsembles(max_templates=2),
        1.2,
        convolutions,
        convolutions,
    ),
    "one store": (MixtureEnsembles(), 0.55, convolutions, convolutions),
    "embeddings": (
        Shapeshifter("emb", max_templates=2, upsampling="repeat"),
        0.8,
        convolutions,
    ),
    "interpolated": (
        Shapeshifter("avg", upsampling="bilinear"),
        0.3,
        convolutions,
    ),
    "rank one": (
        HardSharing(scope="both", transforms=RankOne()),
        0.9,
        convolutions,
        convolutions,
    ),
    "masked": (Shapeshifter(), 0.4, convolutions),
    "repeated": (Shapeshifter(upsampling="repeat"), 0.3, convolutions),
    "soft": (SoftSharing(), 1.2, convolutions),
    "independent": (Independent(), 1.0, convolutions, convolutions),
    "pixels": (SuperWeights(depth_bins=1), 0.9, *[lambda: per_pixel(3)] * 2),
    "labels": (MixtureEnsembles(), 0.9, *[lambda: mlp(2)] * 2),
    "values": (MixtureEnsembles(), 0.9, *[lambda: mlp(1)] * 2),
    "variances": (MixtureEnsembles(), 0.9, *[lambda: mlp(2)] * 2),
}
KINDS = {
    "pixels": ensembles.Classifier(),
    "labels": ensembles.MultiLabel(),
    "values": ensembles.Regression(),
    "variances": ensembles.Regression(variance=True),
}


def allocate(name):
    """Allocates a case without making variables."""
    rule, budget, *members = CASES[name]
    return ksw.allocate(members, budget, rule)


def build(name, run_eagerly=True):
    """Builds and compiles the network of a case, always equal."""
    keras.utils.set_random_seed(0)
    rule, budget, *members = CASES[name]
    network = ksw.SuperWeightNetwork(
        [member() for member in members],
        budget,
        rule,
        ensemble=KINDS.get(name),
    )
    return compiled(network, run_eagerly)


def compiled(network, run_eagerly=True):
    """Compiles a network as all cases are compiled."""
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        loss(network.ensemble),
        run_eagerly=run_eagerly,
        jit_compile=False,
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
    shape = (size, *member.input_shape[1:])
    if member.inputs[0].dtype == "int32":
        x = draw.integers(1, 7, shape)
    else:
        x = draw.normal(size=shape).astype("float32")
    kind = network.ensemble
    outputs = (size, *member.output_shape[1:])
    if isinstance(kind, ensembles.MultiLabel):
        return x, draw.integers(0, 2, outputs).astype("float32")
    if isinstance(kind, ensembles.Regression):
        return x, draw.normal(size=(size, 1)).astype("float32")
    return x, draw.integers(0, 3, outputs[:-1])
