"""The line that each epoch prints."""

import re

import pytest

from trainers.phases.logs import EpochLine


@pytest.mark.parametrize(
    "line, logs, expected",
    [
        (
            EpochLine(part="validation"),
            {"accuracy": 0.5, "val_accuracy": 0.25, "val_loss": 1.5, "loss": 2},
            r"epoch  3/10 +\d\.\d s  accuracy +50.00%"
            r"  validation: accuracy +25.00%  loss 1.5000\n",
        ),
        (
            EpochLine("search"),
            {"loss": 2.0},
            r"search  3/10 +\d\.\d s  loss 2.0000\n",
        ),
    ],
    ids=["training", "search"],
)
def test_a_line_says_what_was_measured(line, logs, expected, capsys):
    line.set_params({"epochs": 10})
    line.on_epoch_begin(2)
    line.on_epoch_end(2, logs)
    assert re.fullmatch(expected, capsys.readouterr().out)
