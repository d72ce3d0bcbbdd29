from keras_superweights.sharing import SuperWeights
from tests import builders


def test_nested_kernels_read_the_banks_of_the_smaller_ones():
    members = builders.members([(2, 4, 4)], [(2, 8, 8)], [(2, 4, 8)])
    allocation = SuperWeights(depth_bins=1).allocate(members, 1000)
    # Boxes 4x4, then 4x8 adds its right half, then 8x8 its lower half.
    assert [each.kernels for each in allocation.superweights] == [
        (0, 1, 2),
        (1, 2),
        (1,),
    ]
    assert [each.size for each in allocation.superweights] == [32, 32, 64]


def test_one_template_a_bank_costs_the_largest_box_and_a_row_each():
    members = builders.members([(3, 3, 4, 4)], [(3, 3, 8, 8)], other_params=5)
    # 9 x 8 x 8 scalars and two rows for the inner region; a single kernel
    # needs no coefficient for a single template.
    minimum = 9 * 64 + 2 + 2 * 5
    rule = SuperWeights(depth_bins=1)
    allocation = rule.allocate(members, minimum)
    assert allocation.num_params == minimum
    builders.refuses_less(rule, members, minimum)


def test_templates_are_dealt_in_proportion_to_kernels():
    # Bank A: three kernels, bank B: one of another window; both of 16 scalars.
    members = [builders.member(*[(1, 4, 4)] * 3, (16, 1))]
    rule = SuperWeights(depth_bins=1)
    # One each costs 16+3 and 16+1. A's next cost 19, to 3 templates a bank of
    # 3 kernels, before B's ratio of 1 is due.
    allocation = rule.allocate(members, 19 * 3 + 17)
    found = allocation.superweights
    counts = {s.geometry.window: s.num_templates for s in found}
    assert counts == {(1,): 3, (): 1}


def test_banks_are_bounded_by_eight_templates_or_one_per_kernel():
    for count, bound in ((2, 8), (12, 12)):
        members = [builders.member(*[(3, 4, 4)] * count)]
        allocation = SuperWeights(depth_bins=1).allocate(members, 100_000)
        (superweight,) = allocation.superweights
        assert superweight.num_templates == bound
        assert "as many templates as it may have" in allocation.note


def test_tied_kernels_use_the_first_row():
    members = builders.members([(3, 4, 4), (3, 4, 8)], [(3, 4, 4)])
    tied = SuperWeights(depth_bins=1, tied=True).allocate(members, 500)
    loose = SuperWeights(depth_bins=1).allocate(members, 500)
    assert [each.ties for each in tied.superweights] == [(0, 0, 0), (0,)]
    assert [each.ties for each in loose.superweights] == [(0, 1, 2), (0,)]
    assert tied.num_params == loose.num_params
