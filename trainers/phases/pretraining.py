"""The pretraining, common to the search and to the learning of stores."""

from functools import partial

import keras

from trainers.devices.strategy import shared
from trainers.phases import experiment
from trainers.phases import optimizers
from trainers.phases.logs import EpochLine
from trainers.runs.backup import Backup


def is_measured(measured, workdir):
    """Whether a run has the file from which its allocation follows.

    Refuses to measure it again once there is an allocation.
    """
    if workdir.allocation.exists() and not measured.exists():
        raise ValueError(
            f"A run that has {workdir.allocation} must also have "
            f"{measured}, from which it follows. Received: none. Put the "
            "file back, or discard the run with `--start_over`."
        )
    return measured.exists()


def begin(config, directory, images, name):
    """Sets the seed, and finds where a pretraining was interrupted.

    `directory` is that of the phase's files; `name` begins the lines that
    epochs print. Returns the arguments of the library's pretrainings, such as
    `data`, and the `PretrainingBackup`, for its history.
    """
    keras.utils.set_random_seed(config.seed)
    epochs = config.search.pretrain_epochs
    backup = PretrainingBackup(directory / "backup", epochs)
    done = backup.epochs_done
    data, _ = shared(partial(images.train, epochs, first_epoch=done))
    arguments = {
        "data": data,
        "pretrain_epochs": epochs,
        "steps_per_epoch": images.steps_per_epoch,
        # The recipe of the training, of which these are the first epochs.
        "optimizer": experiment.optimizer(
            config, images.steps_per_epoch, images.num_train
        ),
        "loss": experiment.loss(config),
        **optimizers.of_network(config),
        "jit_compile": experiment.jit_compile(config),
        "callbacks": [EpochLine(name), backup],
        "initial_epoch": done,
        "verbose": 0,
    }
    return arguments, backup


class PretrainingBackup(Backup):
    """Restores the network of a search when it begins.

    The last epoch is not backed up, since the backup would lack what the epoch
    measures; a run killed after it trains it again.
    """

    def __init__(self, directory, epochs):
        super().__init__(directory)
        self._epochs = epochs

    def on_train_begin(self, logs=None):
        self.restore(self.model)

    def _save(self, epochs_done):
        if epochs_done < self._epochs:
            super()._save(epochs_done)
