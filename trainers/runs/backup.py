"""Resuming: the state of training after every epoch, whole or not at all.

`keras.callbacks.BackupAndRestore` writes the weights and the epoch's number to
two files; a run killed between the two continues with the weights of another
epoch. Here an epoch is a directory that appears by one rename:

    backup/epoch-000007/state.weights.h5   weights and the optimizer's slots
    backup/epoch-000007/history.json       {"loss": [...], "seconds": [...]}
    backup/epoch-000007/SHA256SUMS         the checksums of both

The epoch before is kept as well: a backup that a disk has damaged is refused,
and once its directory is deleted, the run goes on from the one before.
"""

import contextlib
import os
import shutil
import time

import keras

from keras_superweights import files
from keras_superweights.training.finite import NotFiniteError
from trainers.runs.workdir import check_sound
from trainers.runs.workdir import read_json


class Backup(keras.callbacks.Callback):
    """Keeps the state of training after the last two completed epochs.

    `directory` is made with the first backup. `history` maps the name of a
    logged quantity to one number per epoch, from the first epoch on, also
    after a resume; `"seconds"` is the time of each epoch.

    Example:

    ```python
    backup = Backup(directory)
    done = backup.restore(network)
    network.fit(data, epochs=9, initial_epoch=done, callbacks=[backup])
    ```
    """

    def __init__(self, directory):
        super().__init__()
        self.history = {}
        self._directory = directory

    def restore(self, network):
        """Restores a compiled network; returns the number of epochs done."""
        done = self.epochs_done
        if done:
            weights = self._newest("state.weights.h5")
            network.optimizer.build(network.trainable_variables)
            try:
                network.load_weights(weights)
            except (OSError, KeyError, ValueError) as error:
                raise ValueError(
                    f"The backup {weights.parent} must hold the weights of "
                    f"this network. Received: {type(error).__name__}: {error} "
                    f"{self._remedy()}"
                ) from error
            self.history = read_json(self._newest("history.json"))
        return done

    @property
    def epochs_done(self):
        """Number of epochs whose state is on disk."""
        if not self._backups():
            return 0
        return len(read_json(self._newest("history.json"))["seconds"])

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._began
        for name, value in {**logs, "seconds": seconds}.items():
            self.history.setdefault(name, []).append(float(value))
        self._save(epoch + 1)

    def _save(self, epochs_done):
        older = self._backups()
        unfinished = self._directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        state = unfinished / "state.weights.h5", unfinished / "history.json"
        self.model.save_weights(state[0])
        files.write_json(state[1], self.history)
        files.write_checksums(state)
        os.replace(unfinished, self._directory / f"epoch-{epochs_done:06d}")
        for backup in older[:-1]:
            shutil.rmtree(backup)

    def _backups(self):
        """The complete backups, oldest first."""
        return sorted(self._directory.glob("epoch-*"))

    def _newest(self, name):
        """Returns a file of the newest backup; refuses a damaged one."""
        path = self._backups()[-1] / name
        check_sound([path], self._remedy())
        return path

    def _remedy(self):
        *older, newest = self._backups()
        put_back = "Put the file back"
        if older:
            put_back += f", or delete {newest} to go on from {older[-1].name}"
        return f"{put_back}, or discard the run with `--start_over`."


@contextlib.contextmanager
def told_of_divergence(workdir):
    """Tells a run whose training diverges what it has, and how to go on."""
    try:
        yield
    except NotFiniteError as error:
        raise ValueError(
            f"{error} {kept(workdir)} Another rate is another run: choose "
            "another `--workdir`, or discard this one with `--start_over`."
        ) from error


def kept(workdir):
    """Says which backup the run in a `Workdir` has."""
    backups = {"training": workdir.backup, "search": workdir.search / "backup"}
    for name, path in backups.items():
        done = Backup(path).epochs_done
        if done:
            return f"The backup of epoch {done} of the {name} is kept."
    return "There was no backup yet."
