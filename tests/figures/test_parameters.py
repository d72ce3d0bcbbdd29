"""The bars of parameters and their labels agree with the allocation."""

import pytest

from keras_superweights import figures
from keras_superweights import sharing
from tests import builders
from tests.figures.reading import members_of
from tests.figures.reading import right_of
from tests.figures.reading import texts


@pytest.mark.parametrize(
    "rule",
    [
        sharing.SuperWeights(depth_bins=2),
        sharing.MixtureEnsembles(),
        sharing.Shapeshifter(),
        sharing.Independent(),
    ],
    ids=str,
)
def test_the_bars_of_an_allocation_add_up_to_its_parameters(rule):
    shapes = [(3, 3, 8, 8)] * 3 + [(3, 3, 8, 16)]
    member = builders.member(*shapes, other_params=500)
    allocation = rule.allocate([member], 4_000)

    figure = figures.allocation_bars(allocation)

    axis = figure.axes[0]
    unit = 1_000 if "thousands" in axis.get_xlabel() else 1
    drawn = sum(bar.get_width() for bar in axis.patches) * unit
    assert round(drawn) == allocation.num_params
    names = texts(axis.get_yticklabels())
    for name, bank in zip(names, allocation.banks, strict=False):
        assert name.endswith(f": {bank.name}")
    assert f"{allocation.budget_params:,}" in figure.get_suptitle()
    # No bar is empty.
    assert all(bar.get_width() > 0 for bar in axis.patches)
    private = sum(member.kernels[k].size for k in allocation.private_kernels)
    labels = dict(zip(names, right_of(axis), strict=True))
    told = f"{private:,} scalars" if private else None
    assert labels.get("kernels not shared") == told
    assert labels["rest of the members"] == "500 scalars"


def test_labels_of_bars_stand_beside_the_axis():
    rule = sharing.SuperWeights(clusters="position")
    allocation = rule.allocate(members_of(9, 9), 2_000)
    figure = figures.allocation_bars(allocation)
    figure.canvas.draw()
    axis = figure.axes[0]
    (column,) = axis.child_axes
    for label in column.get_yticklabels():
        box = label.get_window_extent()
        assert axis.bbox.x1 <= box.x0 and box.x1 <= figure.bbox.x1
    for bank, label in zip(allocation.banks, right_of(axis), strict=False):
        one = bank.size == 144  # scalars of a kernel
        assert label == f"{'1 template' if one else '2 templates'}, 2 kernels"


def test_the_smallest_of_very_many_banks_are_one_bar():
    shapes = [(i + 1, 7) for i in range(80)]
    members = builders.members(shapes, shapes, other_params=5)
    allocation = sharing.MixtureEnsembles().allocate(members, 10**5)
    axis = figures.allocation_bars(allocation).axes[0]
    num_smaller = len(allocation.banks) - 60
    assert num_smaller > 0
    names = texts(axis.get_yticklabels())
    assert names[60] == f"{num_smaller} smaller banks"
    sizes = [round(bar.get_width() * 1000) for bar in axis.patches]
    assert sum(sizes) == pytest.approx(allocation.num_params, abs=60)
    every = sorted(bank.size for bank in allocation.banks)
    assert sizes[:60] == [
        bank.size for bank in allocation.banks if bank.size >= every[-60]
    ]
    assert sizes[60] == sum(every[:-60])
