"""Resuming: the state of training after every epoch, whole or not at all.

`keras.callbacks.BackupAndRestore` writes the weights and the epoch's number to
two files; a run killed between the two continues with the weights of another
epoch. Here an epoch is a directory that appears by one rename:

    backup/epoch-000007/state.weights.h5   weights and the optimizer's slots
    backup/epoch-000007/history.json       {"loss": [...], "seconds": [...]}
"""

import os
import shutil
import time

import keras

from trainers.runs.workdir import read_json
from keras_superweights.files import write_json


class Backup(keras.callbacks.Callback):
    """Keeps the state of training after the last completed epoch.

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
            newest = self._backups()[-1]
            network.optimizer.build(network.trainable_variables)
            try:
                network.load_weights(newest / "state.weights.h5")
            except (OSError, KeyError, ValueError) as error:
                raise ValueError(
                    f"The backup {newest} must hold the weights of this "
                    f"network. Received: {type(error).__name__}: {error} Put "
                    "the file back, or discard the run with `--start_over`."
                ) from error
            self.history = read_json(newest / "history.json")
        return done

    @property
    def epochs_done(self):
        """Number of epochs whose state is on disk."""
        backups = self._backups()
        if not backups:
            return 0
        return len(read_json(backups[-1] / "history.json")["seconds"])

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
        self.model.save_weights(unfinished / "state.weights.h5")
        write_json(unfinished / "history.json", self.history)
        os.replace(unfinished, self._directory / f"epoch-{epochs_done:06d}")
        for backup in older:
            shutil.rmtree(backup)

    def _backups(self):
        """The complete backups, oldest first."""
        return sorted(self._directory.glob("epoch-*"))
