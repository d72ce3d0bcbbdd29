"""One trial: its config, its files, and what has come out.

    trials/3/config.py       its config, which `trainers.train --config` takes
    trials/3/run/            the workdir of its run, see `runs/workdir.py`
    trials/3/output.txt      what the run has printed
    trials/3/failure.json    why there is no result, if there is none
    trials/3/events*         TensorBoard's HParams

A trial that was interrupted continues as its run does; a finished one is not
run again.
"""

import contextlib
import copy
import math
import numbers
import pprint
import traceback

import keras
from ml_collections import ConfigDict

from keras_superweights.files import write_json
from keras_superweights.files import write_text
from keras_superweights.tuning.extra import keras_tuner
from keras_superweights.tuning.trial_space import Infeasible
from trainers.runs.workdir import Workdir
from trainers.runs.workdir import read_json
from trainers.tuning import hparams
from trainers.tuning.parallel import only_process

_CONFIG_FILE = '''\
"""Trial {name} of the tuning in {tuning}.

    python -m trainers.train --config {file} --workdir DIR
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config():
    return ConfigDict(
{values}
    ).lock()
'''


def trial_config(base, settings, members, epochs=None):
    """The config of a trial.

    Args:
        base: The `ConfigDict` of the tuning.
        settings: What `Space.settings` has returned.
        members: Dict from a candidate's name to an entry of
            `config.members`; empty where members are not varied.
        epochs: Number of epochs, if not that of `base`. The whole run is
            shortened then: search, decoupling and schedule in proportion.
    """
    config = copy.deepcopy(base).unlock()
    with config.ignore_type():
        for name, value in settings.items():
            if name != "members":
                section, key = place(config, name)
                section[key] = value
            elif members:
                config.members = tuple(dict(members[each]) for each in value)
    if epochs is not None:
        _shorten(config, epochs)
    return config.lock()


def place(config, name):
    """Where a config holds what a space calls `name`: `(section, key)`."""
    sections = {
        "budget_params": config,
        "learning_rate": config.optimizer,
        "tau": config.search,
        "beta": config.decouple,
        "depth_bins": config.sharing,
        "max_templates": config.sharing,
    }
    return sections[name], name


def _shorten(config, epochs):
    ratio = epochs / config.epochs
    config.epochs = epochs
    for section, key in (
        (config.search, "pretrain_epochs"),
        (config.decouple, "epoch"),
        (config.decouple, "every"),
    ):
        if section[key]:
            section[key] = max(1, round(section[key] * ratio))
    optimizer = config.optimizer
    optimizer.warmup_epochs = round(optimizer.warmup_epochs * ratio)
    if "drop_epochs" in optimizer:
        optimizer.drop_epochs = tuple(
            round(epoch * ratio) for epoch in optimizer.drop_epochs
        )


class Trial:
    """One trial of a tuning.

    Args:
        directory: `pathlib.Path` of its files, made when it runs.
        config: Its `ConfigDict`.
        members: The names of its members.
    """

    def __init__(self, directory, config, members):
        self.directory = directory
        self.config = config
        self.members = members
        self.config_file = directory / "config.py"
        self.workdir = Workdir(directory / "run")
        self.failure = directory / "failure.json"

    @contextlib.contextmanager
    def recorded(self):
        """Keeps what is printed and why it fails, and shows it in HParams.

        Two processes with one trial, as workers of one name would be given,
        run it one after the other.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (
            only_process(self.directory / "output.txt") as output,
            contextlib.redirect_stdout(output),
        ):
            self.failure.unlink(missing_ok=True)
            self._write_config()
            try:
                yield
            except Exception as error:
                traceback.print_exc(file=output)
                self._note(error)
                raise
            finally:
                self._write_hparams()
                # The next trial needs the memory.
                keras.utils.clear_session()

    def value(self, objective):
        """The objective, one of the names that `measured` returns.

        Raises:
            keras_tuner.errors.FailedTrialError: If it is not defined.
        """
        value = self.measured().get(objective)
        if value is None or not math.isfinite(value):
            raise keras_tuner.errors.FailedTrialError(
                f"`{objective}` is not defined: {value}."
            )
        return value

    def _note(self, error):
        failure = {
            "status": "failed",
            "reason": f"{type(error).__name__}: {error}",
        }
        if isinstance(error, Infeasible):
            failure = {"status": "infeasible", "reason": str(error)}
        write_json(self.failure, failure)

    def _write_hparams(self):
        metrics = self.outcome().get("metrics", {})
        hparams.write_trial(
            self.directory,
            self.directory.name,
            self.hyperparameters(),
            {k: metrics[k] for k in hparams.METRICS if k in metrics},
        )

    def measured(self):
        """The numbers of metrics.json, and of the last epoch's validation."""
        metrics = {
            name: value
            for name, value in read_json(self.workdir.metrics).items()
            if isinstance(value, numbers.Real)
        }
        newest = max(self.workdir.backup.glob("epoch-*"))
        history = read_json(newest / "history.json")
        return metrics | {
            name: series[-1]
            for name, series in history.items()
            if name.startswith("val_")
        }

    def hyperparameters(self):
        """What can be varied, whether it is or not: numbers and text."""
        config = self.config
        found = {}
        for name in (
            "budget_params",
            "learning_rate",
            "tau",
            "beta",
            "depth_bins",
            "max_templates",
        ):
            section, key = place(config, name)
            if section.get(key) is not None:
                found[name] = section[key]
        return found | {
            "num_members": len(self.members),
            "members": " ".join(self.members),
            "epochs": config.epochs,
        }

    def outcome(self):
        """The result: a dict with `"status"`, ready for JSON.

        The status is `"completed"`, with what `measured` returns;
        `"infeasible"` or `"failed"`, with the reason; or `"unfinished"`.
        """
        if self.failure.exists():
            return read_json(self.failure)
        if not self.workdir.metrics.exists():
            return {"status": "unfinished"}
        return {"status": "completed", "metrics": self.measured()}

    def _write_config(self):
        values = pprint.pformat(
            _literals(self.config), width=72, sort_dicts=False
        )
        values = "\n".join("        " + line for line in values.splitlines())
        write_text(
            self.config_file,
            _CONFIG_FILE.format(
                name=self.directory.name,
                tuning=self.directory.parent.parent,
                file=self.config_file,
                values=values,
            ),
        )


class _Placeholder:
    """Prints as what it stands for: a key to be set on the command line."""

    def __init__(self, kind):
        self._kind = kind

    def __repr__(self):
        return f"placeholder({self._kind.__name__})"


def _literals(config):
    """The values of a config, which print as Python."""
    return {
        key: _literals(value)
        if isinstance(value, ConfigDict)
        else _Placeholder(config.get_type(key))
        if value is None
        else value
        for key, value in config.items()
    }
