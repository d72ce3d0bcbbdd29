"""The figures of a network and of a search show their own numbers."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.figures import tagged
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.search.refinement import Refinement
from keras_superweights.search.refinement import fit_clusters
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests.figures.reading import texts


def rows_of(figure):
    """The rows of a heat map, by the label of each."""
    axis = figure.axes[0]
    (image,) = axis.get_images()
    cells = np.ma.filled(image.get_array().astype(float), np.nan)
    labels = [label.get_text() for label in axis.get_yticklabels()]
    return dict(zip(labels, cells, strict=True))


def refinement_of(draw, tau):
    """A search whose clusters are in another order than their kernels."""
    members = [
        MemberSpec(
            f"net{member}",
            tuple(
                # 3x3 first, though 1x1 is the smaller window.
                KernelSpec(member, f"l{i}", (3, 3, 4, 4) if i % 3 else (5, 5))
                if i % 2
                else KernelSpec(member, f"l{i}", (3, 3, 4, 4 + 2 * member))
                for i in range(7)
            ),
            other_params=5,
        )
        for member in range(3)
    ]
    rule = SuperWeights(depth_bins=2, tied=True)
    similarities = []
    for cluster in rule.start_clusters(members):
        count = len(cluster.kernels)
        values = np.triu(draw.uniform(-1, 1, (count, count)), 1)
        similarities.append(values + values.T + np.eye(count))
    allocation, tries = fit_clusters(members, rule, similarities, tau, 10**5)
    return rule, Refinement(
        allocation=allocation,
        start=rule.allocate(members, 10**5),
        similarities=tuple(similarities),
        tries=tries,
        unused=(),
    )


@pytest.mark.parametrize("tau", [-1, 0.1, 0.7, 1])
def test_every_similarity_stands_between_its_two_kernels(tau):
    rule, found = refinement_of(np.random.default_rng(3), tau)
    drawn = dict(tagged.search_figures(found))
    assert "allocation/clusters_before" in drawn
    kernels = found.start.kernels
    names = [f"{k.member}: {k.layer}" for k in kernels]
    for number, (cluster, similarity) in enumerate(
        zip(
            rule.start_clusters(found.start.members),
            found.similarities,
            strict=True,
        )
    ):
        for moment in ("before", "after"):
            figure = drawn.pop(f"similarity/cluster_{number}_{moment}")
            rows = rows_of(figure)
            order = [names.index(label) for label in rows]
            assert sorted(order) == list(cluster.kernels)
            if moment == "before":
                assert order == sorted(order)
            for label, row in rows.items():
                i = cluster.kernels.index(names.index(label))
                for k, value in zip(order, row, strict=True):
                    assert value == similarity[i, cluster.kernels.index(k)]
            sizes = [int(p.get_width()) for p in figure.axes[0].patches]
            groups = [set(cluster.kernels)]
            if moment == "after":
                groups = [set(c) for c in found.allocation.clusters]
            framed = np.split(order, np.cumsum(sizes)[:-1])
            assert all(set(frame) in groups for frame in framed)
            assert texts(figure.axes[1].texts) == [f"{tau:g}"]
    assert drawn.keys() == {"allocation/clusters_before"}


def member(width):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, name="a")(inputs)
    for name in "bcd":
        x = keras.layers.Dense(width, name=name)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def used_coefficients(allocation, mixtures, kernel):
    """For each SuperWeight, the row that a kernel mixes with, written out."""
    found = {}
    for s, row in allocation.composition[kernel]:
        superweight = allocation.superweights[s]
        if superweight.ties:
            stored = mixtures[s].coefficients.numpy()[superweight.ties[row]]
            full = np.full(superweight.num_templates, np.nan)
            chosen = list(superweight.templates_of(row))
            full[chosen] = stored
            found[s] = full
    return found


@pytest.mark.parametrize(
    ("sharing", "budget"),
    [
        (SuperWeights(depth_bins=2), 0.9),
        (SuperWeights(depth_bins=1, tied=True), 0.9),
        (MixtureEnsembles(), 0.9),
        # More templates than a kernel mixes.
        (MixtureEnsembles(max_templates=2), 1.5),
    ],
    ids=str,
)
def test_coefficients_are_those_that_every_kernel_uses(sharing, budget):
    network = ksw.SuperWeightNetwork([member(4), member(6)], budget, sharing)
    allocation = network.allocation
    drawn = dict(tagged.coefficient_figures(network))
    shown = {int(tag.removeprefix("coefficients/cluster_")) for tag in drawn}
    clusters = clusters_as_formed(allocation)
    mixed = {
        number
        for number, cluster in enumerate(clusters)
        if len(cluster) > 1
        and any(
            allocation.superweights[s].ties
            for kernel in cluster
            for s, _ in allocation.composition[kernel]
        )
    }
    assert shown == mixed != set()
    for number in shown:
        rows = rows_of(drawn[f"coefficients/cluster_{number}"])
        cluster = clusters[number]
        of_kernel = {
            k: used_coefficients(allocation, network.generator.mixtures, k)
            for k in cluster
        }
        superweights = sorted({s for used in of_kernel.values() for s in used})
        assert len(rows) == len(cluster)
        for kernel in cluster:
            spec = allocation.kernels[kernel]
            expected = [
                of_kernel[kernel].get(
                    s,
                    np.full(allocation.superweights[s].num_templates, np.nan),
                )
                for s in superweights
            ]
            np.testing.assert_allclose(
                rows[f"{spec.member}: {spec.layer}"], np.concatenate(expected)
            )


@pytest.mark.parametrize(("mixing", "budget"), [("wavg", 220), ("emb", 420)])
def test_rows_between_lines_mix_the_same_templates_of_a_store(mixing, budget):
    inputs = keras.Input((5,))
    x = inputs
    # Sizes that come again later, and one larger than the store.
    for index, width in enumerate((4, 4, 9, 4, 4, 30, 4)):
        x = keras.layers.Dense(width, name=f"d{index}")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(x))
    rule = Shapeshifter(mixing=mixing, max_templates=8)
    network = ksw.SuperWeightNetwork(model, budget, rule)
    allocation = network.allocation
    ((tag, figure),) = tagged.coefficient_figures(network)
    assert tag == "coefficients/cluster_0"
    rows = rows_of(figure)
    layers = [kernel.layer for kernel in allocation.kernels]
    of_layer = {
        layers[kernel]: (superweight, matrix[row])
        for superweight, matrix in (
            (superweight, np.array(mixture.matrix()))
            for superweight, mixture in zip(
                allocation.superweights,
                network.generator.mixtures,
                strict=True,
            )
            if superweight.ties
        )
        for row, kernel in enumerate(superweight.kernels)
    }
    assert rows.keys() == of_layer.keys() < set(layers)
    for layer, row in rows.items():
        superweight, values = of_layer[layer]
        np.testing.assert_allclose(row[: len(values)], values)
        assert np.isnan(row[len(values) :]).all()
    (axis, _) = figure.axes
    lines = sorted(line.get_ydata()[0] for line in axis.get_lines())
    templates = [
        [
            (
                (superweight.first + t)
                % (allocation.banks[0].size // superweight.size),
                superweight.size,
            )
            for t in range(superweight.num_templates)
        ]
        for superweight, _ in (of_layer[layer] for layer in rows)
    ]
    changes = [
        place + 0.5
        for place in range(len(rows) - 1)
        if templates[place] != templates[place + 1]
    ]
    assert lines == changes != []
    # Those that mix the same ones are together.
    assert len(changes) + 1 == len(set(map(tuple, templates)))
    without = len(layers) - len(rows)
    assert f"{without} of its {len(layers)} kernels without" in (
        figure.get_suptitle()
    )


def test_of_many_clusters_the_largest_are_drawn():
    widths = range(4, 19)
    network = ksw.SuperWeightNetwork(
        [member(w) for w in widths] + [member(18)],
        1.0,
        # One cluster a shape: two kernels of (5, w), six of (w, w), ...
        MixtureEnsembles(),
    )
    clusters = network.allocation.clusters
    mixed = {
        k
        for superweight in network.allocation.superweights
        if superweight.ties
        for k in superweight.kernels
    }
    sizes = [len(c) for c in clusters if len(c) > 1 and set(c) <= mixed]
    assert len(sizes) > tagged.MAX_COEFFICIENT_FIGURES
    drawn = list(tagged.coefficient_figures(network))
    assert len(drawn) == tagged.MAX_COEFFICIENT_FIGURES
    shown = [len(rows_of(figure)) for _, figure in drawn]
    assert sorted(shown) == sorted(sizes)[-len(shown) :]
