import random

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.members.allocating import describe
from keras_superweights.members.cloning import without_memory
from keras_superweights.sharing import SoftSharing
from tests import builders


def test_layers_alike_in_one_member_share_and_others_keep_their_kernel():
    """Against every pair of kernels, over random members."""
    draw = random.Random(0)
    for _ in range(100):
        members = builders.alike_members(draw)
        kernels = [kernel for member in members for kernel in member.kernels]
        alike = [
            {
                other
                for other, b in enumerate(kernels)
                if (a.member, a.kind, a.shape) == (b.member, b.kind, b.shape)
            }
            for a in kernels
        ]
        most = draw.choice([None, 1, 3])
        allocation = SoftSharing(most).allocate(members, 10**6)
        groups = {p.kernels: p for p in allocation.superweights}
        for index, others in enumerate(alike):
            if others == {index}:
                assert index in allocation.private_kernels
            else:
                group = groups[tuple(sorted(others))]
                assert group.num_templates == (most or max(8, len(others)))
                assert group.ties == tuple(range(len(others)))


def test_the_least_is_a_template_a_group_and_a_coefficient_a_layer():
    draw = random.Random(1)
    for _ in range(100):
        members = builders.alike_members(draw)
        needed = sum(member.other_params for member in members)
        for member in members:
            alike = {}
            for kernel in member.kernels:
                alike.setdefault((kernel.kind, kernel.shape), []).append(kernel)
            for group in alike.values():
                coefficients = len(group) if len(group) > 1 else 0
                needed += np.prod(group[0].shape).item() + coefficients
        assert SoftSharing().allocate(members, needed).num_params == needed
        builders.refuses_less(SoftSharing(), members, needed)


def least_share(member, rule):
    """The least parameters of the rule, and their part of the member's."""
    least = builders.smallest_budget(rule, [member])
    assert rule.allocate([member], least).num_params == least
    return least, least / member.num_params


# As the authors of SWRN have it, who leave the first blocks out.
SWRN = SoftSharing(exclude="*_block0_*")


def test_swrn_needs_a_third_of_wrn_28_10():
    """12M of 36.5M: NPAS, section 4.2 and figure 4."""
    with without_memory():
        (member,) = describe([ksw.models.wide_resnet(28, 10, num_classes=100)])
    least, share = least_share(member, SWRN)
    assert least == pytest.approx(12e6, rel=0.03)
    assert share == pytest.approx(0.33, abs=0.01)


def wide_resnet_50_2():
    """WRN-50-2 for ImageNet: (3, 4, 6, 3) bottlenecks, twice as wide inside."""
    kernels = [KernelSpec(0, "stem", (7, 7, 3, 64))]
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, outer = 128 * 2**stage, 256 * 2**stage
        for block in range(blocks):
            shapes = [
                (1, 1, channels, inner),
                (3, 3, inner, inner),
                (1, 1, inner, outer),
            ]
            if block == 0:
                shapes.append((1, 1, channels, outer))
            kernels += [
                KernelSpec(0, f"stage{stage}_block{block}_conv{i}", shape)
                for i, shape in enumerate(shapes)
            ]
            channels = outer
    norms = sum(2 * kernel.shape[-1] for kernel in kernels)
    return MemberSpec("wrn50_2", tuple(kernels), norms + 2049 * 1000)


def test_swrn_needs_58_percent_of_wrn_50_2():
    """40M of 69M: NPAS, section 4.2 and figure 4."""
    member = wide_resnet_50_2()
    assert member.num_params == pytest.approx(69e6, rel=0.01)
    least, share = least_share(member, SWRN)
    assert least == pytest.approx(40e6, rel=0.03)
    assert share == pytest.approx(0.58, abs=0.01)


def test_less_is_enough_where_the_first_blocks_share_too():
    with without_memory():
        (member,) = describe([ksw.models.wide_resnet(28, 10, num_classes=100)])
    assert least_share(member, SoftSharing())[1] == pytest.approx(
        0.21, abs=0.01
    )
    share = least_share(wide_resnet_50_2(), SoftSharing())[1]
    assert share == pytest.approx(0.31, abs=0.01)


@pytest.mark.parametrize("value", [0, -1, 2.5, "8"])
def test_a_number_of_templates_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=f"max_templates={value!r}"):
        SoftSharing(max_templates=value)


def test_a_network_trains_with_layers_mixed_from_their_own_templates():
    def member():
        layers = [
            keras.layers.Conv2D(3, 3, activation="tanh", name=f"conv{i}")
            for i in range(4)
        ]
        head = [keras.layers.Flatten(), keras.layers.Dense(2)]
        return keras.Sequential([keras.Input((10, 10, 2)), *layers, *head])

    # A stem of 54, groups of three of 81, and 138 others each: two templates
    # and six coefficients.
    network = ksw.SuperWeightNetwork(
        [member, member],
        budget_params=2 * (54 + 2 * 81 + 6 + 12 + 2 * 12 + 2),
        sharing=SoftSharing(max_templates=2),
    )
    assert network.allocation.note == ""
    size = sum(np.prod(v.shape) for v in network.trainable_variables)
    assert size == network.allocation.num_params
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    images = np.random.default_rng(0).normal(size=(8, 10, 10, 2))
    network.fit(images, np.arange(8) % 2, epochs=1, batch_size=8, verbose=0)
    kernels = [
        np.stack(
            [plain.get_layer(f"conv{i}").kernel for i in (1, 2, 3)]
        ).reshape(3, -1)
        for plain in network.materialize()
    ]
    # Three kernels of a member out of two templates, which are its own.
    assert [np.linalg.matrix_rank(rows) for rows in kernels] == [2, 2]
    assert np.linalg.matrix_rank(np.concatenate(kernels)) == 4
