"""Tunes budgets, thresholds, members and learning rates with KerasTuner.

    python -m trainers.tune --config configs/digits.py --workdir runs/tuned \
        --trials 8

Each trial is a run of `trainers.train` (search, training, decoupling), trained
on a part of the training split and measured on the rest; the test split is not
looked at. `--space` says what is varied, by default `configs/space.py`:
`--space.tau="(0.0, 0.2)"`. Everything else is as in the config.

The same command continues an interrupted tuning and prints the table of a
finished one; with more `--trials` it goes on.

    search.json      what is varied, and how
    trials/          the trials, see `tuning/trials.py`
    tuner/           the state of the algorithm
    results.json     every trial: values, status, metrics
    results.txt      the table
    figures/, logs/  the Pareto fronts of parameters against accuracy and NLL

`tensorboard --logdir runs/tuned` shows the trials (HParams), the fronts, and
every run's own curves and figures.

Several processes tune together, on one or several machines that see the same
`--workdir`: run the same command for all, each with KerasTuner's variables in
its environment. A killed worker, started again under its own name, goes on
with its trial.

    KERASTUNER_TUNER_ID=chief KERASTUNER_ORACLE_IP=127.0.0.1 \
        KERASTUNER_ORACLE_PORT=8000 python -m trainers.tune ...
    KERASTUNER_TUNER_ID=worker0 ...
"""

import contextlib
import os
import sys
import time

from absl import flags
from ml_collections import config_flags

from keras_superweights.files import write_json
from keras_superweights.tuning import make_oracle
from keras_superweights.tuning.extra import keras_tuner
from keras_superweights.tuning.oracles import MAX_FAILURES
from trainers import run
from trainers.runs.lock import only_process
from trainers.runs.reading import ELSEWHERE
from trainers.tuning import parallel
from trainers.tuning import results
from trainers.tuning.tuning import Tuning


class Tuner(keras_tuner.Tuner):
    """Runs the trials of an oracle and prints their results.

    With `is_worker`, another process gives out the trials.
    """

    def __init__(self, tuning, is_worker):
        self._tuning = tuning
        self._is_owner = not is_worker
        self._console = sys.stdout
        oracle = make_oracle(
            tuning.algorithm,
            tuning.objective,
            tuning.direction,
            tuning.hyperparameters,
            max_trials=tuning.num_trials,
            max_epochs=tuning.config.epochs,
            seed=tuning.config.seed + 1,  # 0 would be any
        )
        super().__init__(
            oracle, directory=tuning.path, project_name=tuning.tuner.name
        )
        if self._is_owner:
            if (tuning.tuner / "oracle.json").exists():
                self._reload()
            self.save()

    def _reload(self):
        try:
            self.oracle.reload()
        except Exception as error:  # whatever damaged files make KerasTuner say
            raise ValueError(
                f"{self._tuning.tuner} must hold the state of the tuning, as "
                f"KerasTuner has written it. Received: {type(error).__name__}: "
                f"{error}. {ELSEWHERE}"
            ) from error

    def search(self):
        # KerasTuner prints tables of its own, and tracebacks of failed trials.
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            super().search()

    def save(self):
        # The tuner itself has no state.
        if self._is_owner:
            self.oracle.save()

    def pre_create_trial(self):
        # A worker with nothing to do asks again at once.
        time.sleep(0.1)

    def run_trial(self, trial):
        began = time.monotonic()
        tuning, values = self._tuning, trial.hyperparameters.values
        one = tuning.trial(trial.trial_id, values)
        varied = one.hyperparameters().items()
        shown = " ".join(f"{name}={value}" for name, value in varied)
        self._tell(trial, shown)
        try:
            value = tuning.run(trial.trial_id, values)
        except Exception:
            self._tell(trial, "{status}: {reason}".format(**one.outcome()))
            raise
        seconds = f"{time.monotonic() - began:.0f} seconds"
        self._tell(trial, f"{tuning.objective} {value:.4g}, {seconds}")
        return {tuning.objective: value}

    def _tell(self, trial, told):
        line = f"trial {trial.trial_id}: {told}"
        print(line, file=self._console, flush=True)


