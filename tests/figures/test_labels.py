"""Numbers of clusters and names of kernels."""

import numpy as np
import pytest

from keras_superweights import sharing
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.figures import labels
from tests import builders


def names_of(*members):
    """Names of the kernels of members, lists of `(layer, weight)`."""
    specs = [
        MemberSpec(
            "net",
            tuple(KernelSpec(m, path, (3, 3), weight) for path, weight in of),
            5,
        )
        for m, of in enumerate(members)
    ]
    return labels.kernel_names(sharing.Independent().allocate(specs, 10**6))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["net/a", "net/b"], ["a", "b"]),
        (["net/x/a", "net/x/b", "net/y/a"], ["x/a", "x/b", "y"]),
        (["net/a", "head"], ["net", "head"]),
        (["net/dense"], ["dense"]),
    ],
    ids=str,
)
def test_common_parts_of_paths_are_left_out(paths, names):
    member = [(path, "kernel") for path in paths]
    assert names_of(member) == names
    # In an ensemble, the member's number comes first.
    assert names_of(member, member) == [
        f"{m}: {name}" for m in (0, 1) for name in names
    ]


def test_kernels_of_one_layer_are_told_apart():
    kernels = [
        (f"bidirectional/{way}/cell", weight)
        for way in ("forward", "backward")
        for weight in ("kernel", "recurrent_kernel")
    ]
    names = ["forward/kernel", "forward/recurrent_kernel"]
    names += [name.replace("for", "back") for name in names]
    assert names_of(kernels) == names
    with_others = [("embedding", "embeddings"), *kernels]
    assert names_of(with_others) == [
        "embedding",
        *(f"bidirectional/{name}" for name in names),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_no_two_kernels_have_one_name(seed):
    draw = np.random.default_rng(seed)
    kernels = {
        ("/".join(draw.choice(list("abc"), draw.integers(1, 5))), str(weight))
        for weight in draw.integers(0, 2, 12)
    }
    names = names_of(sorted(kernels))
    assert len(set(names)) == len(names) == len(kernels)
    for name, (path, weight) in zip(names, sorted(kernels), strict=True):
        rest = iter([*path.split("/"), weight])
        assert all(part in rest for part in name.split("/"))  # in order


def test_a_cluster_has_the_number_of_its_store():
    shapes = dict.fromkeys(("c", "b", "a", "b2", "a2"), (3, 3, 4, 4))
    allocation = sharing.Shapeshifter(stores=("a*", "b*", "c*")).allocate(
        [builders.named_member(shapes, other_params=5)], 400
    )
    assert labels.clusters_as_formed(allocation) == ((2, 4), (1, 3), (0,))
    assert allocation.clusters != labels.clusters_as_formed(allocation)
    for number, users in enumerate(allocation.readers):
        for superweight in users:
            assert set(superweight.kernels) <= set(
                labels.clusters_as_formed(allocation)[number]
            )


@pytest.mark.parametrize(
    "rule",
    [sharing.SuperWeights(depth_bins=2), sharing.MixtureEnsembles()],
    ids=str,
)
def test_clusters_are_numbered_in_the_order_of_banks(rule):
    shapes = [(3, 3, 4, 4) if i % 3 else (1, 1, 6, 6) for i in range(9)]
    member = builders.member(*shapes, other_params=5)
    allocation = rule.allocate([member], 1200)
    clusters = labels.clusters_as_formed(allocation)
    assert sorted(clusters) == sorted(allocation.clusters)
    numbers = [
        number
        for users in allocation.readers
        for number, cluster in enumerate(clusters)
        if users[0].kernels[0] in cluster
    ]
    assert numbers == sorted(numbers)
