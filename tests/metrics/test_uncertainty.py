"""Uncertainty, against scipy, brute force and numerical integration."""

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats

from keras_superweights import metrics


def random_logits(seed):
    generator = np.random.default_rng(seed)
    shape = generator.integers([1, 1, 2], [5, 20, 6])
    return generator.normal(scale=3, size=shape)


def random_mixture(seed):
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 5, 2))
    return generator.normal(size=shape), generator.uniform(0.05, 4, shape)


def mixture(means, variances):
    """The distribution function of a mixture, minus a number."""
    deviations = np.sqrt(variances)
    return lambda x, minus=0.0: (
        scipy.stats.norm.cdf(x, means, deviations).mean() - minus
    )


def integral(function, start, end):
    return scipy.integrate.quad(function, start, end)[0]


@pytest.mark.parametrize("seed", range(10))
def test_of_classes_it_is_what_scipy_says(seed):
    logits = random_logits(seed)
    found = metrics.uncertainty(logits)
    members = scipy.special.softmax(logits, axis=-1)
    mean = members.mean(0)
    total = scipy.stats.entropy(mean, axis=-1)
    expected = scipy.stats.entropy(members, axis=-1).mean(0)
    # The divergence of members from their mean.
    mutual = np.mean(scipy.special.rel_entr(members, mean).sum(-1), axis=0)
    _, most_votes = scipy.stats.mode(members.argmax(-1), axis=0)
    wanted = {
        "probabilities": mean,
        "standard_deviation": members.std(0),
        "confidence": mean.max(-1),
        "entropy": total,
        "expected_entropy": expected,
        "mutual_information": mutual,
        "variation_ratio": 1 - most_votes / len(members),
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-12, err_msg=name)
    assert (found["mutual_information"] >= 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_of_values_it_is_the_mixtures(seed):
    means, variances = random_mixture(seed)
    draws = np.random.default_rng(seed).normal(
        means, np.sqrt(variances), (400_000, *means.shape)
    )
    found = metrics.mixture_moments(means, variances)
    np.testing.assert_allclose(found["mean"], draws.mean((0, 1)), atol=0.02)
    np.testing.assert_allclose(found["variance"], draws.var((0, 1)), rtol=0.02)
    together = found["aleatoric"] + found["epistemic"]
    np.testing.assert_allclose(found["variance"], together)
    np.testing.assert_allclose(found["epistemic"], means.var(0))

    asked = [0.025, 0.5, 0.9]
    quantiles = metrics.mixture_quantiles(means, variances, asked)
    assert quantiles.shape == (3, means.shape[1])
    for column in range(means.shape[1]):
        below = mixture(means[:, column], variances[:, column])
        wanted = [scipy.optimize.brentq(below, -50, 50, (q,)) for q in asked]
        np.testing.assert_allclose(quantiles[:, column], wanted, atol=1e-7)
    one = metrics.mixture_quantiles(means, variances, 0.5)
    np.testing.assert_array_equal(one, quantiles[1])


@pytest.mark.parametrize("seed", range(6))
def test_crps_is_the_integral_of_squared_differences(seed):
    means, variances = random_mixture(seed)
    values = np.random.default_rng(seed + 50).normal(size=means.shape[1])
    scores = []
    for mu, v, y in zip(means.T, variances.T, values, strict=True):
        below = mixture(mu, v)
        scores.append(
            integral(lambda x, f=below: f(x) ** 2, -40, y)
            + integral(lambda x, f=below: f(x, 1.0) ** 2, y, 40)
        )
    found = metrics.crps(means, variances, values)
    assert found == pytest.approx(np.mean(scores), rel=1e-5)
    # Of a single point it is the absolute error.
    points = metrics.crps(means[:1], np.zeros_like(means[:1]), values)
    assert points == pytest.approx(np.abs(means[0] - values).mean())


@pytest.mark.parametrize("seed", range(10))
def test_detection_is_what_all_pairs_say(seed):
    generator = np.random.default_rng(seed)
    # Few values, so that some are equal.
    familiar = generator.integers(0, 9, generator.integers(1, 60)) / 2
    unfamiliar = generator.integers(2, 12, generator.integers(1, 60)) / 2
    found = metrics.ood_detection(familiar, unfamiliar)
    gaps = unfamiliar[:, None] - familiar
    assert found["auroc"] == pytest.approx(np.mean((np.sign(gaps) + 1) / 2))
    thresholds = sorted(familiar)
    enough = [t for t in thresholds if np.mean(familiar <= t) >= 0.95]
    assert found["fpr95"] == np.mean(unfamiliar <= enough[0])


def test_scores_are_higher_for_what_no_member_knows():
    known = np.array([[8.0, 0, 0], [0, 8, 0]])
    vague = np.array([[0.1, 0, 0.2], [0.3, 0, 0]])
    scores = metrics.ood_scores([known, known])
    for name, unknown in metrics.ood_scores([vague, vague[:, ::-1]]).items():
        assert unknown.min() > scores[name].max(), name
    wanted = -scipy.special.logsumexp([known, vague], axis=-1).mean(0)
    found = metrics.ood_scores([known, vague])["energy"]
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("seed", range(10))
def test_risks_are_the_errors_of_the_most_confident(seed):
    logits = random_logits(seed)
    rows = metrics.ensemble_probabilities(logits)
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, rows.shape[1], len(rows))
    found = metrics.risk_coverage(rows, labels)
    order = sorted(range(len(rows)), key=lambda i: -rows[i].max())
    for k in range(1, len(rows) + 1):
        wrong = [rows[i].argmax() != labels[i] for i in order[:k]]
        assert found["risk"][k - 1] == pytest.approx(np.mean(wrong))
    assert found["coverage"][-1] == 1
    assert metrics.aurc(rows, labels) == pytest.approx(found["risk"].mean())
    # By a confidence of one's own: the errors last.
    right = rows.argmax(1) == labels
    best = metrics.risk_coverage(rows, labels, right)["risk"]
    assert (best <= found["risk"] + 1e-12).all()


