import math

import numpy as np
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation import resolve_budget

MEMBER = MemberSpec("net", (KernelSpec(0, "dense", (8, 5)),), 10)


@pytest.mark.parametrize(
    ("shape", "window", "box", "size", "fan_in"),
    [
        ((3, 3, 16, 32), (3, 3), (16, 32), 4608, 144),
        ((64, 10), (), (64, 10), 640, 64),
        ((5, 4, 2), (5,), (4, 2), 40, 20),
        ((2, 3, 4, 5, 6), (2, 3, 4), (5, 6), 720, 120),
    ],
    ids=["conv2d", "dense", "conv1d", "conv3d"],
)
def test_a_kernel_knows_its_window_its_box_and_its_fan_in(
    shape, window, box, size, fan_in
):
    kernel = KernelSpec(0, "layer", shape)
    assert kernel.window == window
    assert kernel.box == box
    assert kernel.size == size
    assert kernel.fan_in == fan_in


@pytest.mark.parametrize("shape", [(), (3,), (3, 0), (3, 3, -1, 4)], ids=str)
def test_a_kernel_without_a_plane_is_refused(shape):
    with pytest.raises(ValueError, match=r"'odd' of member 2"):
        KernelSpec(2, "odd", shape)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (7, 7),
        (np.int64(7), 7),
        (1.0, 50),
        (0.5, 25),
        (0.99, 49),
        (np.float32(0.5), 25),
        (2.0, 100),
        (101, 101),
    ],
    ids=repr,
)
def test_a_budget_is_a_count_or_a_fraction_rounded_down(budget, expected):
    resolved = resolve_budget(budget, [MEMBER])
    assert resolved == expected
    assert type(resolved) is int


@pytest.mark.parametrize(
    ("budget", "error", "message"),
    [
        (True, TypeError, "budget_params=True of type bool"),
        ("18M", TypeError, "budget_params='18M' of type str"),
        (None, TypeError, "budget_params=None"),
        ([1], TypeError, "of type list"),
        (1j, TypeError, "of type complex"),
        (0, ValueError, "positive and finite. Received: budget_params=0"),
        (-1, ValueError, "budget_params=-1"),
        (-0.5, ValueError, "budget_params=-0.5"),
        (math.nan, ValueError, "budget_params=nan"),
        (math.inf, ValueError, "budget_params=inf"),
        (1e7, ValueError, "For a count, pass an integer: 10000000"),
    ],
    ids=repr,
)
def test_what_is_no_budget_is_refused(budget, error, message):
    with pytest.raises(error, match=message):
        resolve_budget(budget, [MEMBER])
