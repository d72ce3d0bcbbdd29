import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.sharing import MixtureEnsembles


def members_of(count, *shapes, other_params=0):
    return [
        MemberSpec(
            f"net{member}",
            tuple(KernelSpec(member, f"l{i}", s) for i, s in enumerate(shapes)),
            other_params,
        )
        for member in range(count)
    ]


FOUR_LAYERS = members_of(2, *[(1, 4, 4)] * 4)  # 8 kernels of 16 scalars


def test_layers_mix_templates_round_robin_member_by_member_alike():
    rule = MixtureEnsembles(max_templates=2)
    # Five templates of 16 and 8 x 2 coefficients.
    allocation = rule.allocate(FOUR_LAYERS, 5 * 16 + 16)
    (piece,) = allocation.superweights
    assert piece.num_templates == 5
    dealt = ((0, 1), (2, 3), (4, 0), (1, 2))
    assert piece.choices == dealt + dealt


def test_disjoint_deals_to_the_layers_of_one_member_after_the_other():
    rule = MixtureEnsembles(max_templates=2, disjoint=True)
    allocation = rule.allocate(FOUR_LAYERS, 16 * 16 + 16)
    (piece,) = allocation.superweights
    assert piece.num_templates == 16
    assert piece.choices == tuple((2 * i, 2 * i + 1) for i in range(8))


def test_at_most_as_many_templates_as_can_be_dealt():
    rule = MixtureEnsembles(max_templates=2)
    allocation = rule.allocate(FOUR_LAYERS, 100_000)
    # Four layers, two templates each; the members mix the same ones.
    assert allocation.superweights[0].num_templates == 8
    assert allocation.num_params == 8 * 16 + 8 * 2


def test_a_group_with_one_template_is_a_plain_kernel_of_all():
    allocation = MixtureEnsembles().allocate(FOUR_LAYERS, 16)
    (piece,) = allocation.superweights
    assert piece.num_templates == 1
    assert piece.ties == ()
    assert allocation.num_params == 16


@pytest.mark.parametrize("mix", [False, True])
def test_a_single_layer_per_member_is_one_plain_kernel_unless_mixed(mix):
    members = members_of(3, (2, 4, 4), (1, 4, 4), (1, 4, 4))
    allocation = MixtureEnsembles(mix_single_layers=mix).allocate(
        members, 100_000
    )
    single = next(p for p in allocation.superweights if p.window == (2,))
    assert single.num_templates == (5 if mix else 1)
    assert bool(single.ties) == mix


def test_under_a_severe_budget_one_store_is_read_in_turns():
    # Shapes of 4, 8 and 16 scalars need 28 as groups; a store of 16 is less.
    members = members_of(2, (1, 2, 2), (1, 2, 4), (1, 4, 4))
    rule = MixtureEnsembles(max_templates=2)
    # The store of 16: two templates of 4, two of 8, one of 16, per member.
    least = 16 + 2 * (2 + 2 + 1)
    allocation = rule.allocate(members, least)
    (bank,) = allocation.banks
    assert bank.size == 16
    assert [p.num_templates for p in allocation.superweights] == [2, 2, 1]
    assert [p.length for p in allocation.superweights] == [4, 8, 16]
    assert [p.kernels for p in allocation.superweights] == [
        (0, 3),
        (1, 4),
        (2, 5),
    ]
    with pytest.raises(ValueError, match=f"works is {least}. Received"):
        rule.allocate(members, least - 1)


def test_all_of_a_severe_budget_goes_into_the_store():
    members = members_of(2, (1, 2, 2), (1, 2, 4), (1, 4, 4))
    rule = MixtureEnsembles(max_templates=2)
    allocation = rule.allocate(members, 27)
    (bank,) = allocation.banks
    assert bank.size == 17
    assert allocation.num_params == 27


@pytest.mark.parametrize("value", [1, 0, -3, 2.0, "5", None])
def test_a_mixture_of_fewer_than_two_is_refused(value):
    with pytest.raises(ValueError, match="integer of 2 or more"):
        MixtureEnsembles(max_templates=value)
