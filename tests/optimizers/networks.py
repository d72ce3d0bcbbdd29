"""A linear model that IVON trains, and what it should do."""

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.optimizers import ivon


def linear(optimizer, **kwargs):
    """A network that answers `x @ w`, for half the mean squared error."""
    network = ksw.SuperWeightNetwork(
        linear_model(), sharing=ksw.sharing.Independent()
    )
    network.compile(
        optimizer,
        lambda y, found: keras.ops.mean((y - found) ** 2, axis=-1) / 2,
        **(kwargs or {"run_eagerly": True}),
    )
    return network


def linear_model(dtype=None):
    """Has a head, which every member needs, that is the identity."""
    head = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    head.trainable = False
    layer = keras.layers.Dense(1, use_bias=False, dtype=dtype)
    return keras.Sequential([keras.Input((2,)), layer, head])


def gradient(x, y, w):
    """Of half the mean squared error, written out."""
    return x.T @ (x @ w - y) / len(x)


class ByHand:
    """The algorithm in NumPy, as it is printed, on one array."""

    def __init__(self, mean, ess, hessian_init, decay, **options):
        self.m, self.g, self.t = mean, np.zeros_like(mean), 0
        self.h = np.full_like(mean, hessian_init)
        self.ess, self.h0, self.d = ess, hessian_init, decay
        self.b1, self.b2 = options.get("betas", (0.9, 0.99999))
        self.xi = options.get("clip_radius", np.inf)
        self.is_price = options.get("estimator", "price") == "price"
        self.rescale_lr = options.get("rescale_lr", True)

    def step(self, normals, gradient_at, rate):
        """One step, with an array of normal noise for each sample.

        `gradient_at` takes weights and the number of the sample.
        """
        gradients, products = [], []
        for index, e in enumerate(normals):
            n = e / np.sqrt(self.ess * (self.h + self.d))
            gradients.append(gradient_at(self.m + n, index))
            products.append(n * gradients[-1])
        self.t += 1
        self.g = self.b1 * self.g + (1 - self.b1) * np.mean(gradients, axis=0)
        f = self.ess * (self.h + self.d) * np.mean(products, axis=0)
        if not self.is_price:
            f = self.ess * np.mean(np.square(gradients), axis=0)
        self.h = (
            self.b2 * self.h
            + (1 - self.b2) * f
            + (1 - self.b2) ** 2 * (self.h - f) ** 2 / (2 * (self.h + self.d))
        )
        towards = self.g / (1 - self.b1**self.t) + self.d * self.m
        step = np.clip(towards / (self.h + self.d), -self.xi, self.xi)
        self.m = (
            self.m - rate * (self.h0 + self.d if self.rescale_lr else 1) * step
        )


def given_noise(monkeypatch, normals):
    """Lets the optimizer draw these arrays, one after the other."""
    draws = iter(normals)

    def draw(shape, seed, dtype):
        return tf.reshape(tf.cast(next(draws), dtype), shape)

    monkeypatch.setattr(ivon, "normal", draw)
