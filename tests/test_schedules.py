"""A rate that rises before it follows its schedule."""

import keras
import numpy as np
import pytest

from keras_superweights.schedules import LinearWarmup


def decay():
    return keras.optimizers.schedules.CosineDecay(0.8, 30)


def test_it_rises_in_a_line_and_then_is_the_schedule():
    rate = LinearWarmup(decay(), 10)
    expected = 0.4 * (1 + np.cos(np.pi * np.arange(31) / 30))
    expected[:10] = expected[10] * np.arange(1, 11) / 10
    found = [float(rate(step)) for step in range(31)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_optimizer_keeps_it_and_is_saved_with_it(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    rate = LinearWarmup(decay(), 4)
    model.compile(keras.optimizers.SGD(rate), "mse")
    x, y = np.ones((8, 2)), np.ones(8)
    model.fit(x, y, batch_size=4, verbose=0)
    found = float(model.optimizer.learning_rate)
    assert found == pytest.approx(float(rate(2)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert float(again.learning_rate) == pytest.approx(found)
    assert again.get_config() == model.optimizer.get_config()


def test_it_must_take_a_step():
    with pytest.raises(ValueError, match="positive.*warmup_steps=0"):
        LinearWarmup(decay(), 0)
