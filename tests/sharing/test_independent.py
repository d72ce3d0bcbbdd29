import pytest

from keras_superweights.sharing import Independent
from tests import builders

MEMBERS = builders.members([(3, 4, 4)], [(3, 4, 4)], other_params=2)


def test_every_kernel_stays_with_its_layer():
    allocation = Independent().allocate(MEMBERS, 100)
    assert allocation.private_kernels == (0, 1)
    assert allocation.banks == allocation.superweights == ()
    assert allocation.num_params == 100
    assert allocation.note == ""


def test_more_than_the_members_need_is_no_error():
    allocation = Independent().allocate(MEMBERS, 101)
    assert allocation.num_params == 100
    assert allocation.note


def test_less_than_the_members_is_refused():
    with pytest.raises(ValueError, match="works is 100. Received"):
        Independent().allocate(MEMBERS, 99)
