"""In all figures, no text is covered and nothing is cut off."""

import dataclasses
import itertools
import sys

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights.datasets.corruptions import CORRUPTIONS
from keras_superweights.datasets.corruptions import SEVERITIES
from keras_superweights.figures.style import shortened
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.figures import reading

DRAW = np.random.default_rng(0)
LONG = "stage_of_a_network_with_very_long_names_block_{}_convolution"


def curves():
    names = ["", *(f"member_{index}_" for index in range(4))]
    return figures.training_curves(
        {
            prefix + name + quantity: DRAW.uniform(size=200)
            for prefix in ("", "val_")
            for name in names
            for quantity in ("loss", "accuracy")
        }
    )


def reliability():
    probabilities = DRAW.dirichlet(np.ones(10), size=200)
    return figures.reliability(probabilities, DRAW.integers(0, 10, 200))


def anytime():
    return figures.anytime_curve(
        [
            {
                "members": list(subset),
                "flops": sum(10**9 * (1 + index) for index in subset),
                "accuracy": 0.7 + 0.05 * size - 0.001 * sum(subset),
            }
            for size in range(1, 5)
            for subset in itertools.combinations(range(4), size)
        ]
    )


def corruptions():
    report = reading.corruption_report(CORRUPTIONS, SEVERITIES, num_members=4)
    return figures.corruption_curves(report)


def similarity(count):
    names = [LONG.format(index) for index in range(count)]
    groups = [tuple(range(count // 2)), tuple(range(count // 2, count))]
    matrix = DRAW.uniform(-1, 1, (count, count))
    return figures.similarity_matrix(matrix, names, groups, 0.1, "Cluster 0")


def coefficients(count, templates, parts=()):
    names = [LONG.format(index) for index in range(count)]
    blocks = [DRAW.normal(size=(count, number)) for number in templates]
    return figures.coefficient_matrix(blocks, names, "Coefficients", parts)


def clusters(rule, num_members, depth, budget, draw=figures.cluster_membership):
    shapes = {LONG.format(i): (3, 3, 8, 8 + i % 3) for i in range(depth)}
    members = [
        dataclasses.replace(
            builders.named_member(shapes, index, other_params=500),
            name=LONG.format(index),
        )
        for index in range(num_members)
    ]
    return draw(rule.allocate(members, budget))


def bars(*arguments):
    return clusters(*arguments, figures.allocation_bars)


POSITION = SuperWeights(clusters="position")
HARD = {
    "four members": (curves,),
    "reliability": (reliability,),
    "fifteen subsets": (anytime,),
    "eight corruptions": (corruptions,),
    "28 layers": (clusters, SuperWeights(), 4, 28, 60_000),
    "100 clusters": (clusters, POSITION, 2, 100, 130_000),
    "one layer": (clusters, SuperWeights(), 1, 1, 10_000),
    "60 layers": (clusters, POSITION, 2, 60, 130_000),
    "one of 60 layers": (clusters, Shapeshifter(stores="shape"), 1, 60, 2_500),
    "one of 121 layers": (clusters, Shapeshifter(), 1, 121, 5_000),
    "long labels of banks": (bars, MixtureEnsembles(), 2, 30, 20_000),
    "one store": (bars, Shapeshifter(), 1, 60, 2_500),
    "many banks": (bars, POSITION, 2, 20, 40_000),
    "150 banks": (bars, POSITION, 2, 150, 260_000),
    "2 similarities": (similarity, 2),
    "28 similarities": (similarity, 28),
    "1 coefficient": (coefficients, 2, [1]),
    "many coefficients": (coefficients, 60, [8, 8, 4, 1]),
    "rows that are parted": (coefficients, 9, [4], [2, 3, 4]),
}


@pytest.mark.parametrize("case", HARD)
def test_every_text_can_be_read(case):
    draw, *arguments = HARD[case]
    figure = draw(*arguments)
    assert reading.overlaps(figure) == []
    # Anything cut off would touch the border.
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert max(pixels.shape) < 2200
    for border in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (border == 255).all()


def test_figures_can_be_saved_and_leave_pyplot_alone(tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    figures.training_curves({"loss": [1.0]}).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_long_names_are_shortened_in_the_middle():
    assert shortened(["block1_conv2"]) == ["block1_conv2"]
    for length in range(37, 80):
        name = "first" + "x" * (length - 9) + "last"
        (short,) = shortened([name])
        assert len(short) == 36
        assert short.startswith("first") and short.endswith("last")
        assert "…" in short


@pytest.mark.parametrize("seed", range(20))
def test_different_names_stay_different(seed):
    draw = np.random.default_rng(seed)
    names = []
    for _ in range(20):
        letters = list("x" * draw.integers(30, 90))
        letters[draw.integers(0, 30)] = draw.choice(list("abc"))
        names.append("".join(letters))
    for few in (names, names[:2], names + names[:3]):
        short = shortened(few)
        assert len(set(short)) == len(set(few))
        # As short as that allows: shorter cuts would make two equal.
        length = max(map(len, short)) - 4
        ends = {
            n if len(n) <= length else (n[: length // 2 - 1], n[-length // 2 :])
            for n in few
        }
        assert length <= 32 or len(ends) < len(set(few))
