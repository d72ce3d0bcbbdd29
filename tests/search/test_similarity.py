"""Similarities from Gram matrices against cosines of cropped gradients.

Gradients are drawn as whole kernels, on the plane of all boxes; the brute
force crops two of them to their common box and takes the cosine. The code
under test sees only what a recorder would give it.
"""

import itertools

import numpy as np
import pytest

from keras_superweights.search.similarity import coefficient_similarity
from keras_superweights.search.similarity import unused_kernels
from keras_superweights.search.similarity import weight_similarity
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.search.networks import rows_of

BOXES = {
    "equal": [(3, 4)] * 4,
    "nested": [(2, 3), (4, 4), (1, 2), (4, 6), (2, 3)],
    "overlapping": [(1, 7), (7, 1), (3, 5), (5, 3), (6, 6)],
    "staircase": [(8, 1), (1, 8), (4, 4), (8, 8), (2, 6), (6, 2)],
}


def allocation_of(boxes, window=(2,)):
    member = builders.member(*((*window, *box) for box in boxes))
    rule = SuperWeights(depth_bins=1)
    return rule.allocate([member], 4 * sum(k.size for k in member.kernels))


def random_boxes(draw):
    return [tuple(draw.integers(1, 7, 2).tolist()) for _ in range(5)]


def gradients_of(allocation, draw):
    """One gradient per kernel, in the kernel's own shape."""
    return [draw.normal(size=k.shape) for k in allocation.kernels]


def grams_of(allocation, gradients):
    grams = []
    for superweight in allocation.superweights:
        rows = rows_of(allocation, superweight, gradients)
        cropped = {
            box: superweight.geometry.crop(rows, box)
            for box in superweight.geometry.boxes(
                [allocation.kernels[k] for k in superweight.kernels]
            )
        }
        grams.append({box: r @ r.T for box, r in cropped.items()})
    return grams


def cosine(one, other):
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return one.ravel() @ other.ravel() / norm


def brute_force(gradients):
    similarity = np.eye(len(gradients))
    for i, j in itertools.permutations(range(len(gradients)), 2):
        one, other = gradients[i], gradients[j]
        height, width = np.minimum(one.shape[-2:], other.shape[-2:])
        similarity[i, j] = cosine(
            one[..., :height, :width], other[..., :height, :width]
        )
    return similarity


@pytest.mark.parametrize("window", [(), (2,), (3, 2)], ids=str)
@pytest.mark.parametrize("name", [*BOXES, "random"])
def test_weight_similarity_is_the_cosine_on_the_common_box(name, window):
    draw = np.random.default_rng(0)
    for _ in range(20 if name == "random" else 3):
        boxes = BOXES[name] if name in BOXES else random_boxes(draw)
        allocation = allocation_of(boxes, window)
        gradients = gradients_of(allocation, draw)
        similarity = weight_similarity(
            allocation,
            tuple(range(len(boxes))),
            grams_of(allocation, gradients),
        )
        np.testing.assert_allclose(
            similarity, brute_force(gradients), atol=1e-12
        )


def test_a_part_of_the_kernels_may_be_asked_for_in_any_order():
    draw = np.random.default_rng(1)
    allocation = allocation_of(BOXES["staircase"])
    gradients = gradients_of(allocation, draw)
    asked = (4, 0, 3)
    np.testing.assert_allclose(
        weight_similarity(allocation, asked, grams_of(allocation, gradients)),
        brute_force(gradients)[np.ix_(asked, asked)],
        atol=1e-12,
    )


def test_coefficient_similarity_is_the_cosine_over_the_common_banks():
    draw = np.random.default_rng(2)
    for _ in range(20):
        allocation = allocation_of(random_boxes(draw))
        gradients = [
            draw.normal(size=(len(p.kernels), p.num_templates))
            for p in allocation.superweights
        ]
        kernels = tuple(range(len(allocation.kernels)))
        similarity = coefficient_similarity(allocation, kernels, gradients)
        for i, j in itertools.combinations(kernels, 2):
            common = [
                (superweight.kernels, gradient)
                for superweight, gradient in zip(
                    allocation.superweights, gradients, strict=True
                )
                if {i, j} <= set(superweight.kernels)
            ]
            one, other = (
                np.concatenate([rows[users.index(k)] for users, rows in common])
                for k in (i, j)
            )
            np.testing.assert_allclose(similarity[i, j], cosine(one, other))


def test_similarities_are_symmetric_and_cosines():
    draw = np.random.default_rng(3)
    for _ in range(50):
        allocation = allocation_of(random_boxes(draw))
        shared = draw.normal(size=(2, 6, 6))
        # Multiples of one gradient: cosines that rounding takes beyond 1.
        gradients = [
            draw.normal() * shared[..., : k.box[0], : k.box[1]]
            for k in allocation.kernels
        ]
        similarity = weight_similarity(
            allocation, range(5), grams_of(allocation, gradients)
        )
        np.testing.assert_array_equal(similarity, similarity.T)
        np.testing.assert_allclose(np.abs(similarity), 1, atol=1e-9)
        assert np.abs(similarity).max() <= 1


def test_neither_tiny_nor_huge_gradients_lose_their_direction():
    draw = np.random.default_rng(4)
    allocation = allocation_of(BOXES["nested"])
    gradients = gradients_of(allocation, draw)
    expected = brute_force(gradients)
    for scale in (1e-30, 1e30):
        scaled = [scale * g if i % 2 else g for i, g in enumerate(gradients)]
        similarity = weight_similarity(
            allocation, range(5), grams_of(allocation, scaled)
        )
        np.testing.assert_allclose(similarity, expected, atol=1e-9)


def test_a_gradient_of_zero_agrees_and_conflicts_with_nothing():
    draw = np.random.default_rng(5)
    allocation = allocation_of(BOXES["nested"])
    gradients = gradients_of(allocation, draw)
    gradients[1][:] = 0.0
    gradients[2][:] = 0.0
    # Zero on the box of kernel 2 only, so that it is used all the same.
    gradients[3][..., :1, :2] = 0.0
    grams = grams_of(allocation, gradients)
    similarity = weight_similarity(allocation, range(5), grams)
    assert not np.isnan(similarity).any()
    np.testing.assert_array_equal(np.diag(similarity), np.ones(5))
    for zero in (1, 2):
        others = [k for k in range(5) if k != zero]
        np.testing.assert_array_equal(similarity[zero, others], np.zeros(4))
    assert similarity[0, 3] != 0
    assert unused_kernels(allocation, grams) == (1, 2)
    coefficients = [
        np.zeros((len(p.kernels), p.num_templates))
        for p in allocation.superweights
    ]
    np.testing.assert_array_equal(
        coefficient_similarity(allocation, range(5), coefficients), np.eye(5)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_gradients_that_are_not_finite_are_refused_by_name(value, place):
    allocation = allocation_of([(3, 4)] * 3)
    gradients = gradients_of(allocation, np.random.default_rng(0))
    grams = grams_of(allocation, gradients)
    rows = [np.ones((3, s.num_templates)) for s in allocation.superweights]
    for gram in (gram for boxes in grams for gram in boxes.values()):
        gram[place] = gram[:, place] = value
    rows[0][place, -1] = value
    for function, *arguments in (
        (weight_similarity, range(3), grams),
        (coefficient_similarity, range(3), rows),
        (unused_kernels, grams),
    ):
        told = f"norm of {value} for layer 'l{place}' of member 0"
        with pytest.raises(ValueError, match=told):
            function(allocation, *arguments)
