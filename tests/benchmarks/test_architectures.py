"""Networks of keras.applications; all of them by the program itself."""

import pytest

from benchmarks import architectures


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("name", "budget"),
    [("MobileNetV2", 0.3), ("EfficientNetB0", 0.1), ("VGG16", 0.01)],
)
def test_a_network_keeps_every_promise_at_a_budget(name, budget, capsys):
    assert architectures.check(name, budget)
    assert name in capsys.readouterr().out
