from keras_superweights.sharing import Independent
from tests import builders

MEMBERS = builders.members([(3, 4, 4)], [(3, 4, 4)], other_params=2)


def test_every_kernel_stays_with_its_layer_and_more_is_no_error():
    assert builders.smallest_budget(Independent(), MEMBERS) == 100
    for budget in (100, 101):
        allocation = Independent().allocate(MEMBERS, budget)
        assert allocation.private_kernels == (0, 1)
        assert allocation.banks == allocation.superweights == ()
        assert allocation.num_params == 100
