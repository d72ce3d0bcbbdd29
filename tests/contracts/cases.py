"""Small networks, with every layer, part, rule and kind in one of them."""

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

layers = keras.layers


def images(width=4):
    """Every layer of images; batch norm would differ between replicas."""
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
    """Every layer of words."""
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
    """A few kernels of two shapes."""
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(inputs)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def dense(units, width=4):
    """A perceptron with so many outputs."""
    inputs = keras.Input((3,))
    x = layers.Dense(width, activation="tanh")(inputs)
    x = layers.Dense(width, activation="tanh")(x)
    return keras.Model(inputs, layers.Dense(units)(x))


def pixels(width=4):
    """A class for every pixel."""
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(inputs)
    x = layers.Conv2D(width, 3, padding="same", activation="tanh")(x)
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


# By name: the members, the budget, the rule, the kind.
CASES = {
    "image layers": ((images,), 0.6, Shapeshifter(), None),
    "word layers": ((words,), 0.6, Shapeshifter(max_templates=2), None),
    "nested": (
        (convolutions, lambda: convolutions(6)),
        0.9,
        SuperWeights(depth_bins=1),
        None,
    ),
    "tied": (
        (convolutions, convolutions),
        0.9,
        SuperWeights(clusters="position", tied=True),
        None,
    ),
    "mixtures": (
        (convolutions, convolutions),
        1.2,
        MixtureEnsembles(max_templates=2),
        None,
    ),
    "one store": ((convolutions, convolutions), 0.55, MixtureEnsembles(), None),
    "embeddings": (
        (convolutions,),
        0.8,
        Shapeshifter("emb", max_templates=2, upsampling="repeat"),
        None,
    ),
    "interpolated": (
        (convolutions,),
        0.3,
        Shapeshifter("avg", upsampling="bilinear"),
        None,
    ),
    "rank one": (
        (convolutions, convolutions),
        0.9,
        HardSharing(scope="both", transforms=RankOne()),
        None,
    ),
    "masked": ((convolutions,), 0.4, Shapeshifter(), None),
    "repeated": ((convolutions,), 0.3, Shapeshifter(upsampling="repeat"), None),
    "soft": ((convolutions,), 1.2, SoftSharing(), None),
    "independent": ((convolutions, convolutions), 1.0, Independent(), None),
    "classes of pixels": (
        (pixels, lambda: pixels(6)),
        0.9,
        SuperWeights(depth_bins=1),
        ensembles.Classifier(),
    ),
    "labels": (
        (lambda: dense(2), lambda: dense(2)),
        0.9,
        MixtureEnsembles(),
        ensembles.MultiLabel(),
    ),
    "values": (
        (lambda: dense(1), lambda: dense(1)),
        0.9,
        MixtureEnsembles(),
        ensembles.Regression(),
    ),
    "means and variances": (
        (lambda: dense(2), lambda: dense(2)),
        0.9,
        MixtureEnsembles(),
        ensembles.Regression(variance=True),
    ),
}


def allocate(name):
    """The allocation of a case; makes no variable."""
    builders, budget, rule, _ = CASES[name]
    return ksw.allocate(list(builders), budget, rule)


def build(name, run_eagerly=True):
    """The network of a case, compiled, from the same start every time."""
    keras.utils.set_random_seed(0)
    builders, budget, rule, kind = CASES[name]
    network = ksw.SuperWeightNetwork(
        [builder() for builder in builders], budget, rule, ensemble=kind
    )
    return compiled(network, run_eagerly)


def compiled(network, run_eagerly=True):
    """A network compiled as all of them, again after layers are frozen."""
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        loss(network.ensemble),
        run_eagerly=run_eagerly,
        jit_compile=False,
    )
    return network


def loss(kind):
    """A loss for a kind of ensemble."""
    if isinstance(kind, ensembles.MultiLabel):
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if isinstance(kind, ensembles.Regression):
        return ensembles.GaussianNLL() if kind.variance else "mse"
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batch(network, size=8):
    """Inputs and targets that a network of a case takes."""
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
