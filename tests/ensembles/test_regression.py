"""Regression of values, and of means and variances."""

import numpy as np
import pytest

from keras_superweights.ensembles import GaussianNLL
from keras_superweights.ensembles import Regression
from keras_superweights.ensembles.choosing import choose_kind
from tests.ensembles.cases import CASES
from tests.ensembles.cases import mlp


def softplus(x):
    return np.log1p(np.exp(x))


def gaussian_nll(y, mean, variance):
    squares = (y - mean) ** 2 / variance
    return np.mean(0.5 * np.log(2 * np.pi * variance) + 0.5 * squares)


@pytest.mark.parametrize("shape", [(7, 1), (7, 3), (2, 3, 4, 2)], ids=str)
def test_values_are_averaged(shape):
    values = np.random.default_rng(0).normal(size=(3, *shape))
    found = Regression().prediction(list(values.astype("float32")))
    np.testing.assert_allclose(found, values.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_mean_and_variance_are_those_of_the_mixture(k):
    """Compares with the formula and with moments of samples."""
    draw = np.random.default_rng(0)
    outputs = draw.normal(size=(3, 5, 2 * k)).astype("float32")
    mu, v = outputs[..., :k], softplus(outputs[..., k:]) + 1e-6
    mean = mu.mean(axis=0)
    variance = (v + mu**2).mean(axis=0) - mean**2
    found = Regression(variance=True).prediction(list(outputs))
    np.testing.assert_allclose(found, np.hstack([mean, variance]), atol=1e-5)
    member = draw.integers(0, 3, 200_000)
    samples = draw.normal(mu[member], np.sqrt(v[member]))
    np.testing.assert_allclose(found[:, :k], samples.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(found[:, k:], samples.var(axis=0), rtol=0.03)


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_the_variance_of_members_that_agree_is_theirs(mean):
    """Also for a large mean, whose square would round it away."""
    raw = -8.0
    outputs = [np.array([[mean, raw]], "float32")] * 4
    found = Regression(variance=True).prediction(outputs)
    expected = [[mean, softplus(raw) + 1e-6]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_raw_variances_of_any_size_stay_positive_and_finite():
    outputs = [np.array([[0, -1e4], [0, 1e4]], "float32")] * 2
    found = np.array(Regression(variance=True).prediction(outputs))
    np.testing.assert_allclose(found[:, 1], [1e-6, 1e4])


def test_the_loss_by_hand():
    loss = GaussianNLL()
    found = float(loss([[1.0], [2.0]], [[0.0, 1.0], [2.0, 4.0]]))
    first, second = 0.9189385 + 0.5, 0.9189385 + np.log(2)
    assert found == pytest.approx((first + second) / 2)
    y = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
    pred = np.concatenate([0.5 * y, y**2 + 0.1], axis=-1)
    assert float(loss(y, pred)) == pytest.approx(
        gaussian_nll(y, 0.5 * y, y**2 + 0.1), rel=1e-5
    )


def test_values_without_their_axis_are_not_broadcast():
    y = np.array([1.0, 2.0, 3.0], "float32")
    pred = np.array([[0, 1], [0, 1], [0, 1]], "float32")
    loss = GaussianNLL()
    assert float(loss(y, pred)) == float(loss(y[:, None], pred))
    for labels in (np.zeros((3, 2)), np.zeros((3, 1, 1)), np.zeros(())):
        with pytest.raises(ValueError, match="mean and a variance for each"):
            loss(labels, pred)


def test_evaluation_equals_numpy():
    plain, x, y, logs = CASES["mean and variance"].evaluated()
    outputs = np.array([member(x) for member in plain])
    mu, v = outputs[..., :2], softplus(outputs[..., 2:]) + 1e-6
    mean = mu.mean(axis=0)
    variance = (v + mu**2).mean(axis=0) - mean**2
    answers = {
        f"member_{i}_": each for i, each in enumerate(zip(mu, v, strict=True))
    }
    for prefix, (m, s) in {"": (mean, variance), **answers}.items():
        loss, rmse = gaussian_nll(y, m, s), np.sqrt(np.mean((y - m) ** 2))
        assert logs[f"{prefix}loss"] == pytest.approx(loss, abs=1e-5)
        assert logs[f"{prefix}rmse"] == pytest.approx(rmse, abs=1e-5)
    ambiguity = mu.var(axis=0).mean()
    assert logs["ambiguity"] == pytest.approx(ambiguity, abs=1e-5)
    r2 = 1 - np.sum((y - mean) ** 2, 0) / np.sum((y - y.mean(0)) ** 2, 0)
    assert logs["r2_score"] == pytest.approx(r2.mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (mlp(3), r"means and as many.*\(None, 3\).*twice as many units"),
        (mlp(2, "softplus"), "raw variances.*applies an activation"),
    ],
    ids=["odd", "activation"],
)
def test_members_without_raw_variances_are_refused(member, message):
    with pytest.raises(ValueError, match=message):
        choose_kind(Regression(variance=True), [member, member])
    choose_kind(Regression(), [member, member])


def test_bad_metrics_and_arguments_are_refused():
    with pytest.raises(ValueError, match=r"RootMeanSquaredError\(\)"):
        Regression().checked_metrics(["accuracy"])
    with pytest.raises(TypeError, match="variance='yes'"):
        Regression(variance="yes")
