import random

import numpy as np
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import Flat
from keras_superweights.parts import Region
from tests import builders

KERNEL = KernelSpec(0, "layer", (3, 4, 5))


def test_a_vector_is_a_kernel_of_any_shape_or_left_to_its_transform():
    for length, shape in builders.lengths_and_shapes(
        random.Random(0), 10, smaller=True
    ):
        kernel = KernelSpec(0, "layer", shape)
        vector = builders.template_of(length)
        found = Flat(length).assembler(kernel, [Flat(length)])([vector])
        whole = length == kernel.size
        expected = vector.reshape(shape) if whole else vector
        np.testing.assert_array_equal(found, expected)


def test_one_vector_of_the_right_size_covers_a_kernel():
    assert Flat(60).size == 60 and Flat.serves_any_shape
    assert Flat(60).covers(KERNEL, [Flat(60)], 60)
    assert Flat(59).covers(KERNEL, [Flat(59)], 59)  # what a transform takes
    assert not Flat(59).covers(KERNEL, [Flat(59)], 60)
    assert not Flat(60).covers(KERNEL, [Flat(60)] * 2, 60)
    assert not Flat(60).covers(KERNEL, [Flat(60), Region.of(KERNEL)], 60)


def test_all_of_it_is_common_to_all_kernels():
    rows = np.arange(12.0).reshape(2, 6)
    assert Flat(6).boxes([KERNEL, KERNEL]) == [None]
    assert Flat(6).common_box(KERNEL, KERNEL) is None
    np.testing.assert_array_equal(Flat(6).crop(rows, None), rows)


@pytest.mark.parametrize("length", [0, -1, 2.0, "7", None])
def test_a_length_that_is_none_is_refused(length):
    error = ValueError if type(length) is int else TypeError
    with pytest.raises(error, match=f"length={length!r}"):
        Flat(length)
