import pytest

from keras_superweights.sharing import MixtureEnsembles
from tests import builders

FOUR_LAYERS = builders.members(*[[(1, 4, 4)] * 4] * 2)  # 8 of 16 scalars
THREE_SHAPES = builders.members(*[[(1, 2, 2), (1, 2, 4), (1, 4, 4)]] * 2)


def test_layers_mix_templates_round_robin_member_by_member_alike():
    rule = MixtureEnsembles(max_templates=2)
    # Five templates of 16 and 8 x 2 coefficients.
    allocation = rule.allocate(FOUR_LAYERS, 5 * 16 + 16)
    (superweight,) = allocation.superweights
    assert superweight.num_templates == 5
    dealt = ((0, 1), (2, 3), (4, 0), (1, 2))
    assert superweight.mixing.choices == dealt + dealt


def test_disjoint_deals_to_the_layers_of_one_member_after_the_other():
    rule = MixtureEnsembles(max_templates=2, disjoint=True)
    allocation = rule.allocate(FOUR_LAYERS, 16 * 16 + 16)
    (superweight,) = allocation.superweights
    assert superweight.num_templates == 16
    assert superweight.mixing.choices == tuple(
        (2 * i, 2 * i + 1) for i in range(8)
    )


def test_at_most_as_many_templates_as_can_be_dealt():
    rule = MixtureEnsembles(max_templates=2)
    allocation = rule.allocate(FOUR_LAYERS, 100_000)
    # Four layers, two templates each; the members mix the same ones.
    assert allocation.superweights[0].num_templates == 8
    assert allocation.num_params == 8 * 16 + 8 * 2


@pytest.mark.parametrize("mix", [False, True])
def test_a_single_layer_per_member_is_one_plain_kernel_unless_mixed(mix):
    members = builders.members(*[[(2, 4, 4), (1, 4, 4), (1, 4, 4)]] * 3)
    allocation = MixtureEnsembles(mix_single_layers=mix).allocate(
        members, 100_000
    )
    single = next(s for s in allocation.superweights if s.size == 32)
    assert single.num_templates == (5 if mix else 1)
    assert single.ties == ((0, 1, 2) if mix else ())


def test_under_a_severe_budget_one_store_is_read_in_turns():
    # Shapes of 4, 8 and 16 scalars need 28 as groups; a store of 16 is less.
    rule = MixtureEnsembles(max_templates=2)
    # The store of 16: two templates of 4, two of 8, one of 16, per member.
    least = 16 + 2 * (2 + 2 + 1)
    allocation = rule.allocate(THREE_SHAPES, least)
    (bank,) = allocation.banks
    assert bank.size == 16
    assert [s.num_templates for s in allocation.superweights] == [2, 2, 1]
    assert [s.geometry.length for s in allocation.superweights] == [4, 8, 16]
    kernels = [s.kernels for s in allocation.superweights]
    assert kernels == [(0, 3), (1, 4), (2, 5)]
    builders.refuses_less(rule, THREE_SHAPES, least)


def test_all_of_a_severe_budget_goes_into_the_store():
    rule = MixtureEnsembles(max_templates=2)
    allocation = rule.allocate(THREE_SHAPES, 27)
    (bank,) = allocation.banks
    assert bank.size == 17
    assert allocation.num_params == 27
