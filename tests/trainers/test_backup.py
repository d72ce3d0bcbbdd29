"""Killed at every moment of a backup, training continues as if it had not."""

import itertools
import math
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

from tests.trainers.files import contents
from tests.trainers.files import flip
from trainers.runs.backup import Backup

EPOCHS = 3


class Killed(BaseException):
    """Nobody catches it."""


def make_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(0.1, EPOCHS)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "mse", run_eagerly=True)  # many short runs
    return model


def train(directory):
    """Returns `(weights, history)`; every epoch has data of its own."""
    model = make_model()
    backup = Backup(directory)
    backup.set_model(model)
    for epoch in range(backup.restore(model), EPOCHS):
        rng = np.random.default_rng(epoch)
        x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
        backup.on_epoch_begin(epoch)
        loss = model.train_on_batch(x, y)
        backup.on_epoch_end(epoch, {"loss": loss})
    values = [v.numpy() for v in model.weights + model.optimizer.variables]
    return values, backup.history


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`(directory, weights, history)` of a training without kills."""
    directory = tmp_path_factory.mktemp("trained")
    return directory, *train(directory)


def interrupt(monkeypatch, moment):
    """From file operation number `moment` on, all raise `Killed`."""
    count = itertools.count()

    def killing(function):
        def killed(*args, **kwargs):
            if next(count) >= moment:
                raise Killed
            return function(*args, **kwargs)

        return killed

    def half_written(path, data):
        if next(count) >= moment:
            write(path, data[: len(data) // 2])
            raise Killed
        return write(path, data)

    write = pathlib.Path.write_bytes
    monkeypatch.setattr(pathlib.Path, "write_bytes", half_written)
    for module, name in (
        (os, "replace"),
        (os, "fsync"),
        (shutil, "rmtree"),
        (pathlib.Path, "mkdir"),
        (pathlib.Path, "unlink"),
    ):
        monkeypatch.setattr(module, name, killing(getattr(module, name)))
    return count


def test_killed_at_any_moment_it_ends_the_same(trained, tmp_path):
    _, expected, expected_history = trained
    with pytest.MonkeyPatch.context() as patch:
        count = interrupt(patch, math.inf)
        train(tmp_path / "counted")
    moments = next(count)
    assert moments >= 6 * EPOCHS  # it did count
    for moment in range(moments):
        directory = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, moment)
            with pytest.raises(Killed):
                train(directory)
        values, history = train(directory)
        assert list(history) == list(expected_history)
        assert history["loss"] == expected_history["loss"], moment
        for value, other in zip(values, expected, strict=True):
            np.testing.assert_array_equal(value, other, str(moment))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    "file, place",
    [
        ("state.weights.h5", 0.3),
        ("state.weights.h5", 0.9),
        ("history.json", 0.5),
        ("SHA256SUMS", 0.1),
    ],
)
def test_a_damaged_backup_is_refused_and_the_one_before_it_offered(
    trained, tmp_path, file, place
):
    directory, values, history = trained
    shutil.copytree(directory, tmp_path / "backup")
    newest = tmp_path / "backup" / "epoch-000003"
    flip(newest / file, place)
    before = contents(tmp_path)
    with pytest.raises(
        ValueError,
        match=f"{newest}/.* is damaged.*delete {newest} to go on from "
        "epoch-000002.*--start_over",
    ):
        train(tmp_path / "backup")
    assert contents(tmp_path) == before
    shutil.rmtree(newest)
    again, its_history = train(tmp_path / "backup")
    assert its_history["loss"] == history["loss"]
    for value, other in zip(again, values, strict=True):
        np.testing.assert_array_equal(value, other)


def test_the_last_two_epochs_are_kept(trained, tmp_path):
    directory, _, history = trained
    assert names(directory) == ["epoch-000002", "epoch-000003"]
    assert len(history["loss"]) == len(history["seconds"]) == EPOCHS
    assert Backup(tmp_path / "none").restore(make_model()) == 0


def test_a_backup_of_an_older_version_has_no_checksums(trained, tmp_path):
    newest = tmp_path / "epoch-000003"
    shutil.copytree(trained[0] / newest.name, newest)
    (newest / "SHA256SUMS").unlink()
    assert Backup(tmp_path).restore(make_model()) == EPOCHS
    (newest / "state.weights.h5").write_bytes(b"half")
    told = "epoch-000003 must hold.*Put the file back, or discard the run"
    with pytest.raises(ValueError, match=f"(?s){told}"):
        Backup(tmp_path).restore(make_model())
