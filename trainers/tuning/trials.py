"""One trial: its config, its files, and its result.

    trials/3/config.py       its config, which `trainers.train --config` takes
    trials/3/run/            the workdir of its run, see `runs/workdir.py`
    trials/3/output.txt      what the run has printed
    trials/3/failure.json    why there is no result, if there is none
    trials/3/events*         TensorBoard's HParams

An interrupted trial continues as its run does; a finished one is not repeated.
"""

import contextlib
import copy
import dataclasses
import math
import numbers
import traceback

import keras

from keras_superweights import files
from keras_superweights.tuning.extra import keras_tuner
from keras_superweights.tuning.trial_space import Infeasible
from trainers.phases import experiment
from trainers.runs.backup import Backup
from trainers.runs.config_file import write_config
from trainers.runs.lock import in_turn
from trainers.runs.reading import NUMBER
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir
from trainers.tuning import hparams

# The section of a config that holds each name of `Space`.
SECTIONS = {
    "budget_params": None,
    "learning_rate": "optimizer",
    "tau": "search",
    "beta": "decouple",
    "depth_bins": "sharing",
    "max_templates": "sharing",
}


def trial_config(base, settings, members=(), epochs=None):
    """Returns the config of a trial: the tuning's, with a trial's `settings`.

    `members` maps candidates' names to entries of `config.members`; it is
    empty where members are not varied. With `epochs`, search, decoupling and
    schedule are shortened in proportion.
    """
    config = copy.deepcopy(base).unlock()
    config.one_network = False  # what varies is compared with each other
    with config.ignore_type():
        for name, value in settings.items():
            if name != "members":
                section_of(config, name)[name] = value
            elif members:
                config.members = tuple(dict(members[each]) for each in value)
    if epochs is not None:
        _shorten(config, epochs)
    return config.lock()


def section_of(config, name):
    """Returns the section of a config that holds what a space calls `name`."""
    section = SECTIONS[name]
    if name == "beta" and experiment.decides_ties(config):
        section = "search"
    return config[section] if section else config


def check_varied(config, names, prefix=""):
    """Refuses to vary what makes no difference to a config.

    `names` are those of `SECTIONS`; errors put `prefix`, such as `"space."`,
    before them. Also refuses several devices, which trials cannot share.
    """
    rule = experiment.rule_class(config.sharing.rule)
    arguments = {field.name for field in dataclasses.fields(rule)}
    for name in names:
        needs = {"tau": "search.pretrain_epochs"}
        if not experiment.decides_ties(config):
            needs["beta"] = "decouple.epoch"
        section, _, key = needs.get(name, "").partition(".")
        if section and not config[section][key]:
            raise ValueError(
                f"`{prefix}{name}` has no effect where `config.{section}.{key}"
                f"` is 0. Leave it out, or set `config.{section}.{key}`."
            )
        if SECTIONS.get(name) == "sharing" and name not in arguments:
            raise ValueError(
                f"`{prefix}{name}` has no effect on the rule "
                f"'{config.sharing.rule}' of `config.sharing`. Leave it out, "
                "or choose another rule."
            )
    if config.strategy != "one_device":
        raise ValueError(
            "Runs that try values train on one device each. Received: "
            f"config.strategy={config.strategy!r}."
        )


@contextlib.contextmanager
def output_to(file):
    """Keeps what is printed in a file, that one process at a time writes."""
    with in_turn(file) as output, contextlib.redirect_stdout(output):
        try:
            yield output
        finally:
            # The next run needs the memory.
            keras.utils.clear_session()


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
    drops = [round(epoch * ratio) for epoch in optimizer.drop_epochs]
    optimizer.drop_epochs = tuple(drops)


class Trial:
    """One trial of a tuning.

    Takes the directory of its files, made when it runs, its `ConfigDict` and
    the names of its members.
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
        """Keeps what a trial prints and why it fails, and shows it in HParams.

        Two processes with the same trial, such as workers of one name, run it
        one after the other.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with output_to(self.directory / "output.txt") as output:
            self.failure.unlink(missing_ok=True)
            write_config(
                self.config_file,
                self.config,
                f"Trial {self.directory.name} of the tuning in "
                f"{self.directory.parent.parent}",
            )
            try:
                yield
            except Exception as error:
                traceback.print_exc(file=output)
                self._note(error)
                raise
            finally:
                metrics = self.outcome().get("metrics", {})
                shown = self.hyperparameters()
                hparams.write_trial(self.directory, shown, metrics)

    def value(self, objective):
        """Returns a number of `measured`; one that is undefined fails it."""
        value = self.measured().get(objective)
        if value is None or not math.isfinite(value):
            raise keras_tuner.errors.FailedTrialError(
                f"`{objective}` is not defined: {value}."
            )
        return value

    def _note(self, error):
        status, reason = "failed", f"{type(error).__name__}: {error}"
        if isinstance(error, Infeasible):
            status, reason = "infeasible", str(error)
        files.write_json(self.failure, {"status": status, "reason": reason})

    def measured(self):
        """Returns the numbers of metrics.json and the last `val_*` values."""
        form = dict.fromkeys(hparams.METRICS, NUMBER)
        metrics = read_json(self.workdir.metrics, form).items()
        history = Backup(self.workdir.backup).read_history().items()
        return {
            **{k: v for k, v in metrics if isinstance(v, numbers.Real)},
            **{k: v[-1] for k, v in history if k.startswith("val_")},
        }

    def hyperparameters(self):
        """Returns what can be varied, whether it is or not: numbers, text."""
        config = self.config
        values = {name: section_of(config, name).get(name) for name in SECTIONS}
        values["num_members"] = len(self.members)
        values["members"] = " ".join(self.members)
        values["epochs"] = config.epochs
        return {k: v for k, v in values.items() if v is not None}

    def outcome(self):
        """Returns the result, a JSON-ready dict with `"status"`.

        The status is `"completed"`, with the `"metrics"` of `measured`;
        `"infeasible"` or `"failed"`, with the `"reason"`; or `"unfinished"`.
        """
        if self.failure.exists():
            return read_json(self.failure, {"status": str, "reason": str})
        if not self.workdir.metrics.exists():
            return {"status": "unfinished"}
        return {"status": "completed", "metrics": self.measured()}
