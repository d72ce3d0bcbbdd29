import json
import math

import numpy as np
import pytest

from keras_superweights import metrics
from keras_superweights.metrics import evaluation


def random_case(seed, num_members=3):
    generator = np.random.default_rng(seed)
    num_examples = int(generator.integers(1, 60))
    num_classes = int(generator.integers(2, 6))
    logits = [
        generator.normal(size=(num_examples, num_classes)) * 2
        for _ in range(num_members)
    ]
    labels = generator.integers(0, num_classes, num_examples)
    return logits, labels


def softmax(row):
    exponentials = [math.exp(value) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def predicted(row):
    return max(range(len(row)), key=lambda index: row[index])


def brute_accuracy(rows, labels):
    hits = [predicted(row) == y for row, y in zip(rows, labels, strict=True)]
    return sum(hits) / len(hits)


def brute_nll(rows, labels):
    logs = [math.log(row[y]) for row, y in zip(rows, labels, strict=True)]
    return -sum(logs) / len(logs)


def brute_ece(rows, labels, num_bins):
    total = 0.0
    for index in range(num_bins):
        inside = [
            (max(row), predicted(row) == y)
            for row, y in zip(rows, labels, strict=True)
            if index / num_bins < max(row) <= (index + 1) / num_bins
        ]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            hits = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / len(rows) * abs(hits - confidence)
    return total


def brute_diversity(members, labels):
    ratios = []
    for i, first in enumerate(members):
        for j, second in enumerate(members):
            error = 1 - brute_accuracy(second, labels)
            if i == j or error < 1e-12:
                continue
            differ = sum(
                predicted(a) != predicted(b)
                for a, b in zip(first, second, strict=True)
            )
            ratios.append(differ / len(labels) / error)
    return sum(ratios) / len(ratios) if ratios else None


@pytest.mark.parametrize("seed", range(30))
def test_all_metrics_equal_their_definitions(seed):
    logits, labels = random_case(seed)
    members = [[softmax(row) for row in member] for member in logits]
    mean = np.mean(members, axis=0)
    ensemble = metrics.ensemble_probabilities(logits)
    np.testing.assert_allclose(ensemble, mean, rtol=1e-12)
    assert metrics.accuracy(ensemble, labels) == brute_accuracy(mean, labels)
    assert metrics.negative_log_likelihood(ensemble, labels) == pytest.approx(
        brute_nll(mean, labels)
    )
    for num_bins in (1, 7, 15):
        assert metrics.expected_calibration_error(
            ensemble, labels, num_bins
        ) == pytest.approx(brute_ece(mean, labels, num_bins))
    assert metrics.diversity(members, labels) == pytest.approx(
        brute_diversity(members, labels)
    )


def test_calibration_uses_15_bins_unless_told():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(1, 300, 3))
    probabilities = metrics.ensemble_probabilities(logits)
    # Nearly calibrated: the gaps of the bins differ in sign.
    labels = np.array([generator.choice(3, p=row) for row in probabilities])
    assert metrics.expected_calibration_error(
        probabilities, labels
    ) == pytest.approx(brute_ece(probabilities, labels, 15))


def test_the_upper_edge_belongs_to_a_bin_and_the_lower_does_not():
    bins = metrics.calibration_bins(
        [[0.5, 0.5], [1.0, 0.0], [0.51, 0.49]], [0, 0, 0], num_bins=2
    )
    np.testing.assert_allclose(bins["fraction"], [1 / 3, 2 / 3])
    np.testing.assert_allclose(bins["confidence"], [0.5, 0.755])


def test_a_calibrated_predictor_has_no_calibration_error():
    probabilities = [[0.75, 0.25]] * 4
    assert metrics.expected_calibration_error(probabilities, [0, 0, 0, 1]) == 0


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


def test_diversity_by_hand():
    right, wrong = [0.9, 0.1], [0.2, 0.8]
    labels = [0, 0, 0, 0]
    first = [wrong, right, right, right]
    second = [right, wrong, wrong, right]
    # They differ on 3 of 4 examples; their errors are 1/4 and 2/4.
    assert metrics.diversity([first, second], labels) == pytest.approx(2.25)
    assert metrics.diversity([first, first], labels) == 0


def test_members_without_errors_normalize_nothing():
    right, wrong = [0.9, 0.1], [0.2, 0.8]
    perfect, other = [right, right], [right, wrong]
    # d / e(other) = (1/2) / (1/2); the pair divided by zero is left out.
    assert metrics.diversity([perfect, other], [0, 0]) == 1
    assert metrics.diversity([perfect, perfect], [0, 0]) is None
    assert metrics.diversity([other], [0, 0]) is None


@pytest.mark.parametrize("seed", range(5))
def test_an_evaluation_agrees_with_the_metrics_and_is_json(seed):
    logits, labels = random_case(seed)
    flops = [np.int64(50), 20, 30]
    report = json.loads(
        json.dumps(metrics.evaluate_members(logits, labels, flops))
    )
    ensemble = metrics.ensemble_probabilities(logits)
    assert report["accuracy"] == metrics.accuracy(ensemble, labels)
    assert report["nll"] == metrics.negative_log_likelihood(ensemble, labels)
    assert report["ece"] == metrics.expected_calibration_error(ensemble, labels)
    members = [metrics.ensemble_probabilities([member]) for member in logits]
    assert report["diversity"] == metrics.diversity(members, labels)
    assert report["members"] == [
        {
            "accuracy": metrics.accuracy(member, labels),
            "nll": metrics.negative_log_likelihood(member, labels),
            "ece": metrics.expected_calibration_error(member, labels),
        }
        for member in members
    ]
    costs = [point["flops"] for point in report["anytime"]]
    assert costs == sorted(costs)
    subsets = {tuple(point["members"]) for point in report["anytime"]}
    assert subsets == {(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    for point in report["anytime"]:
        chosen = point["members"]
        assert point["flops"] == sum(flops[index] for index in chosen)
        together = np.mean([members[index] for index in chosen], axis=0)
        assert point["accuracy"] == brute_accuracy(together, labels)
        assert point["nll"] == pytest.approx(brute_nll(together, labels))
        assert point["ece"] == pytest.approx(brute_ece(together, labels, 15))
        assert point["diversity"] == pytest.approx(
            brute_diversity([members[index] for index in chosen], labels)
        )
        assert "milliseconds" not in point


def test_times_of_a_subset_are_the_sum_of_those_of_its_members():
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


def test_an_ensemble_of_one_is_its_member():
    logits, labels = random_case(1, num_members=1)
    report = metrics.evaluate_members(logits, labels, [7])
    assert report["diversity"] is None
    assert report["members"] == [
        {key: report[key] for key in ("accuracy", "nll", "ece")}
    ]
    assert [point["members"] for point in report["anytime"]] == [[0]]


@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.negative_log_likelihood,
        metrics.expected_calibration_error,
        lambda probabilities, labels: metrics.diversity(
            [probabilities], labels
        ),
    ],
    ids=["accuracy", "nll", "ece", "diversity"],
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
    ids=[
        "logits",
        "sum",
        "nan",
        "rank",
        "empty",
        "column",
        "too_many",
        "float",
        "too_large",
        "negative",
    ],
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
