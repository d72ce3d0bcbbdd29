"""Tiny members with structure planted in them, for a search to find."""

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw


def planted(sign, width, unused=False):
    """A linear member that sees its inputs times `sign / 100`.

    Its logits stay close to zero, so that its probabilities stay close to
    uniform, and the gradient of its kernel is `sign` times what it is for all
    others of its kind: members of one sign agree, others conflict.
    """
    inputs = keras.Input((5,))
    x = keras.layers.Rescaling(sign / 100)(inputs)
    x = keras.layers.Dense(width, use_bias=False, name="shared")(x)
    if unused:
        branch = keras.layers.Dense(width, use_bias=False, name="unused")(x)
        x = keras.layers.Add()([x, keras.layers.Rescaling(0.0)(branch)])
    outputs = keras.layers.Dense(
        3, kernel_initializer="identity", trainable=False, name="head"
    )(x)
    return keras.Model(inputs, outputs)


def members_of(signs, widths):
    return [planted(s, w) for s, w in zip(signs, widths, strict=True)]


def dataset(batches=3):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batches, 8, 5)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(
        (x, draw.integers(0, 3, (batches, 8)))
    )


def search(members, data=None, budget_params=2.0, **kwargs):
    keras.utils.set_random_seed(3)
    settings = {
        "sharing": ksw.sharing.SuperWeights(depth_bins=1),
        "pretrain_epochs": 2,
        "optimizer": keras.optimizers.SGD(0.01, momentum=0.9),
        "verbose": 0,
    }
    return ksw.search.find_clusters(
        members, budget_params, data or dataset(), **settings | kwargs
    )


def random_similarity(draw, count):
    """A symmetric matrix of `count` kernels, with ones on its diagonal."""
    values = np.triu(draw.uniform(-1, 1, (count, count)), 1)
    return values + values.T + np.eye(count)
