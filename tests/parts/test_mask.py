import math
import random

import numpy as np
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import Mask
from keras_superweights.parts import Repeat
from keras_superweights.parts.mask import MaskLayer
from keras_superweights.parts.mask import RepeatLayer
from tests import builders


def test_each_further_copy_is_multiplied_by_its_mask():
    """NPAS, 3.3, scalar by scalar."""
    for length, shape in builders.lengths_and_shapes(random.Random(0), 25):
        kernel = KernelSpec(0, "layer", shape)
        layer = Mask(length).layer(kernel, name="masks_of_it")
        assert layer.name == "masks_of_it"
        masks = np.array(layer.masks)
        assert masks.shape == (math.ceil(math.prod(shape) / length) - 1, 9)
        assert Mask(length).num_scalars(kernel) == masks.size
        assert layer.linear_variables() == [[layer.masks]]
        template = builders.template_of(length)
        expected = builders.masked(template, masks, shape)
        found = layer.transform(template)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_repeating_repeats():
    for length, shape in builders.lengths_and_shapes(random.Random(1), 25):
        kernel = KernelSpec(0, "layer", shape)
        layer = Repeat(length).layer(kernel)
        template = builders.template_of(length)
        expected = np.resize(template, shape)
        np.testing.assert_array_equal(layer.transform(template), expected)
        assert not layer.weights
        assert Repeat(length).num_scalars(kernel) == 0


def test_masks_start_different_with_a_mean_square_of_one():
    masks = np.array(MaskLayer(3, (100, 30)).masks)
    np.testing.assert_allclose(np.mean(masks**2, axis=1), 1, rtol=1e-5)
    assert len(np.unique(masks.round(6), axis=0)) == len(masks)
    assert abs(masks.mean()) < 0.05


def test_what_a_mask_answers():
    kernel = KernelSpec(0, "layer", (4, 5))
    assert type(Repeat(7).layer(kernel)) is RepeatLayer
    for transform, kept in ((Mask(7), 20), (Repeat(7), 0)):
        assert transform.input_size(kernel) == 7
        assert transform.variance_kept(kernel) == 1
        assert transform.num_kept(kernel) == kept
        assert transform.label(kernel) == "upsampled"
    assert Mask(7).noun == "masks"


@pytest.mark.parametrize("transform", [Mask, Repeat])
@pytest.mark.parametrize("length", [20, 21, 0])
def test_only_larger_kernels_are_repetitions(transform, length):
    kernels = [KernelSpec(0, "large", (9, 9)), KernelSpec(0, "one", (4, 5))]
    transform(19).check(kernels)
    with pytest.raises(ValueError, match=f"length={length}"):
        transform(length).check(kernels)
