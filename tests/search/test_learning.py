import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.search.learning import group_coefficients
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights

pytestmark = pytest.mark.usefixtures("eager")


def tiny_model():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", name="a")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", name="b")(x)
    x = keras.layers.Conv2D(6, 1, name="c")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, name="d")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def tiny_data(batches=3):
    draw = np.random.default_rng(0)
    images = draw.normal(size=(8 * batches, 6, 6, 2)).astype("float32")
    labels = draw.integers(0, 3, size=8 * batches)
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


def inertia(rows, groups):
    return sum(
        np.sum((rows[groups == g] - rows[groups == g].mean(axis=0)) ** 2)
        for g in set(groups)
    )


def test_groups_are_the_best_of_all_partitions():
    draw = np.random.default_rng(1)
    for case in range(12):
        rows = draw.normal(size=(7, 4))
        k = 2 + case % 2
        best = min(
            inertia(rows, np.array(groups))
            for groups in itertools.product(range(k), repeat=7)
            if len(set(groups)) == k
        )
        found = np.array(group_coefficients(rows, k))
        assert inertia(rows, found) == pytest.approx(best)


def test_stores_are_numbered_by_their_first_kernels():
    rows = [[9.0, 0.0], [0.0, 1.0], [0.0, 1.1], [9.1, 0.0], [5.0, 5.0]]
    assert group_coefficients(rows, 3) == (0, 1, 1, 0, 2)


class Plant(keras.callbacks.Callback):
    """Lets kernels have learned certain directions, at their own scales."""

    def __init__(self, directions):
        super().__init__()
        self.directions = np.array(directions, float)

    def on_epoch_end(self, epoch, logs=None):
        for superweight, mixture in zip(
            self.model.allocation.superweights,
            self.model.generator.mixtures,
            strict=True,
        ):
            rows = np.array(mixture.coefficients)
            planted = self.directions[list(superweight.kernels)]
            norms = [np.linalg.norm(r, axis=1) for r in (rows, planted)]
            mixture.coefficients.assign(
                planted * (norms[0] / norms[1])[:, None]
            )


@pytest.mark.parametrize(
    "groups", [(0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (0, 1, 1, 1)]
)
def test_layers_whose_coefficients_agree_share_a_store(groups):
    directions = [[(1, 2, 0, 1), (0, -1, 3, 1)][group] for group in groups]
    found = learn(callbacks=[Plant(directions)])
    assert found.sharing.stores == groups
    network = ksw.share(tiny_model(), 0.8, found.sharing)
    together = {
        kernel: superweight.bank
        for superweight in network.allocation.superweights
        for kernel in superweight.kernels
    }
    assert tuple(together[k] for k in range(4)) == groups


@pytest.mark.parametrize("mixing", ["wavg", "emb"])
def test_the_same_seed_finds_the_same(mixing):
    def find():
        keras.utils.set_random_seed(3)
        return ksw.search.learn_stores(
            tiny_model(),
            600,
            tiny_data(),
            Shapeshifter(mixing, num_stores=2),
            pretrain_epochs=2,
            verbose=0,
        )

    first, second = find(), find()
    assert first.sharing == second.sharing
    np.testing.assert_array_equal(first.coefficients, second.coefficients)
    assert first.coefficients.shape == (4, 4)
    assert first.sharing.mixing == mixing
    assert first.start.num_params <= 600


def learn(data=None, num_stores=2, **settings):
    return ksw.search.learn_stores(
        tiny_model(),
        0.8,
        tiny_data() if data is None else data,
        Shapeshifter(num_stores=num_stores),
        **{"pretrain_epochs": 1, "verbose": 0} | settings,
    )


def test_pretraining_trains_the_coefficients():
    # They start with norm 1, in units of what each layer needs.
    norms = np.linalg.norm(learn(pretrain_epochs=2).coefficients, axis=1)
    assert np.abs(norms - 1).max() > 1e-3


def test_one_store_for_each_kernel_is_allowed_and_no_more():
    assert learn(num_stores=4).sharing.stores == (0, 1, 2, 3)
    with pytest.raises(ValueError, match="from 1 to 4.*num_stores=5"):
        learn(num_stores=5)
    for number in (0, 2.0):
        with pytest.raises((TypeError, ValueError), match="`num_stores` must"):
            learn(num_stores=number)


@pytest.mark.parametrize(
    "rule", [SuperWeights(), Shapeshifter(stores="shape")], ids=repr
)
def test_a_rule_without_stores_to_learn_is_refused(rule):
    with pytest.raises(TypeError, match="must be a `Shapeshifter`.*Received"):
        ksw.search.learn_stores(tiny_model(), 0.8, tiny_data(), rule)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`pretrain_epochs` must be"):
        learn(pretrain_epochs=0)
    with pytest.raises(TypeError, match="`data` must be"):
        learn((np.zeros((8, 6, 6, 2)), np.zeros(8)))
    with pytest.raises(ValueError, match="`data` must last"):
        learn(tiny_data(batches=3), steps_per_epoch=5)
    with pytest.raises(ValueError, match="must stay finite"):
        learn(tiny_data().map(lambda x, y: (x * math.inf, y)))
