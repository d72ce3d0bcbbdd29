"""What a search is: a space, an experiment, an objective; checked."""

import copy
import dataclasses
import pathlib

from keras_superweights.tuning import SearchSpace
from keras_superweights.tuning.extra import keras_tuner
from trainers import experiment
from trainers import hparams
from trainers import settings
from trainers.trials import Trial
from trainers.trials import trial_config
from trainers.workdir import differences

ALGORITHMS = ("random", "hyperband", "bayesian")
VALIDATION_FRACTION = 0.1

# Of what is measured, whether less or more of it is better. With "val_", what
# the validation of the last epoch says.
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


class Search:
    """What is searched, checked, and where.

    Args:
        config: The `ConfigDict` of a file in `configs/`.
        space: A `ConfigDict` as in `configs/space.py`.
        path: The directory of the search.
        algorithm: One of `ALGORITHMS`.
        objective: One of `OBJECTIVES`, or `"val_member_0_accuracy"`, ...
        num_trials: How many; `None` for Hyperband, which follows from the
            epochs of the config.

    Raises:
        TypeError, ValueError: If any of it is not what it must be, or does not
            go with the rest. Nothing is written.
    """

    def __init__(self, config, space, path, algorithm, objective, num_trials):
        settings.check(config)
        _check_algorithm(algorithm, num_trials)
        self.space, candidates = _split(space.to_dict())
        self._check_effects(config)
        fewest = min(self.space.num_members or (len(config.members),))
        self.direction = direction(objective, fewest)
        self.objective = objective
        self.algorithm = algorithm
        self.num_trials = num_trials
        self.config = copy.deepcopy(config)
        if not config.data.get("validation_fraction"):
            with self.config.unlocked():
                self.config.data.validation_fraction = VALIDATION_FRACTION
        # The data must be there before the first trial.
        experiment.pipeline(self.config)
        self.members = self._named(candidates)
        # Of every trial, unless members are searched.
        self._members = [each.name for each in experiment.members(config)]
        self.hyperparameters = keras_tuner.HyperParameters()
        self.space.declare(self.hyperparameters, tuple(self.members))
        settings.check(self.trial_config(self.hyperparameters.values))
        self.path = pathlib.Path(path)
        self.definition = self.path / "search.json"
        self.tuner = self.path / "tuner"
        self.trials = self.path / "trials"

    @property
    def varied(self):
        """What is not the same for all trials, by `Trial.hyperparameters`."""
        names = list(self.space.names)
        if self.algorithm == "hyperband":
            names.append("epochs")
        if self.members:
            names.append("members")
        return names

    def describe(self):
        """What belongs to the directory. The number of trials may grow."""
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
        """Refuses a directory that belongs to something else; reads only.

        Raises:
            ValueError: If it has files that are not a search's, or is that of
                another search; names what differs.
        """
        if not self.definition.exists():
            files = sorted(entry.name for entry in self.path.glob("*"))
            # What a search leaves that is killed before it has begun.
            known = ("lock", f"unfinished-{self.definition.name}")
            files = [name for name in files if name not in known]
            if files:
                raise ValueError(
                    "`--workdir` must be new, empty, or the directory of a "
                    f"search. Received: {self.path}, which has no search.json "
                    f"but {', '.join(files[:5])}. Choose another directory."
                )
            return
        changes = differences(self.definition, self.describe())
        if changes:
            raise ValueError(
                f"`--workdir` {self.path} belongs to another search:\n"
                + "\n".join(changes)
                + "\nChoose another directory, or delete that one."
            )

    def write_columns(self):
        """Tells TensorBoard what to show of a trial."""
        some = self.trial("", self.hyperparameters.values)
        hparams.write_columns(
            self.path / "logs", some.hyperparameters(), self.varied
        )

    def trial_config(self, values):
        """The config of the trial with these values of hyperparameters."""
        return trial_config(
            self.config,
            self.space.settings(values),
            self.members,
            values.get("tuner/epochs"),
        )

    def trial(self, trial_id, values):
        """The `Trial` of that number."""
        names = self.space.settings(values).get("members", self._members)
        return Trial(self.trials / trial_id, self.trial_config(values), names)

    def _named(self, candidates):
        """Candidates by the names of their models."""
        if not candidates:
            return {}
        config = copy.deepcopy(self.config).unlock()
        with config.ignore_type():
            config.members = tuple(candidates)
        settings.check(config)
        names = [member.name for member in experiment.members(config)]
        if len(set(names)) < len(names):
            raise ValueError(
                "Each of `space.members` must be a model with a name of its "
                f"own. Received: {names}. Add a `name` to those that are equal."
            )
        return dict(zip(names, candidates, strict=True))

    def _check_effects(self, config):
        """What is searched must make a difference to the config."""
        for name, key, value in (
            ("tau", "search.pretrain_epochs", config.search.pretrain_epochs),
            ("beta", "decouple.epoch", config.decouple.epoch),
        ):
            if name in self.space.names and not value:
                raise ValueError(
                    f"`space.{name}` has no effect where `config.{key}` is 0. "
                    f"Leave it out of the space, or set `config.{key}`."
                )
        for name in ("depth_bins", "max_templates"):
            if name in self.space.names and name not in _rule_keys(config):
                raise ValueError(
                    f"`space.{name}` has no effect on the rule "
                    f"'{config.sharing.rule}' of `config.sharing`. Leave it "
                    "out of the space, or choose another rule."
                )
        if config.strategy != "one_device":
            raise ValueError(
                "The trials of a search train on one device each; several "
                "processes can share the search. Received: "
                f"config.strategy={config.strategy!r}."
            )


def direction(objective, num_members):
    """`"min"` or `"max"`, as an objective is better.

    Args:
        objective: The name of a number that a trial is measured by.
        num_members: The fewest members that a trial has.

    Raises:
        ValueError: If not every trial has such a number; names those it has.
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
    """`(SearchSpace, entries that config.members may have)`."""
    members = space.pop("members", ())
    known = {field.name for field in dataclasses.fields(SearchSpace)}
    unknown = sorted(set(space) - known)
    if unknown:
        raise ValueError(
            f"`space` must have keys of {sorted(known | {'members'})}. "
            f"Received: unknown {', '.join(map(repr, unknown))}."
        )
    return SearchSpace(**space), members


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


def _rule_keys(config):
    rule = settings.RULES[config.sharing["rule"]]
    return {field.name for field in dataclasses.fields(rule)}