@pytest.mark.parametrize("num_bins", [1, 4, 15])
def test_bins_of_the_adaptive_error_have_equally_many_examples(num_bins):
    generator = np.random.default_rng(num_bins)
    rows = generator.dirichlet(np.ones(4), 50)
    labels = generator.integers(0, 4, 50)
    order = np.argsort(rows.max(1))
    sizes = [50 // num_bins + (i < 50 % num_bins) for i in range(num_bins)]
    total, start = 0, 0
    for size in sizes:
        chosen = order[start : start + size]
        start += size
        hits = np.mean(rows[chosen].argmax(1) == labels[chosen])
        total += size / 50 * abs(hits - rows[chosen].max(1).mean())
    found = metrics.adaptive_calibration_error(rows, labels, num_bins)
    assert found == pytest.approx(total)
    # More bins than examples are as many as there are examples.
    few = metrics.adaptive_calibration_error(rows[:3], labels[:3], 3)
    found = metrics.adaptive_calibration_error(rows[:3], labels[:3], 15)
    assert found == few


def test_coverage_and_width_of_intervals():
    generator = np.random.default_rng(0)
    lower, width = generator.normal(size=(2, 40, 2))
    upper = lower + np.abs(width)
    values = generator.normal(size=(40, 2))
    found = metrics.interval_coverage(lower, upper, values)
    inside = [
        low <= value <= up
        for low, up, value in zip(
            lower.flat, upper.flat, values.flat, strict=True
        )
    ]
    assert found["coverage"] == np.mean(inside)
    assert found["width"] == pytest.approx(np.abs(width).mean())
    # Both ends are inside.
    assert metrics.interval_coverage([1.0], [1.0], [1.0])["coverage"] == 1


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: metrics.uncertainty([]), "`member_logits`"),
        (lambda: metrics.uncertainty([[[np.nan, 1]]]), "finite"),
        (lambda: metrics.mixture_moments([1.0], [1.0]), r"\(num_members, .*1"),
        (lambda: metrics.mixture_moments([[1.0]], [[-1.0]]), "variances.*-1"),
        (lambda: metrics.mixture_moments([[np.inf]], [[1.0]]), "finite"),
        (lambda: metrics.mixture_quantiles([[1.0]], [[0.0]], 0.5), "positive"),
        (lambda: metrics.mixture_quantiles([[1.0]], [[1.0]], 1), "`quantiles`"),
        (lambda: metrics.crps([[1.0]], [[1.0]], [1.0, 2.0]), r"shape \(1,\)"),
        (lambda: metrics.interval_coverage([1.0], [0.0], [1.0]), "above"),
        (lambda: metrics.interval_coverage([1.0], [2.0], [[1.0]]), "shape"),
        (lambda: metrics.ood_detection([], [1.0]), "`familiar`"),
        (lambda: metrics.ood_detection([1.0], [np.nan]), "`unfamiliar`"),
        (
            lambda: metrics.aurc([[0.5, 0.5]], [0], [1, 2]),
            "`confidences`.*1 of",
        ),
        (lambda: metrics.aurc([[0.5, 0.6]], [0]), "row sums from 1.1"),
        (
            lambda: metrics.adaptive_calibration_error([[1.0, 0.0]], [0], 0),
            "`num_bins`.*0",
        ),
    ],
)
def test_what_is_not_defined_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()
