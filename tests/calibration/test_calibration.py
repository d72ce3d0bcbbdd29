"""Scalings against other minimizers, conformal sets against their promise."""

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from keras_superweights import calibration


def case(seed, num_examples=60, num_classes=4, sharpness=3.0):
    """Logits that are too sure of themselves, and labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_examples, num_classes))
    cumulated = scipy.special.softmax(logits, axis=1).cumsum(axis=1)
    labels = (generator.random((num_examples, 1)) > cumulated).sum(axis=1)
    return sharpness * logits, np.minimum(labels, num_classes - 1)


def nll(log_probabilities, labels):
    rows = scipy.special.log_softmax(log_probabilities, axis=-1)
    return -np.mean(rows[np.arange(len(labels)), labels])


@pytest.mark.parametrize("seed", range(8))
def test_a_temperature_is_the_best_there_is(seed):
    logits, labels = case(seed, sharpness=np.exp(seed - 3))
    found = calibration.TemperatureScaling.fit(logits, labels)
    best = scipy.optimize.minimize_scalar(
        lambda log: nll(logits / np.exp(log), labels), (-1, 1), tol=1e-12
    )
    assert found.temperature == pytest.approx(np.exp(best.x), rel=1e-4)
    answer = keras.ops.convert_to_numpy(found(logits.astype("float32")))
    assert nll(answer, labels) == pytest.approx(best.fun, rel=1e-5)
    np.testing.assert_allclose(np.exp(answer).sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(answer.argmax(1), logits.argmax(1))
    # Log-probabilities are logits as well.
    rows = scipy.special.log_softmax(logits, axis=-1)
    other = calibration.TemperatureScaling.fit(rows, labels)
    assert other.temperature == pytest.approx(found.temperature)


def test_without_a_best_temperature_it_is_the_end_of_the_range():
    right = np.eye(3) * 5
    assert (
        calibration.TemperatureScaling.fit(right, [0, 1, 2]).temperature == 0.01
    )
    wrong = calibration.TemperatureScaling.fit(-right, [0, 1, 2])
    assert wrong.temperature == 1000


@pytest.mark.parametrize("seed", range(4))
def test_a_vector_is_the_best_there_is(seed):
    logits, labels = case(seed)
    found = calibration.VectorScaling.fit(logits, labels)

    def loss(values):
        scales, biases = np.split(values, 2)
        return nll(scales * logits + biases, labels)

    best = scipy.optimize.minimize(loss, np.ones(8) / 2, tol=1e-12)
    answer = keras.ops.convert_to_numpy(found(logits.astype("float32")))
    assert nll(answer, labels) == pytest.approx(best.fun, rel=1e-4)
    np.testing.assert_allclose(found.scales, best.x[:4], atol=2e-2)
    np.testing.assert_allclose(np.exp(answer).sum(1), 1, rtol=1e-5)
    temperature = calibration.TemperatureScaling.fit(logits, labels)
    assert best.fun <= nll(logits / temperature.temperature, labels)


@pytest.mark.parametrize("seed", range(4))
def test_platt_scaling_is_the_papers(seed):
    generator = np.random.default_rng(seed)
    logits = 3 * generator.normal(size=(50, 2)) + 1
    labels = generator.random((50, 2)) < scipy.special.expit(logits / 3)
    found = calibration.PlattScaling.fit(logits, labels)
    for column in range(2):
        z, y = logits[:, column], labels[:, column]
        targets = np.where(
            y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2)
        )

        def loss(values, z=z, targets=targets):
            p = scipy.special.expit(values[0] * z + values[1])
            return -np.mean(targets * np.log(p) + (1 - targets) * np.log1p(-p))

        best = scipy.optimize.minimize(loss, [1, 0], method="Nelder-Mead")
        ours = found.slopes[column], found.biases[column]
        assert ours == pytest.approx(best.x, abs=1e-3)
    answer = keras.ops.convert_to_numpy(found(logits.astype("float32")))
    np.testing.assert_allclose(
        answer, logits * found.slopes + found.biases, rtol=1e-5, atol=1e-5
    )
    # One label needs no last axis; all of one kind stay finite.
    one = calibration.PlattScaling.fit(logits[:, :1], np.ones(50, int))
    assert np.isfinite([*one.slopes, *one.biases]).all()


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_hold_the_label_as_often_as_promised(method, coverage):
    repeats, num_new, num_held_out = 200, 50, 99
    hits, sizes = [], []
    for seed in range(repeats):
        logits, labels = case(seed, num_held_out + num_new, sharpness=2.0)
        rows = scipy.special.softmax(logits, axis=-1)
        sets = calibration.ConformalSets.fit(
            rows[:num_held_out], labels[:num_held_out], coverage, method
        )
        chosen = sets(rows[num_held_out:])
        hits.append(chosen[np.arange(num_new), labels[num_held_out:]].mean())
        sizes.append(chosen.sum(1).mean())
    deviation = np.std(hits, ddof=1) / np.sqrt(repeats)
    assert np.mean(hits) > coverage - 4 * deviation
    if method == "lac":  # exact for 99 examples; all-class sets of aps are tied
        assert np.mean(hits) < coverage + 4 * deviation
    assert 1 <= np.mean(sizes) < 4


def test_sets_are_those_of_the_definition():
    rows = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])
    labels = [1, 2, 0]
    lac = calibration.ConformalSets.fit(rows, labels, coverage=0.5)
    assert lac.threshold == pytest.approx(0.6)  # second of 0.2, 0.6, 0.7
    np.testing.assert_array_equal(lac(rows), rows >= 0.4)
    aps = calibration.ConformalSets.fit(rows, labels, 0.75, "aps")
    assert aps.threshold == pytest.approx(0.8)  # third of 0.8, 0.8, 0.4
    np.testing.assert_array_equal(
        aps(rows),
        [[True, True, False], [False, False, True], [True, True, False]],
    )
    # Three examples promise no more than 3 / 4.
    assert calibration.ConformalSets.fit(rows, labels, 0.8)(rows).all()


@pytest.mark.parametrize("with_deviations", [True, False])
def test_intervals_hold_the_value_as_often_as_promised(with_deviations):
    hits = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        means = generator.normal(size=149)
        deviations = generator.uniform(0.2, 3, 149)
        values = means + 2 * deviations * generator.standard_t(3, 149)
        held_out, new = slice(0, 99), slice(99, None)
        own = deviations if with_deviations else np.ones(149)
        given = (own[held_out],) if with_deviations else ()
        found = calibration.ConformalIntervals.fit(
            means[held_out], values[held_out], *given, coverage=0.9
        )
        lower, upper = found(means[new], own[new] if with_deviations else None)
        np.testing.assert_allclose((lower + upper) / 2, means[new])
        np.testing.assert_allclose(
            upper - lower, 2 * found.threshold * own[new]
        )
        hits.append(np.mean((lower <= values[new]) & (values[new] <= upper)))
    assert abs(np.mean(hits) - 0.9) < 4 * np.std(hits) / np.sqrt(200)


@pytest.mark.parametrize(
    "made",
    [
        calibration.TemperatureScaling(1.5),
        calibration.VectorScaling([1.0, 2.0], [0.0, -1.0]),
        calibration.PlattScaling([2.0], [0.5]),
        calibration.ConformalSets(0.25, "aps"),
        calibration.ConformalIntervals(float("inf")),
    ],
)
def test_what_is_fitted_is_kept_as_json(made):
    kept = keras.saving.serialize_keras_object(made)
    found = keras.saving.deserialize_keras_object(kept)
    assert type(found) is type(made)
    assert found.get_config() == made.get_config()
    assert repr(found) == repr(made)


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: calibration.TemperatureScaling(0), "`temperature`.*=0"),
        (lambda: calibration.TemperatureScaling("1"), "`temperature`.*'1'"),
        (lambda: calibration.VectorScaling([1.0], []), "`scales`.*1 scales"),
        (lambda: calibration.PlattScaling([np.nan], [0]), "`slopes`"),
        (lambda: calibration.TemperatureScaling.fit([[1, 2]], [2]), "`labels`"),
        (lambda: calibration.VectorScaling.fit([[np.inf, 2]], [0]), "finite"),
        (lambda: calibration.PlattScaling.fit([[1.0]], [[2]]), "0 or 1"),
        (lambda: calibration.PlattScaling.fit([[1.0]], [1, 0]), "one shape"),
        (lambda: calibration.ConformalSets(0.1, "best"), "`method`.*'best'"),
        (
            lambda: calibration.ConformalSets.fit([[1.0, 0.0]], [0], 1.0),
            "`coverage`.*1.0",
        ),
        (lambda: calibration.ConformalSets(0.1)([[0.5, 0.6]]), "row sums"),
        (lambda: calibration.ConformalIntervals.fit([1], [1, 2]), "one shape"),
        (
            lambda: calibration.ConformalIntervals.fit([1], [1], [0]),
            "positive",
        ),
    ],
)
def test_what_cannot_be_calibrated_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()
