"""The figures of a network and of a search show their own numbers."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.figures import tagged
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.search.refinement import Refinement
from keras_superweights.search.refinement import fit_clusters
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.figures.reading import cells
from tests.figures.reading import texts


def rows_of(figure):
    """The rows of a heat map, by the label of each."""
    axis = figure.axes[0]
    return dict(zip(texts(axis.get_yticklabels()), cells(axis), strict=True))


def refinement_of(draw, tau):
    """A search whose clusters are not in the order of their kernels."""
    # 3x3 first, though 1x1 is the smaller window.
    square, dense = (3, 3, 4, 4), (5, 5)
    wide = [(3, 3, 4, 4 + 2 * member) for member in range(3)]
    members = builders.members(
        *([w, square, w, dense, w, square, w] for w in wide), other_params=5
    )
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
        coefficient_similarities=tuple(similarities),
        tries=tries,
        unused=(),
    )


@pytest.mark.parametrize("tau", [-1, 0.1, 0.7, 1])
def test_every_similarity_stands_between_its_two_kernels(tau):
    rule, found = refinement_of(np.random.default_rng(3), tau)
    drawn = dict(tagged.search_figures(found))
    assert "allocation/clusters_before" in drawn
    names = [f"{k.member}: {k.layer}" for k in found.start.kernels]
    clusters = rule.start_clusters(found.start.members)
    for number, cluster in enumerate(clusters):
        similarity = found.similarities[number]
        for moment in ("before", "after"):
            figure = drawn.pop(f"similarity/cluster_{number}_{moment}")
            rows = rows_of(figure)
            order = [names.index(label) for label in rows]
            assert sorted(order) == list(cluster.kernels)
            assert moment == "after" or order == sorted(order)
            places = [cluster.kernels.index(k) for k in order]
            np.testing.assert_array_equal(
                list(rows.values()), similarity[places][:, places]
            )
            sizes = [int(p.get_width()) for p in figure.axes[0].patches]
            groups = [set(cluster.kernels)]
            if moment == "after":
                groups = [set(c) for c in found.allocation.clusters]
            framed = np.split(order, np.cumsum(sizes)[:-1])
            assert all(set(frame) in groups for frame in framed)
            assert texts(figure.axes[1].texts) == [f"{tau:g}"]
    assert drawn.keys() == {"allocation/clusters_before"}


def member(*widths, outputs=3):
    """A network of dense layers and a head."""
    inputs = x = keras.Input((5,))
    for index, width in enumerate(widths):
        x = keras.layers.Dense(width, name=f"d{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(outputs, name="head")(x))


def used_coefficients(network, kernel):
    """For each SuperWeight, the row that a kernel mixes with, written out."""
    found = {}
    for s, row in network.allocation.composition[kernel]:
        superweight = network.allocation.superweights[s]
        if superweight.ties:
            coefficients = network.generator.mixtures[s].coefficients.numpy()
            found[s] = np.full(superweight.num_templates, np.nan)
            chosen = list(superweight.templates_of(row))
            found[s][chosen] = coefficients[superweight.ties[row]]
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
    models = [member(*[4] * 4), member(*[6] * 4)]
    network = ksw.SuperWeightNetwork(models, budget, sharing)
    allocation = network.allocation
    drawn = dict(tagged.coefficient_figures(network))
    assert drawn
    for number, cluster in enumerate(clusters_as_formed(allocation)):
        used = {k: used_coefficients(network, k) for k in cluster}
        mixed = {s: row for rows in used.values() for s, row in rows.items()}
        if len(cluster) == 1 or not mixed:
            continue
        rows = rows_of(drawn.pop(f"coefficients/cluster_{number}"))
        assert len(rows) == len(cluster)
        for kernel in cluster:
            spec = allocation.kernels[kernel]
            expected = [
                used[kernel].get(s, np.full(len(row), np.nan))
                for s, row in sorted(mixed.items())
            ]
            np.testing.assert_allclose(
                rows[f"{spec.member}: {spec.layer}"], np.concatenate(expected)
            )
    assert not drawn


@pytest.mark.parametrize(("mixing", "budget"), [("wavg", 220), ("emb", 420)])
def test_rows_between_lines_mix_the_same_templates_of_a_store(mixing, budget):
    # Sizes that come again later, and one larger than the store.
    model = member(4, 4, 9, 4, 4, 30, 4, outputs=1)
    rule = Shapeshifter(mixing=mixing, max_templates=8)
    network = ksw.SuperWeightNetwork(model, budget, rule)
    allocation = network.allocation
    ((tag, figure),) = tagged.coefficient_figures(network)
    assert tag == "coefficients/cluster_0"
    rows = rows_of(figure)
    layers = [kernel.layer for kernel in allocation.kernels]
    of_layer = {
        layers[kernel]: (superweight, row)
        for superweight, mixture in zip(
            allocation.superweights, network.generator.mixtures, strict=True
        )
        if superweight.ties
        for kernel, row in zip(
            superweight.kernels, np.array(mixture.matrix()), strict=True
        )
    }
    assert rows.keys() == of_layer.keys() < set(layers)
    templates = []
    for layer, row in rows.items():
        superweight, values = of_layer[layer]
        np.testing.assert_allclose(row[: len(values)], values)
        assert np.isnan(row[len(values) :]).all()
        num_rows = allocation.banks[0].size // superweight.size
        used = np.arange(superweight.num_templates) + superweight.first
        templates.append((superweight.size, *(used % num_rows).tolist()))
    lines = sorted(line.get_ydata()[0] for line in figure.axes[0].get_lines())
    changes = [
        place + 0.5
        for place in range(len(rows) - 1)
        if templates[place] != templates[place + 1]
    ]
    assert lines == changes != []
    # Rows with the same templates are together.
    assert len(changes) + 1 == len(set(templates))
    without = len(layers) - len(rows)
    told = f"{without} of its {len(layers)} kernels without"
    assert told in figure.get_suptitle()


def test_the_largest_of_many_clusters_are_drawn():
    # One cluster per shape: two kernels of (5, w), six of (w, w), ...
    models = [member(*[w] * 4) for w in (*range(4, 19), 18)]
    network = ksw.SuperWeightNetwork(models, 1.0, MixtureEnsembles())
    mixed = {
        k
        for superweight in network.allocation.superweights
        if superweight.ties
        for k in superweight.kernels
    }
    clusters = network.allocation.clusters
    sizes = [len(c) for c in clusters if len(c) > 1 and set(c) <= mixed]
    assert len(sizes) > tagged.MAX_COEFFICIENT_FIGURES
    drawn = list(tagged.coefficient_figures(network))
    assert len(drawn) == tagged.MAX_COEFFICIENT_FIGURES
    shown = [len(rows_of(figure)) for _, figure in drawn]
    assert sorted(shown) == sorted(sizes)[-len(shown) :]
