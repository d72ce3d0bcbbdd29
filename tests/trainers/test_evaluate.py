"""What is measured of a finished run on demand, by the program itself."""

import shutil
import types

import keras
import numpy as np
import pytest

from keras_superweights.datasets.corruptions import corrupted_test
from tests.trainers.files import assert_figure
from tests.trainers.files import contents
from tests.trainers.files import run_program
from trainers import evaluate
from trainers.phases import experiment
from trainers.phases import measuring
from trainers.runs.reading import read_json


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of a finished run, to be written to."""
    config, path, _ = finished_run
    return config, shutil.copytree(path, tmp_path / "run")


def test_results_are_printed_and_added_to_the_run(run, capsys):
    config, path = run
    before = read_json(path / "metrics.json")
    arguments = ("--interpolation=3", "--corruptions=contrast,gaussian_noise")
    assert not run_program("evaluate", f"--workdir={path}", *arguments)
    after = read_json(path / "metrics.json")
    ways, corrupted = after.pop("interpolation"), after.pop("corruptions")
    assert after == before
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "2 corruptions" in line)
    assert lines[at + 1].split() == ["1", "2", "3", "4", "5", "mean", "NLL"]
    assert lines[at + 5].startswith("ensemble")
    assert lines[at + 5].count("%") == 6
    assert any(line.startswith("0 to 1") for line in lines)

    (way,) = ways
    assert (way["members"], way["split"]) == ([0, 1], "test[:100]")
    assert [point["position"] for point in way["points"]] == [0, 0.5, 1]

    assert corrupted["split"] == "test[:100]"
    rows = corrupted["corruptions"]
    assert [(row["corruption"], row["severity"]) for row in rows] == [
        (name, severity)
        for name in ("contrast", "gaussian_noise")
        for severity in range(1, 6)
    ]
    # One of them by hand, member by member.
    batches, _ = corrupted_test(experiment.pipeline(config), "contrast", 4)
    network = keras.saving.load_model(path / "model.keras")
    labels = np.concatenate([y for _, y in batches])
    for member, measured in zip(
        network.materialize(), rows[3]["members"], strict=True
    ):
        logits = np.concatenate([member(x) for x, _ in batches])
        accuracy = np.mean(logits.argmax(1) == labels)
        assert measured["accuracy"] == pytest.approx(accuracy)

    for tag in ("interpolation_0_1", "corruptions"):
        assert_figure(path, f"evaluation/{tag}", step=2)

    # One does not drop the other.
    again = evaluate.evaluate(path, split="test[:20]", interpolation=2)
    assert len(again["interpolation"][0]["points"]) == 2
    assert again["interpolation"][0]["split"] == "test[:20]"
    kept = read_json(path / "metrics.json")
    assert kept["corruptions"] == corrupted
    assert kept["interpolation"] == again["interpolation"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"corruptions": ["fog"]}, "'gaussian_noise'.*'fog'"),
        ({"interpolation": 1}, "`--interpolation` must be 0, or at least 2"),
    ],
)
def test_what_cannot_be_measured_writes_nothing(run, settings, told):
    before = contents(run[1])
    with pytest.raises(ValueError, match=f"(?s){told}"):
        evaluate.evaluate(run[1], **settings)
    assert contents(run[1]) == before


def test_members_that_are_all_different_have_no_line_between_them():
    members = [
        keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(w)], name=f"w{w}"
        )
        for w in (1, 2)
    ]
    network = types.SimpleNamespace(materialize=lambda: members)
    with pytest.raises(ValueError, match=r"equal architecture.*'w1', 'w2'"):
        measuring.equal_pairs(network)


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="no config.json"):
        evaluate.evaluate(tmp_path / "none")
    metrics = (run[1] / "metrics.json").read_bytes()
    for file in ("metrics.json", "model.keras"):
        (run[1] / file).unlink()
        with pytest.raises(ValueError, match=f"no {file}.*not finished"):
            evaluate.evaluate(run[1])
    (run[1] / "config.json").write_text('{"format": 1, "epochs": "x"}')
    (run[1] / "model.keras").touch()
    (run[1] / "metrics.json").write_bytes(metrics)
    with pytest.raises(ValueError, match="`config.epochs` must be an integer"):
        evaluate.evaluate(run[1])
