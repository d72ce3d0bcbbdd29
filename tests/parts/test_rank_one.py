"""Kernels times rank-one factors, against NumPy and by their promises."""

import itertools

import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights import sharing
from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import RankOne
from keras_superweights.parts.rank_one import RankOneLayer
from tests.training.networks import small_net


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
    rule = sharing.HardSharing(scope="members", transforms=RankOne(start))
    network = ksw.SuperWeightNetwork([small_net(), small_net()], 1.0, rule)
    first, second = (
        np.array(each.get_layer("conv1").kernel) for each in network.members
    )
    np.testing.assert_allclose(np.abs(first), np.abs(second))
    assert (np.abs(first - second).max() > 0) == differ


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`start` must be one of.*'zeros'"):
        RankOne("zeros")
    with pytest.raises(TypeError, match="`transforms`.*'rank'"):
        sharing.MixtureEnsembles(transforms="rank")
    with pytest.raises(ValueError, match="smallest budget that works is"):
        ksw.allocate(
            small_net(), 0.9, sharing.Independent(transforms=RankOne())
        )
