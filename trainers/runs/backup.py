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
import shutil
import time

import keras

from keras_superweights import files
from keras_superweights.keras_internals import saved_weights
from keras_superweights.training.finite import NotFiniteError
from trainers.runs.reading import NUMBER
from trainers.runs.reading import REMEDY
from trainers.runs.reading import check_sound
from trainers.runs.reading import read_json


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
            except Exception as error:  # whatever a damaged file makes HDF5 say
                raise ValueError(
                    f"The backup {weights.parent} must hold the weights of "
                    f"this network. Received: {type(error).__name__}: {error} "
                    f"{self._remedy()}"
                ) from error
            self.history = self.read_history()
        return done

    def read_history(self):
        """Returns the `history` of the newest backup; refuses a damaged one."""
        path, remedy = self._newest("history.json"), self._remedy()
        history = read_json(path, {"seconds": [NUMBER], ...: [NUMBER]}, remedy)
        lengths = {name: len(values) for name, values in history.items()}
        if set(lengths.values()) != {int(path.parent.name[len("epoch-") :])}:
            raise ValueError(
                f"{path} must hold one number per epoch. Received: as many of "
                f"each as {lengths}. {remedy}"
            )
        return history

    @property
    def epochs_done(self):
        """Number of epochs whose state is on disk."""
        return len(self.read_history()["seconds"]) if self._backups() else 0

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._began
        for name, value in {**logs, "seconds": seconds}.items():
            self.history.setdefault(name, []).append(float(value))
        self._save(epoch + 1)

    def _save(self, epochs_done):
        older = self._backups()
        newest = self._directory / f"epoch-{epochs_done:06d}"
        with files.replacing(newest) as unfinished:
            unfinished.mkdir(parents=True)
            state = unfinished / "state.weights.h5", unfinished / "history.json"
            # From memory: HDF5 itself does not survive a full disk.
            files.write_bytes(state[0], saved_weights(self.model))
            files.write_json(state[1], self.history)
            files.write_checksums(state)
        for backup in older[:-1]:
            shutil.rmtree(backup)

    def _backups(self):
        """The complete backups, oldest first."""
        return sorted(self._directory.glob("epoch-*"))

    def _newest(self, name):
        """Returns a file of the newest backup; refuses a damaged one."""
        if not self._backups():
            raise ValueError(
                f"{self._directory} must hold the backup of a run's last "
                f"epoch. Received: none. {REMEDY}"
            )
        path = self._backups()[-1] / name
        check_sound([path], self._remedy())
        return path

    def _remedy(self):
        *older, newest = self._backups()
        if not older:
            return REMEDY
        one_before = f", or delete {newest} to go on from {older[-1].name}, or "
        return REMEDY.replace(", or ", one_before)


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