def tune(
    config, space, path, algorithm="random", objective="nll", num_trials=None
):
    """Tunes a config, resuming an interrupted tuning; the flags of the program.

    By default, a tenth of the config's training split becomes the validation
    part. `objective` is one of `tuning.OBJECTIVES`, or a member's, such as
    `"val_member_0_accuracy"`; `num_trials` is for random and Bayesian tuning.

    Returns:
        `(tuning, rows)`: the `Tuning` and the list of `results.collect`; or
        `None` for a worker, whose trials the chief collects.

    Raises:
        TypeError, ValueError: If an argument is wrong, the directory belongs
            to something else or another process, one of its files is
            damaged, or three trials in a row end in an error. No trial is lost
            then.
    """
    role = parallel.role()
    if role == "worker":
        # Until then there is nothing to be part of.
        parallel.wait_for_chief()
    tuning = Tuning(config, space, path, algorithm, objective, num_trials)
    if role == "worker":
        _work(tuning)
        return None
    tuning.check()
    with only_process(
        tuning.path,
        "To share a tuning, give each process KerasTuner's environment "
        "variables: see the top of trainers/tuning/parallel.py.",
    ):
        tuning.check()
        if not tuning.definition.exists():
            write_json(tuning.definition, tuning.describe())
        tuning.write_columns()
        tuner = Tuner(tuning, is_worker=False)
        if not (role == "chief" and tuner.oracle.is_finished):
            tuner.search()
        rows = results.collect(tuning)
        results.write(tuning, rows)
    if tuner.oracle.has_given_up:
        reasons = [row["reason"] for row in rows if row["status"] == "failed"]
        raise ValueError(
            f"{MAX_FAILURES} trials in a row have ended in an error, the last "
            f"of them in {' '.join(reasons[-1:])}. Their output is in "
            f"{tuning.trials}. The same command goes on."
        )
    return tuning, rows


def _work(tuning):
    """Runs trials until the chief has no more."""
    import grpc  # of KerasTuner, and only workers need it

    if not tuning.definition.exists():
        raise ValueError(
            "A worker's `--workdir` must be that of its chief. Received: "
            f"{tuning.path}, which has no search.json."
        )
    tuning.check()
    try:
        tuner = Tuner(tuning, is_worker=True)
        if _names(tuner.oracle.get_space()) != _names(tuning.hyperparameters):
            raise ValueError(
                "The chief at this address and port is that of another tuning."
            )
        tuner.search()
    except grpc.RpcError as error:
        raise ValueError(
            f"The chief has gone: {error.code()}. Start it again by the same "
            "command, and then this worker."
        ) from error


def _names(hyperparameters):
    return sorted(map(repr, hyperparameters.space))


def main(options):
    found = tune(
        options.config,
        options.space,
        options.workdir,
        options.algorithm,
        options.objective,
        options.trials,
    )
    if found is None:
        print("no more trials; the chief has the results")
        return
    tuning, rows = found
    print(f"\n{results.table(tuning, rows)}")
    best = results.ranked(tuning, rows)
    if best:
        print(
            f"\nbest      {best[0]['config']}, for "
            "python -m trainers.train --config\n"
            f"figures   {tuning.path}/figures/search-pareto.png\n"
            f"results   {tuning.path}/results.json\n"
            f"logs      tensorboard --logdir {tuning.path}"
        )


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    config_flags.DEFINE_config_file(
        "space", "configs/space.py", "File of what is varied."
    )
    flags.DEFINE_string("workdir", None, "Directory of the tuning.")
    flags.DEFINE_string("algorithm", "random", "random, hyperband, bayesian.")
    flags.DEFINE_string(
        "objective", "nll", "The number to minimize or maximize."
    )
    flags.DEFINE_integer("trials", None, "Number of trials; not for hyperband.")
    flags.mark_flags_as_required(["config", "workdir"])
    run(main)
