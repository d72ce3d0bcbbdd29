"""Networks of keras.applications; all of them by the program itself."""

import pytest
import tensorflow as tf

from benchmarks import architectures


@pytest.fixture(autouse=True)
def eager():
    """One step is done long before it would be traced."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
@pytest.mark.parametrize(
    ("name", "budget"),
    [("MobileNetV2", 0.3), ("EfficientNetB0", 0.1), ("VGG16", 0.01)],
)
def test_a_network_keeps_every_promise_at_a_budget(name, budget, capsys):
    assert architectures.check(name, budget)
    assert name in capsys.readouterr().out
