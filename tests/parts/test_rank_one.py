"""Kernels times rank-one factors, against NumPy and by their promises."""

import itertools

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import RankOne
from keras_superweights.parts.rank_one import RankOneLayer
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles


def member(width=4):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(width, 3, padding="same", name="one")(inputs)
    x = keras.layers.Conv2D(width, 3, padding="same", name="two")(x)
    x = keras.layers.Conv2D(width, 3, activation="tanh", name="three")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, activation="tanh", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (4, 5), (2, 3, 4, 5, 6)])
def test_every_scalar_is_times_its_input_and_its_output(shape):
    layer = RankOneLayer(shape[-2:], "signs")
    draw = np.random.default_rng(0)
    r, s = (draw.normal(size=n).astype("float32") for n in shape[-2:])
    layer.inputs.assign(r)
    layer.outputs.assign(s)
    kernel = draw.normal(size=shape).astype("float32")
    expected = np.empty_like(kernel)
    for *place, i, o in itertools.product(*map(range, shape)):
        expected[(*place, i, o)] = kernel[(*place, i, o)] * r[i] * s[o]
    np.testing.assert_allclose(layer.transform(kernel), expected, rtol=1e-6)


def test_signs_are_random_and_ones_are_ones():
    kernel = KernelSpec(0, "conv", (3, 3, 400, 600))
    layer = RankOne().layer(kernel)
    for factor in (layer.inputs, layer.outputs):
        values = np.array(factor)
        assert set(values) == {-1.0, 1.0}
        assert abs(values.mean()) < 0.25  # six deviations of 400
    ones = RankOne("ones").layer(kernel)
    assert set(np.array(ones.inputs)) == set(np.array(ones.outputs)) == {1.0}
    assert RankOne().num_scalars(kernel) == 1000


@pytest.mark.parametrize(
    ("start", "differ"), [("ones", False), ("signs", True)]
)
def test_members_of_one_kernel_differ_by_their_signs_alone(start, differ):
    """BatchEnsemble as hard sharing: kernels of members are `W * outer`."""
    rule = HardSharing(scope="members", transforms=RankOne(start))
    network = ksw.SuperWeightNetwork([member(), member()], 1.0, rule)
    first, second = (
        np.array(each.get_layer("two").kernel) for each in network.members
    )
    np.testing.assert_allclose(np.abs(first), np.abs(second))
    assert (np.abs(first - second).max() > 0) == differ


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`start` must be one of.*'zeros'"):
        RankOne("zeros")
    with pytest.raises(TypeError, match="`transforms`.*'rank'"):
        MixtureEnsembles(transforms="rank")
    with pytest.raises(ValueError, match="smallest budget that works is"):
        ksw.allocate(member(), 0.9, Independent(transforms=RankOne()))
