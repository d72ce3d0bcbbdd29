"""Metrics, compared with their definitions and with scikit-learn."""

import itertools
import json
import math

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from keras_superweights import metrics
from keras_superweights.metrics import evaluation


def random_case(seed, num_members=3):
    generator = np.random.default_rng(seed)
    num_examples = int(generator.integers(1, 60))
    num_classes = int(generator.integers(2, 6))
    shape = (num_members, num_examples, num_classes)
    logits = list(generator.normal(size=shape) * 2)
    return logits, generator.integers(0, num_classes, num_examples)


def expected_ece(rows, labels, num_bins):
    confidences, hits = rows.max(axis=1), rows.argmax(axis=1) == labels
    bins = np.ceil(confidences * num_bins)
    gaps = [np.sum((hits - confidences)[bins == b]) for b in set(bins)]
    return np.sum(np.abs(gaps)) / len(labels)


def expected_diversity(members, labels):
    ratios = [
        np.mean(first != second) / np.mean(second != labels)
        for first, second in itertools.permutations(np.argmax(members, -1), 2)
        if (second != labels).any()
    ]
    return np.mean(ratios) if ratios else None


def approximate(members, labels):
    """All metrics of an ensemble, by their definitions."""
    rows = np.mean(members, axis=0)
    classes = range(rows.shape[1])
    nll = sklearn.metrics.log_loss(labels, rows, labels=classes)
    of_labels = rows[np.arange(len(labels)), labels]
    brier = np.mean(1 - 2 * of_labels + (rows**2).sum(axis=1))
    return {
        "accuracy": np.mean(rows.argmax(axis=1) == labels),
        "nll": pytest.approx(nll),
        "brier": pytest.approx(brier),
        "ece": pytest.approx(expected_ece(rows, labels, 15)),
        "diversity": pytest.approx(expected_diversity(members, labels)),
    }


@pytest.mark.parametrize("seed", range(30))
def test_all_metrics_equal_their_definitions(seed):
    logits, labels = random_case(seed)
    members = scipy.special.softmax(logits, axis=-1)
    ensemble = metrics.ensemble_probabilities(logits)
    np.testing.assert_allclose(ensemble, members.mean(axis=0), rtol=1e-12)
    assert approximate(members, labels) == {
        "accuracy": metrics.accuracy(ensemble, labels),
        "nll": metrics.negative_log_likelihood(ensemble, labels),
        "brier": metrics.brier_score(ensemble, labels),
        "ece": metrics.expected_calibration_error(ensemble, labels),
        "diversity": metrics.diversity(members, labels),
    }
    for num_bins in (1, 7):
        assert metrics.expected_calibration_error(
            ensemble, labels, num_bins
        ) == pytest.approx(expected_ece(ensemble, labels, num_bins))


def test_members_in_one_model_are_measured_together():
    logits, labels = random_case(3)
    apart = metrics.evaluate_members(logits, labels, [9, 9, 9], [1, 1, 1])
    found = metrics.evaluate_members(logits, labels, [10], [1.5])
    (point,) = found["anytime"]
    assert (point["flops"], point["milliseconds"]) == (10, 1.5)
    assert point["members"] == [0, 1, 2]
    *_, last = apart["anytime"]
    for name in ("accuracy", "nll", "brier", "ece", "diversity"):
        assert point[name] == last[name] == found[name]
    assert found["members"] == apart["members"]
    with pytest.raises(ValueError, match="`milliseconds` must hold.*3 for 3"):
        metrics.evaluate_members(logits, labels, [10], [1, 1, 1])


def test_the_upper_edge_belongs_to_a_bin_and_the_lower_does_not():
    bins = metrics.calibration_bins(
        [[0.5, 0.5], [1.0, 0.0], [0.51, 0.49]], [0, 0, 0], num_bins=2
    )
    np.testing.assert_allclose(bins["fraction"], [1 / 3, 2 / 3])
    np.testing.assert_allclose(bins["confidence"], [0.5, 0.755])


def test_half_precision_softmaxes_are_accepted():
    probabilities = metrics.ensemble_probabilities(
        np.random.default_rng(0).normal(size=(1, 50, 100))
    ).astype("float16")
    labels = np.zeros(50, "uint8")
    assert 0 <= metrics.expected_calibration_error(probabilities, labels) <= 1


def test_an_impossible_label_costs_a_finite_number():
    cost = metrics.negative_log_likelihood([[0.0, 1.0]], [0])
    assert cost == pytest.approx(1022 * math.log(2))


def test_large_logits_do_not_overflow():
    probabilities = metrics.ensemble_probabilities([[[1e4, -1e4], [0, 1e4]]])
    np.testing.assert_array_equal(probabilities, [[1, 0], [0, 1]])


def test_members_without_errors_normalize_nothing():
    right, wrong = [0.9, 0.1], [0.2, 0.8]
    perfect, other = [right, right], [right, wrong]
    # d / e(other) = (1/2) / (1/2); the pair divided by zero is left out.
    assert metrics.diversity([perfect, other], [0, 0]) == 1
    assert metrics.diversity([perfect, perfect], [0, 0]) is None
    assert metrics.diversity([other], [0, 0]) is None


