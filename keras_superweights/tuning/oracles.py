"""KerasTuner's algorithms, with files that a kill at any moment leaves whole.

KerasTuner writes a trial and the state of the algorithm to two files, in
place. Killed inside a write, it cannot read them again; killed between the
two, it counts a trial that nobody will run. Here a file appears by one rename,
and only trials that the state knows have begun; other numbers are reused.
"""

import contextlib
import math
import os

from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.files import write_json
from keras_superweights.tuning.extra import keras_tuner

# After so many errors in a row, no further trial begins.
MAX_FAILURES = 3


def make_oracle(
    algorithm,
    objective,
    direction,
    hyperparameters,
    max_trials=None,
    max_epochs=None,
    seed=1,
):
    """Returns a KerasTuner oracle that survives being killed at any moment.

    A trial whose budget cannot be met ends with `keras_tuner.FailedTrialError`
    and does not count as an error; three errors in a row end the tuning.

    Args:
        algorithm: `"random"`, `"hyperband"` or `"bayesian"`.
        objective: Name of the metric.
        direction: `"min"` or `"max"`.
        hyperparameters: A `keras_tuner.HyperParameters`, the space.
        max_trials: Trials of `"random"` and `"bayesian"`. The latter draws the
            first third of them, at least three, at random.
        max_epochs: Epochs of the longest trials of `"hyperband"`.
        seed: Positive integer.

    Raises:
        ValueError: If the algorithm is none of these, or has no end.

    Example:

    ```python
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    oracle = ksw.tuning.make_oracle("random", "val_loss", "min", hp, 8)
    tuner = keras_tuner.Tuner(oracle, hypermodel, directory="runs")
    ```
    """
    known = ("random", "hyperband", "bayesian")
    check_choice("algorithm", algorithm, known)
    check_type("objective", objective, isinstance(objective, str), "a name")
    check_choice("direction", direction, ("min", "max"))
    check_type(
        "hyperparameters",
        hyperparameters,
        isinstance(hyperparameters, keras_tuner.HyperParameters),
        "a `keras_tuner.HyperParameters`",
    )
    check_integer("seed", seed)
    ends = {"max_epochs": max_epochs, "max_trials": max_trials}
    for argument, value in ends.items():
        if value is not None:
            check_integer(argument, value)
    end = "max_epochs" if algorithm == "hyperband" else "max_trials"
    if ends[end] is None:
        raise ValueError(
            f"`{end}` must be given for algorithm={algorithm!r}. Received: "
            f"max_trials={max_trials}, max_epochs={max_epochs}."
        )
    arguments = {
        "objective": keras_tuner.Objective(objective, direction),
        "hyperparameters": hyperparameters,
        "seed": seed,
        # Ends by itself, see `_Resumable.populate_space`.
        "max_consecutive_failed_trials": math.inf,
    }
    if algorithm == "hyperband":
        return HyperbandOracle(max_epochs=max_epochs, **arguments)
    arguments["max_trials"] = max_trials
    if algorithm == "random":
        return RandomSearchOracle(**arguments)
    # By default thrice the number of hyperparameters: in a short tuning that
    # would be all of it.
    arguments["num_initial_points"] = max(3, max_trials // 3)
    return BayesianOptimizationOracle(**arguments)


class _Resumable:
    """What the oracles have in common."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._failures = 0  # in a row
        self.verbose = 0

    def populate_space(self, trial_id):
        # KerasTuner's error would leave a chief locked.
        if self.has_given_up:
            return {"status": "STOPPED"}
        with self._failed_as_worst():
            return super().populate_space(trial_id)

    @contextlib.contextmanager
    def _failed_as_worst(self):
        """Lets failed trials count as the worst ones.

        KerasTuner leaves them out: a Gaussian process goes on asking for the
        infeasible, and Hyperband waits for them before it goes on with others.
        """
        trials = self.trials.values()
        scores = [t.score for t in trials if t.status == "COMPLETED"]
        failed = [t for t in trials if scores and t.status == "FAILED"]
        for trial in failed:
            trial.status, trial.score = "COMPLETED", self._worst(scores)
        try:
            yield
        finally:
            for trial in failed:
                trial.status, trial.score = "FAILED", None

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.status == "INVALID":
            self._failures += 1
        elif trial.status == "COMPLETED":
            self._failures = 0
        super().end_trial(trial)

    def _worst(self, scores):
        return max(scores) if self.objective.direction == "min" else min(scores)

    @property
    def has_given_up(self):
        """Whether too many trials in a row have ended in an error."""
        return self._failures >= MAX_FAILURES

    @property
    def is_finished(self):
        """Whether all trials that were asked for have ended."""
        return (
            self.max_trials is not None
            and len(self.trials) >= self.max_trials
            and all(
                trial.status in ("COMPLETED", "FAILED")
                for trial in self.trials.values()
            )
        )

    def save(self):
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        path = os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")
        write_json(path, trial.get_state())

    def reload(self):
        super().reload()
        begun = set(self.start_order)
        for trial_id in set(self.trials) - begun:
            del self.trials[trial_id]


class RandomSearchOracle(_Resumable, keras_tuner.oracles.RandomSearchOracle):
    """Draws every trial at random."""


class HyperbandOracle(_Resumable, keras_tuner.oracles.HyperbandOracle):
    """Trains many for few epochs, and the best of them for more."""

    def _worst(self, scores):
        # One that failed goes on only where no other is left.
        return math.inf if self.objective.direction == "min" else -math.inf


class BayesianOptimizationOracle(
    _Resumable, keras_tuner.oracles.BayesianOptimizationOracle
):
    """Asks where a Gaussian process expects the best, or knows least."""
