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
    layer = RankOneLayer(shape[-2:], (0.5, 0.5))
    draw = np.random.default_rng(0)
    r, s = (draw.normal(size=n).astype("float32") for n in shape[-2:])
    layer.inputs.assign(r)
    layer.outputs.assign(s)
    kernel = draw.normal(size=shape).astype("float32")
    expected = np.empty_like(kernel)
    for *place, i, o in itertools.product(*map(range, shape)):
        expected[(*place, i, o)] = kernel[(*place, i, o)] * r[i] * s[o]
    np.testing.assert_allclose(layer.transform(kernel), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("start", "probability"),
    [("signs", 0.5), (0.8, 0.8), (0, 0.0), (1.0, 1.0), ("ones", 1.0)],
)
def test_signs_are_random_with_the_probability_of_plus_one(start, probability):
    kernel = KernelSpec(0, "conv", (3, 3, 4000, 6000))
    layer = RankOne(start).layer(kernel)
    for factor in (layer.inputs, layer.outputs):
        values = np.array(factor)
        assert set(values) <= {-1.0, 1.0}
        # Six deviations of 4000 at most, none where all are equal.
        deviation = (probability * (1 - probability) / 4000) ** 0.5
        assert abs((values > 0).mean() - probability) <= 6 * deviation
    assert RankOne(start).num_scalars(kernel) == 10_000
    assert RankOne(start).variance_kept(kernel) == 1


def test_a_negative_start_is_normal_and_a_pair_is_of_inputs_and_outputs():
    kernel = KernelSpec(0, "conv", (3, 3, 4000, 6000))
    part = RankOne(["ones", -0.5])
    assert part.start == ("ones", -0.5)
    layer = part.layer(kernel)
    assert set(np.array(layer.inputs)) == {1.0}
    outputs = np.array(layer.outputs)
    assert abs(outputs.mean() - 1) < 6 * 0.5 / 6000**0.5
    assert abs(outputs.std() - 0.5) < 0.03
    # E[(1 + d x)^2] = 1 + d^2, of either vector.
    assert part.variance_kept(kernel) == 1.25


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


@pytest.mark.parametrize(
    "start",
    ["zeros", True, 1.5, -np.inf, np.nan, None, (0.5,), ("ones", "zeros")],
)
def test_bad_starts_are_refused(start):
    with pytest.raises(ValueError, match="`start` must be 'signs', .*Received"):
        RankOne(start)


def test_bad_input_is_refused():
    for rate in (-1, np.inf, "fast", True):
        with pytest.raises(
            (TypeError, ValueError), match="`rate` must be .*Received"
        ):
            RankOne(rate=rate)
    with pytest.raises(TypeError, match="`transforms`.*'rank'"):
        sharing.MixtureEnsembles(transforms="rank")
    with pytest.raises(ValueError, match="smallest budget that works is"):
        ksw.allocate(
            small_net(), 0.9, sharing.Independent(transforms=RankOne())
        )
