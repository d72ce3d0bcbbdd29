"""What is measured, recomputed from the members one by one."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.metrics import predict_members
from trainers.phases import measuring
from trainers.phases import report

CLASSES = 4


@pytest.fixture(scope="module")
def network():
    members = [
        ksw.models.wide_resnet(10, width, CLASSES, (8, 8, 1), name=f"w{width}")
        for width in (2, 1)
    ]
    return ksw.SuperWeightNetwork(members, budget_params=0.7)


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(23, 8, 8, 1)).astype("float32")
    return images, rng.integers(0, CLASSES, 23)


@pytest.mark.parametrize("one_hot", [False, True])
def test_one_pass_predicts_what_each_member_does(network, examples, one_hot):
    images, labels = examples
    targets = np.eye(CLASSES)[labels] if one_hot else labels
    batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(10)
    logits, found = predict_members(network, batches)
    np.testing.assert_array_equal(found, labels)
    for plain, values in zip(network.materialize(), logits, strict=True):
        expected = plain.predict(images, verbose=0)
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_what_is_measured_agrees_with_the_network(network, examples):
    images, labels = examples
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(10)
    logits, labels = predict_members(network, batches)
    metrics = measuring.measure(network, logits, labels)
    assert all(point["milliseconds"] > 0 for point in metrics["anytime"])

    log_mean = network.predict(images, verbose=0)  # of probabilities
    correct = log_mean.argmax(1) == labels
    assert metrics["accuracy"] == pytest.approx(correct.mean())
    nll = -log_mean[np.arange(23), labels].mean()
    assert metrics["nll"] == pytest.approx(nll, rel=1e-4)
    scalars = sum(v.numpy().size for v in network.trainable_variables)
    assert metrics["trainable_parameters"] == scalars
    assert scalars <= metrics["budget_params"]
    for plain, member in zip(
        network.materialize(), metrics["members"], strict=True
    ):
        assert member["name"] == plain.name
        size = sum(v.numpy().size for v in plain.trainable_variables)
        assert member["parameters"] == size
        convolutions = sum(
            v.numpy().size for v in plain.trainable_variables if v.ndim == 4
        )
        assert member["parameters_generated"] == convolutions
        assert member["flops"] == ksw.metrics.count_flops(plain)
    total = sum(member["parameters"] for member in metrics["members"])
    assert metrics["independent_params"] == total


def test_what_is_a_members_own_is_not_generated(examples):
    network = ksw.SuperWeightNetwork(
        [ksw.models.wide_resnet(10, 1, CLASSES, (8, 8, 1))],
        sharing=ksw.sharing.Independent(),
    )
    logits = network(examples[0]).numpy()
    (member,) = measuring.measure(network, [logits], examples[1])["members"]
    assert member["parameters_generated"] == 0


def example_metrics(num_members, diversity=0.5):
    member = {
        "name": "net",
        "accuracy": 0.9876,
        "nll": 0.0521,
        "ece": 0.0123,
        "parameters": 1_234_567,
        "flops": 12_345_678,
    }
    return {
        "accuracy": 0.99,
        "nll": 0.04,
        "ece": 0.01,
        "diversity": diversity,
        "trainable_parameters": 999_000,
        "budget_params": 1_000_000,
        "independent_params": 4_000_000,
        "members": [member] * num_members,
        "anytime": anytime(num_members),
    }


def anytime(num_members):
    """Every subset; each further member adds 2 % and costs what it does."""
    return [
        {
            "members": list(subset),
            "accuracy": 0.8 + 0.02 * len(subset),
            "nll": 0.5,
            "flops": sum(1_000_000 * (1 + index) for index in subset),
            "milliseconds": 1.5 * len(subset),
        }
        for size in range(1, num_members + 1)
        for subset in itertools.combinations(range(num_members), size)
    ]


def test_the_table_has_a_row_per_member_and_one_for_all():
    text = report.table(example_metrics(3))
    lines = text.splitlines()
    member = "member 0, net 98.76% 0.052 1.23% 1,234,567 12.3"
    assert lines[2].split() == member.split()
    ensemble = "ensemble of 3 99.00% 0.040 1.00% 999,000 6.0"
    assert lines[6].split() == ensemble.split()
    assert len({len(line) for line in lines[:7]}) == 1  # columns are aligned
    assert "diversity   0.50" in text
    assert "999,000 of a budget of 1,000,000 (99.9%)" in text
    assert "4,000,000 without sharing, of which that is 25.0%" in text


def test_one_network_has_a_row_below_the_ensemble():
    metrics = example_metrics(2)
    without = report.table(metrics)
    assert report.table({**metrics, "one_network": None}) == without
    one = metrics["members"][0] | {"name": "wide", "parameters": 998_000}
    lines = report.table({**metrics, "one_network": one}).splitlines()
    row = "one network 98.76% 0.052 1.23% 998,000 12.3"
    assert lines[6].split() == row.split()
    told = "one network wide, narrowed to fit the same budget"
    assert lines[4] == lines[1] and told in lines
    # Nothing else is another one.
    others = [line for line in lines if not line.startswith("one network")]
    assert others == without.splitlines()

    one["parameters"] = 2_000_000
    text = report.table({**example_metrics(1), "one_network": one})
    assert text.splitlines()[4].split()[:3] == ["one", "network", "98.76%"]
    assert "one network wide, widened to fit" in text


def test_what_a_search_decided_is_told():
    metrics = example_metrics(2)
    search = {"num_start_clusters": 12, "num_clusters": 7, "tau": 0.25}
    told = "search      12 clusters by depth, 7 by similarity (tau 0.25{})"
    for beta, end in ((0.9, ", beta 0.9"), (-1, ", beta -1"), (0, ", beta 0")):
        text = report.table({**metrics, "search": {**search, "beta": beta}})
        assert text.splitlines()[-1] == told.format(end)
    # One that left beta to the training, and one of an earlier version.
    for found in ({**search, "beta": None}, search):
        text = report.table({**metrics, "search": found})
        assert text.splitlines()[-1] == told.format("")


def test_the_anytime_table_marks_the_pareto_frontier():
    lines = report.table(example_metrics(3)).splitlines()
    first = lines.index(next(line for line in lines if "that answer" in line))
    rows = [line.split() for line in lines[first + 2 : first + 9]]
    assert rows[0] == ["*", "0", "82.00%", "0.500", "1.0", "1.50"]
    # 0, 01 and 012: others of their size are as accurate and cost more.
    frontier = [row[0] == "*" for row in rows]
    assert frontier == [True, False, False, True, False, False, True]
    assert rows[-1] == ["*", "0,", "1,", "2", "86.00%", "0.500", "6.0", "4.50"]


@pytest.mark.parametrize("num_members", [4, 10])
def test_of_many_subsets_only_the_frontier_is_shown(num_members):
    lines = report.table(example_metrics(num_members)).splitlines()
    rows = [line for line in lines if line.startswith("*")][:-1]  # the legend
    assert len(rows) == min(num_members, 8)
    # From the cheapest to all of them.
    assert rows[0].startswith("* 0 ")
    assert rows[-1].startswith(f"* {', '.join(map(str, range(num_members)))} ")
    assert not any(line.startswith("  ") and "%" in line for line in lines[:-3])


def test_what_is_not_defined_is_not_shown():
    text = report.table(example_metrics(1))
    for told in ("ensemble", "diversity", "that answer"):
        assert told not in text
    assert "not defined" in report.table(example_metrics(2, diversity=None))