@pytest.mark.parametrize("num_members", [1, 2, 3])
def test_an_evaluation_agrees_with_the_metrics_and_is_json(num_members):
    logits, labels = random_case(num_members, num_members)
    flops = [np.int64(50), 20, 30][:num_members]
    report = metrics.evaluate_members(logits, labels, flops)
    report = json.loads(json.dumps(report))
    members = [metrics.ensemble_probabilities([member]) for member in logits]
    found = {key: report[key] for key in ("accuracy", "nll", "brier", "ece")}
    found["diversity"] = report["diversity"]
    assert found == approximate(members, labels)
    for found, member in zip(report["members"], members, strict=True):
        assert {**found, "diversity": None} == approximate([member], labels)
    costs = [point["flops"] for point in report["anytime"]]
    assert costs == sorted(costs)
    subsets = [point["members"] for point in report["anytime"]]
    assert sorted(subsets) == sorted(
        list(chosen)
        for size in range(1, num_members + 1)
        for chosen in itertools.combinations(range(num_members), size)
    )
    for point in report["anytime"]:
        chosen = [members[index] for index in point["members"]]
        assert point == {
            "members": point["members"],
            "flops": sum(flops[index] for index in point["members"]),
            **approximate(chosen, labels),
        }


def test_times_of_a_subset_are_the_sum_of_its_members():
    logits, labels = random_case(0)
    milliseconds = [np.float32(0.5), 4.0, 2]
    report = metrics.evaluate_members(logits, labels, [1, 2, 3], milliseconds)
    for point in json.loads(json.dumps(report["anytime"])):
        expected = sum(milliseconds[index] for index in point["members"])
        assert point["milliseconds"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="`milliseconds`.*2 for 3 members"):
        metrics.evaluate_members(logits, labels, [1, 2, 3], [1.0, 2.0])


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("cost", ["flops", "milliseconds"])
def test_the_frontier_has_the_best_of_every_limit(seed, cost):
    generator = np.random.default_rng(seed)
    points = [
        # Few distinct values make many of them equal.
        {cost: int(price), "accuracy": int(hits) / 5}
        for price, hits in generator.integers(1, 6, (12, 2))
    ]
    frontier = metrics.pareto_frontier(points, cost)
    for limit in range(6):
        within = [p for p in points if p[cost] <= limit]
        on_frontier = [p for p in frontier if p[cost] <= limit]
        assert bool(within) == bool(on_frontier)
        if within:
            best = max(p["accuracy"] for p in within)
            cheapest = min(p[cost] for p in within if p["accuracy"] == best)
            assert on_frontier[-1] == {cost: cheapest, "accuracy": best}
    for quantity in (cost, "accuracy"):
        assert len({p[quantity] for p in frontier}) == len(frontier)


def test_a_frontier_without_its_cost_is_refused():
    with pytest.raises(ValueError, match="one of .*'flops'.*'seconds'"):
        metrics.pareto_frontier([{"flops": 1, "accuracy": 1.0}], "seconds")
    with pytest.raises(ValueError, match=r"milliseconds of every.*'flops'\]"):
        metrics.pareto_frontier([{"flops": 1, "accuracy": 1}], "milliseconds")


def test_up_to_10_members_every_subset_counts_beyond_only_some():
    logits, labels = random_case(0, num_members=11)
    flops = list(range(1, 12))
    report = metrics.evaluate_members(logits[:10], labels, flops[:10])
    assert len(report["anytime"]) == 2**10 - 1
    report = metrics.evaluate_members(logits, labels, flops)
    alone = [[index] for index in range(11)]
    together = [list(range(size)) for size in range(2, 12)]
    subsets = [point["members"] for point in report["anytime"]]
    assert sorted(subsets) == sorted(alone + together)
    assert evaluation.MAX_MEMBERS_FOR_ALL_SUBSETS == 10


@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.negative_log_likelihood,
        metrics.brier_score,
        metrics.expected_calibration_error,
        lambda rows, labels: metrics.diversity([rows], labels),
    ],
    ids=["accuracy", "nll", "brier", "ece", "diversity"],
)
@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "message"),
    [
        ([[2.0, -1.0]], [0], ValueError, "softmax to logits.*Received"),
        ([[0.5, 0.6]], [0], ValueError, "row sums from 1.1"),
        ([[np.nan, 0.6]], [0], ValueError, "finite"),
        ([0.5, 0.5], [0], ValueError, r"shape \(2,\)"),
        (np.zeros((0, 2)), [], ValueError, r"shape \(0, 2\)"),
        ([[0.5, 0.5]], [[0]], ValueError, r"`labels`.*shape \(1, 1\)"),
        ([[0.5, 0.5]], [0, 1], ValueError, r"`labels`.*shape \(2,\)"),
        ([[0.5, 0.5]], [0.0], TypeError, "`labels`.*float64"),
        ([[0.5, 0.5]], [2], ValueError, "from 2 to 2"),
        ([[0.5, 0.5]], [-1], ValueError, "from -1 to -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arrays_are_refused(metric, probabilities, labels, error, message):
    with pytest.raises(error, match=message):
        metric(probabilities, labels)


def test_bad_members_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        metrics.ensemble_probabilities([])
    with pytest.raises(ValueError, match=r"\(1, 2\), \(1, 3\)"):
        metrics.ensemble_probabilities([[[0, 1]], [[0, 1, 2]]])
    with pytest.raises(ValueError, match=r"`member_logits\[1\]`.*finite"):
        metrics.ensemble_probabilities([[[0, 1]], [[0, np.inf]]])
    with pytest.raises(ValueError, match="at least one"):
        metrics.diversity([], [0])
    with pytest.raises(ValueError, match="`flops`.*2 for 1 members"):
        metrics.evaluate_members([[[0, 1]]], [0], [1, 2])
    with pytest.raises(ValueError, match="num_bins=0"):
        metrics.expected_calibration_error([[0.5, 0.5]], [0], num_bins=0)
