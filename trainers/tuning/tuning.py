"""The definition of a tuning: its space, experiment and objective."""

import copy
import dataclasses
import pathlib

from configs import base
from keras_superweights.tuning import Space
from keras_superweights.tuning.extra import keras_tuner
from keras_superweights.tuning.trial_space import TrialSpace
from trainers.phases import experiment
from trainers.phases.training import train
from trainers.runs.reading import ELSEWHERE
from trainers.runs.reading import differences
from trainers.runs.reading import read_json
from trainers.runs.workdir import belongs_to
from trainers.tuning import hparams
from trainers.tuning import trials

ALGORITHMS = ("random", "hyperband", "bayesian")
VALIDATION_FRACTION = 0.1
# Which direction is better; "val_*" are of the last epoch's validation.
OBJECTIVES = {
    "nll": "min",
    "accuracy": "max",
    "ece": "min",
    "diversity": "max",
    "trainable_parameters": "min",
    "seconds": "min",
    "val_loss": "min",
    "val_accuracy": "max",
}


class Tuning(TrialSpace):
    """A tuning: its checked definition and directory; each trial is a run.

    The arguments are those of `tune.tune`. Those that are wrong or do not fit
    the others are refused, before anything is written.
    """

    def __init__(self, config, space, path, algorithm, objective, num_trials):
        experiment.check(config)
        _check_algorithm(algorithm, num_trials)
        space, candidates = _split(space.to_dict())
        self.config = copy.deepcopy(config)
        if not config.data.validation_fraction:
            self.config.data.validation_fraction = VALIDATION_FRACTION
        # The data must be there before the first trial.
        experiment.pipeline(self.config)
        self.members = self._named(candidates)
        # Of every trial, unless members are varied.
        names = tuple(each.name for each in experiment.members(config))
        super().__init__(space, self.members, defaults={"members": names})
        trials.check_varied(config, space.names, "space.")
        fewest = min(space.num_members or (len(config.members),))
        self.direction = direction(objective, fewest)
        self.objective = objective
        self.algorithm = algorithm
        self.num_trials = num_trials
        self.hyperparameters = keras_tuner.HyperParameters()
        self.declare(self.hyperparameters)
        experiment.check(self._config(self.hyperparameters.values))
        self.path = pathlib.Path(path)
        self.definition = self.path / "search.json"
        self.tuner = self.path / "tuner"
        self.trials = self.path / "trials"

    @property
    def varied(self):
        """Names of the `Trial.hyperparameters` that differ between trials."""
        names = list(self.space.names)
        if self.algorithm == "hyperband":
            names.append("epochs")
        if self.members:
            names.append("members")
        return names

    def describe(self):
        """Returns what the directory belongs to; more trials may be added."""
        return {
            "algorithm": self.algorithm,
            "objective": self.objective,
            "space": {
                name: getattr(self.space, name) for name in self.space.names
            },
            "members": self.members,
            "config": self.config.to_dict(),
        }

    def check(self):
        """Refuses a directory that belongs to something else; reads only."""
        if not belongs_to(self.definition, "tuning"):
            return
        described = read_json(self.definition, dict, ELSEWHERE)
        if isinstance(described.get("config"), dict):
            # That of an older version lacks today's keys.
            described["config"] = base.completed(described["config"])
        changes = differences(described, self.describe())
        if changes:
            raise ValueError(
                f"`--workdir` {self.path} belongs to another tuning:\n"
                f"{changes}\nChoose another directory, or delete that one."
            )

    def write_columns(self):
        """Tells TensorBoard what to show of a trial."""
        some = self.trial("", self.hyperparameters.values)
        hparams.write_columns(
            self.path / "logs", some.hyperparameters(), self.varied
        )

    def trial(self, trial_id, values):
        """Returns the `Trial` of that number."""
        return trials.Trial(
            self.trials / trial_id,
            self._config(values),
            self.settings(values)["members"],
        )

    def run(self, trial_id, values):
        """Runs a trial, resuming an interrupted one; returns its objective.

        Raises:
            keras_tuner.errors.FailedTrialError: If the budget cannot be met,
                or the objective is not defined.
        """
        trial = self.trial(trial_id, values)
        with trial.recorded():
            # Before the run, since it costs no memory.
            self.allocation(self.settings(values))
            train(trial.config, trial.workdir.path)
            return trial.value(self.objective)

    def allocate(self, settings):
        """Returns the allocation that a trial starts from."""
        config = trials.trial_config(self.config, settings, self.members)
        return experiment.allocate(config, experiment.members(config))

    def _config(self, values):
        epochs = values.get("tuner/epochs")
        settings = self.settings(values)
        return trials.trial_config(self.config, settings, self.members, epochs)

    def _named(self, candidates):
        """Returns the candidates by the names of their models."""
        if not candidates:
            return {}
        config = copy.deepcopy(self.config).unlock()
        with config.ignore_type():
            config.members = tuple(candidates)
        experiment.check(config)
        names = [member.name for member in experiment.members(config)]
        if len(set(names)) < len(names):
            raise ValueError(
                "Each of `space.members` must be a model with a name of its "
                f"own. Received: {names}. Add a `name` to those that are equal."
            )
        return dict(zip(names, candidates, strict=True))


def direction(objective, num_members):
    """Returns whether `"min"` or `"max"` of an objective is better.

    Refuses an objective that trials of `num_members`, the fewest that a trial
    has, do not all have, and names those that they have.
    """
    directions = dict(OBJECTIVES)
    if num_members == 1:
        del directions["diversity"]
    else:
        for index in range(num_members):
            directions[f"val_member_{index}_loss"] = "min"
            directions[f"val_member_{index}_accuracy"] = "max"
    if objective not in directions:
        raise ValueError(
            f"`--objective` must be one of {sorted(directions)}. Received: "
            f"{objective!r}."
        )
    return directions[objective]


def _split(space):
    """Returns the `Space` and the entries that config.members may have."""
    members = space.pop("members", ())
    known = {field.name for field in dataclasses.fields(Space)}
    unknown = ", ".join(map(repr, sorted(set(space) - known)))
    if unknown:
        raise ValueError(
            f"`space` must have keys of {sorted(known | {'members'})}. "
            f"Received: unknown {unknown}."
        )
    return Space(**space), members


def _check_algorithm(algorithm, num_trials):
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"`--algorithm` must be one of {ALGORITHMS}. "
            f"Received: {algorithm!r}."
        )
    if algorithm == "hyperband":
        if num_trials is not None:
            raise ValueError(
                "Hyperband's number of trials follows from `config.epochs`. "
                f"Received: --trials={num_trials}. Leave it out."
            )
    elif not isinstance(num_trials, int) or num_trials < 1:
        raise ValueError(
            f"`--trials` must be a positive integer. Received: {num_trials}."
        )
