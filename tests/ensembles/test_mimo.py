"""Several inputs in one network, against a concatenation made by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.anytime import AnytimePredictor
from keras_superweights.ensembles import MIMO
from keras_superweights.export import materialize_ensemble
from tests.builders import conv_member
from tests.builders import perceptron

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 3


def network(num_members=2, model=None, **options):
    keras.utils.set_random_seed(0)
    model = ksw.models.mimo(model or perceptron(), num_members)
    kind = MIMO(num_members, **options)
    made = ksw.SuperWeightNetwork(model, 0.9, ensemble=kind)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    return made


def rows(kind, batch_size, step=0):
    keys = kind._keys(step)
    return [each.numpy() for each in kind._rows(batch_size, keys[0])]


def test_it_predicts_the_mean_of_answers_to_the_same_input():
    made = network(3)
    (plain,) = made.materialize()
    logits = plain(np.concatenate([X, X, X], axis=-1)).numpy()
    members = np.split(logits, 3, axis=-1)
    probabilities = np.mean([keras.ops.softmax(each) for each in members], 0)
    found = made.predict(X, verbose=0)
    np.testing.assert_allclose(np.exp(found), probabilities, atol=1e-6)
    exported = materialize_ensemble(made)
    np.testing.assert_allclose(exported(X), found, atol=1e-5)
    for one, other in zip(
        made.predict_members(X, verbose=0), members, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    measured = made.evaluate(X, Y, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(-found[range(8), Y].mean())
    assert {"member_2_accuracy", "diversity"} <= measured.keys()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_that_of_a_concatenation_by_hand(weighted):
    made = network(2, batch_repetition=3, input_repetition=0.25)
    (plain,) = made.materialize()
    chosen = rows(made.ensemble, 8)
    weights = np.linspace(0, 2, 8).astype("float32") if weighted else None
    with tf.GradientTape() as tape:
        logits = plain(np.concatenate([X[each] for each in chosen], axis=-1))
        loss = 0.0
        for own, each in zip(tf.split(logits, 2, -1), chosen, strict=True):
            nll = keras.losses.sparse_categorical_crossentropy(
                Y[each], own, from_logits=True
            )
            own_weights = 1 if weights is None else weights[each]
            loss += tf.reduce_mean(nll * own_weights)
    bias = [v for v in plain.trainable_variables if "head" in v.path][-1]
    expected = bias - 0.01 * tape.gradient(loss, bias.value)
    found = made.train_on_batch(X, Y, sample_weight=weights, return_dict=True)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    own = [v for v in made.trainable_variables if "head" in v.path][-1]
    np.testing.assert_allclose(own, expected, atol=1e-6)


def test_every_example_is_seen_equally_often_by_each_member():
    kind = MIMO(3, batch_repetition=4, input_repetition=0.5)
    first = rows(kind, 10)
    for each in first:
        np.testing.assert_array_equal(np.bincount(each), 4)
    # In the last half all see the same.
    assert (first[0][20:] == first[1][20:]).all()
    assert (first[0][20:] == first[2][20:]).all()
    assert (first[0][:20] != first[1][:20]).any()
    # Another step, another order; the same step, the same one.
    assert (rows(kind, 10, step=1)[0] != first[0]).any()
    assert (rows(kind, 10)[0] == first[0]).all()
    assert (rows(MIMO(3, seed=1), 10)[0] != rows(MIMO(3), 10)[0]).any()


def test_rows_in_common_are_as_many_as_asked_for():
    (one, other) = rows(MIMO(2, input_repetition=1.0), 16)
    np.testing.assert_array_equal(one, other)
    meet = [
        np.mean(np.equal(*rows(MIMO(2, batch_repetition=1), 16, step)))
        for step in range(200)
    ]
    # A permutation meets another in one place, on average.
    assert np.mean(meet) == pytest.approx(1 / 16, abs=0.02)


def test_members_and_their_heads_may_change_places():
    made = network(2)
    (plain,) = made.materialize()
    before = made.predict(X, verbose=0)
    kernel, bias = plain.get_layer("head").get_weights()
    halves = [np.roll(each, 3, axis=-1) for each in (kernel, bias)]
    own = made.members[0].get_layer("head")
    own.set_weights(halves)
    np.testing.assert_allclose(made.predict(X, verbose=0), before, atol=1e-6)


def test_one_member_is_the_plain_network():
    made = network(1, batch_repetition=1)
    (plain,) = made.materialize()
    found = made.predict_members(X, verbose=0)
    np.testing.assert_allclose(found[0], plain(X), atol=1e-6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile("sgd", loss)
    losses = [each.train_on_batch(X, Y) for each in (plain, made)]
    assert losses[1][0] == pytest.approx(float(losses[0]), rel=1e-5)


@pytest.mark.parametrize("mixing", ["linear", "cut"])
def test_what_is_mixed_adds_up(mixing):
    kind = MIMO(2, mixing=mixing)
    ones = [tf.ones((400, 8, 8, 1)), tf.ones((400, 8, 8, 1))]
    (first, second), weights = kind._mixed(ones, kind._keys(0)[1])
    np.testing.assert_allclose(first + second, 2, atol=1e-5)
    np.testing.assert_allclose(np.add(*weights), 2, atol=1e-5)
    share = np.mean(first, axis=(1, 2, 3)) / 2
    roots = np.cbrt(share), np.cbrt(1 - share)
    np.testing.assert_allclose(weights[0], 2 * roots[0] / sum(roots), atol=1e-3)
    is_cut = np.isin(np.round(first, 5), (0, 2)).all(axis=(1, 2, 3))
    if mixing == "linear":
        assert not is_cut.any()
        # Beta(2, 2) has mean 1/2 and variance 1/20.
        assert np.mean(share) == pytest.approx(0.5, abs=0.05)
        assert np.var(share) == pytest.approx(1 / 20, abs=0.015)
    else:
        assert 0.4 < np.mean(is_cut) < 0.6


@pytest.mark.parametrize("mixing", ["linear", "cut"])
def test_mixed_images_are_trained_on_in_a_graph(mixing):
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    made = network(2, conv_member(4), mixing=mixing)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("sgd", loss)
    found = made.fit(images, Y[:4], batch_size=3, verbose=0)  # 3 rows, then 1
    assert np.isfinite(found.history["loss"][0])


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: MIMO(0), "`num_members`.*0"),
        (lambda: MIMO(2, batch_repetition=0.5), "`batch_repetition`.*0.5"),
        (lambda: MIMO(2, input_repetition=2), "`input_repetition`.*2"),
        (lambda: MIMO(3, mixing="cut"), "mixing='cut'.*num_members=3"),
        (lambda: MIMO(2, mixing="add"), "`mixing`.*'add'"),
        (lambda: MIMO(2, seed=-1), "`seed`.*-1"),
        (lambda: network(2, perceptron(), mixing="cut"), "cuts boxes"),
        (
            lambda: ksw.SuperWeightNetwork([perceptron()] * 2, ensemble=MIMO()),
            "one model.*2 models",
        ),
        (
            lambda: ksw.SuperWeightNetwork(perceptron(), ensemble=MIMO(2)),
            "models.mimo.*None, 5",
        ),
        (
            lambda: AnytimePredictor(network(), []),
            "one model",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, told):
    with pytest.raises((TypeError, ValueError), match=told):
        call()
