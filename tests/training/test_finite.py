"""Whatever is not finite is found, and named by who reads it."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.training.finite import NotFiniteError
from keras_superweights.training.finite import check_epoch
from keras_superweights.training.finite import first_not_finite


def member(width):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, name="one")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(width, name="two")(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def test_every_weight_is_looked_at_and_named_by_its_readers():
    network = ksw.SuperWeightNetwork(
        [member(4), member(6)],
        1.5,
        ksw.sharing.SuperWeights(depth_bins=1, transforms=ksw.parts.RankOne()),
    )
    assert first_not_finite(network) is None
    named = []
    for weight in network.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            before = weight.numpy()
            weight.assign(np.where(before == before.max(), np.nan, before))
            named.append(first_not_finite(network))
            assert named[-1].split(" (")[0] == weight.path
            weight.assign(before)
    for layer in ("norm/moving_variance", "norm/gamma", "head/bias"):
        assert {f"{layer} (member 0)", f"{layer} (member 1)"} <= {*named}
    assert named[0] == (
        "bank_0/templates ('one' of member 0, 'two' of member 0, "
        "'one' of member 1, and 1 more)"
    )


def test_an_epoch_ends_with_finite_losses_and_weights():
    network = ksw.SuperWeightNetwork(member(4))
    # A measure may be undefined; a loss may not.
    check_epoch(network, 0, {"loss": 1.0, "diversity": np.nan})
    check_epoch(network, 0)
    with pytest.raises(NotFiniteError, match="val_loss=inf after epoch 3"):
        check_epoch(network, 2, {"loss": 1.0, "val_loss": np.inf})
    network.members[0].get_layer("head").bias.assign([0.0, np.nan, 0.0])
    told = r"loss=nan, NaN or infinity in head/bias \(member 0\) after epoch 1"
    with pytest.raises(NotFiniteError, match=told):
        check_epoch(network, 0, {"loss": np.nan})
