"""Standardized kernels, against NumPy."""

import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import Standardized
from keras_superweights.sharing import FairShares
from tests.training.networks import small_net


@pytest.mark.parametrize(
    ("shape", "kind", "by_output"),
    [
        ((3, 3, 4, 5), "conv", (36, 5)),
        ((7, 2, 3), "conv", (14, 3)),
        ((12, 5), "dense", (12, 5)),
        ((3, 3, 6, 2), "depthwise", (9, 12)),
    ],
)
def test_each_output_weighs_with_mean_zero_and_the_first_variance(
    shape, kind, by_output
):
    spec = KernelSpec(0, "layer", shape, kind=kind)
    kernel = np.random.default_rng(0).normal(3, 7, shape).astype("float32")
    found = np.array(Standardized().layer(spec).transform(kernel))
    rows = kernel.reshape(by_output).astype("float64")
    rows = (rows - rows.mean(0)) / rows.std(0) * spec.variance**0.5
    np.testing.assert_allclose(found.reshape(by_output), rows, rtol=1e-4)
    assert Standardized().num_scalars(spec) == 0


def test_a_filter_of_zeros_stays_one():
    layer = Standardized().layer(KernelSpec(0, "layer", (3, 3, 4, 5)))
    found = np.array(layer.transform(np.zeros((3, 3, 4, 5), "float32")))
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((9, 4), "embedding"), ((4, 16), "recurrent"), ((4, 2, 8), "dense")],
)
def test_other_kernels_are_refused_by_name(shape, kind):
    with pytest.raises(ValueError, match=f"kinds.*'lookup' of kind '{kind}'"):
        Standardized().check([KernelSpec(0, "lookup", shape, kind=kind)])


def test_it_cannot_begin_as_given_kernels():
    rule = FairShares(transforms=Standardized())
    members = [small_net(), small_net()]
    with pytest.raises(ValueError, match="linear.*`Standardized`.*transforms"):
        ksw.SuperWeightNetwork(members, 0.9, rule, initialize="weights")
