"""Checks of members, and the choice of their kind."""

import keras
import pytest
from keras import layers

import keras_superweights as ksw
from keras_superweights.ensembles.choosing import choose_kind
from tests.ensembles.cases import mlp


def sequential(*more, shape=(4,)):
    return keras.Sequential([keras.Input(shape), layers.Dense(5), *more])


def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [layers.Dense(3)(inputs)] * 2)


BAD = {
    "classes": (
        [mlp(3), mlp(5)],
        r"same output shape.*\(None, 3\).*\(None, 5\)",
    ),
    "input shapes": (
        [mlp(3), sequential(layers.Dense(3), shape=(6,))],
        "same input shape",
    ),
    "ranks": ([mlp(3), sequential(layers.Reshape((1, 5)))], "same output"),
    "two outputs": ([mlp(3), two_outputs()], "member 1.*2 outputs"),
    "softmax head": ([mlp(3, "softmax")] * 2, "must return logits"),
    "sigmoid head": ([mlp(3, "sigmoid")] * 2, "must return logits"),
    "softmax layer": ([sequential(layers.Softmax())] * 2, "return logits"),
    "softmax activation": (
        [sequential(layers.Activation("softmax"))] * 2,
        "must return logits",
    ),
    "one column": (
        [mlp(1)] * 2,
        r"two classes or more.*\(None, 1\).*Regression\(\).*MultiLabel\(\)",
    ),
    "no column": (
        [sequential(layers.Dense(1), layers.Reshape(()))] * 2,
        r"output shape \(None,\)",
    ),
}


@pytest.mark.parametrize(("members", "message"), BAD.values(), ids=BAD)
def test_members_that_do_not_classify_are_refused(members, message):
    with pytest.raises(ValueError, match=message):
        choose_kind(None, members)


def test_a_network_refuses_them_before_it_is_made():
    with pytest.raises(ValueError, match=r"MultiLabel\(\)"):
        ksw.SuperWeightNetwork([mlp(1), mlp(1)], budget_params=1)


def test_members_of_labels_return_logits_too():
    with pytest.raises(ValueError, match="must return logits"):
        choose_kind(ksw.ensembles.MultiLabel(), [mlp(1, "sigmoid")] * 2)


def test_the_kind_is_chosen_by_the_number_of_members():
    one = choose_kind(None, [mlp(1, "softmax")])
    several = choose_kind(None, [mlp(2), mlp(2)])
    assert isinstance(one, ksw.ensembles.Single)
    assert isinstance(several, ksw.ensembles.Classifier)
    with pytest.raises(ValueError, match="one member.*2 members.*Leave"):
        choose_kind(ksw.ensembles.Single(), [mlp(2), mlp(2)])
