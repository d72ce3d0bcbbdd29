"""Killed at every moment of a tuning, no trial is lost and none is double."""

import json
import os
import pathlib

import keras_tuner
import pytest
import sklearn.gaussian_process

from keras_superweights.tuning import Space
from keras_superweights.tuning import make_oracle

# KerasTuner's own, which nothing here could change.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras_tuner"
)

SPACE = Space(budget_params=(0.1, 1.0), tau=(-1.0, 1.0))
INFEASIBLE = 0.2  # budgets below


class Killed(BaseException):
    """Nobody catches it."""


class Tuner(keras_tuner.Tuner):
    """Scores a trial by its distance from a point, and counts how often."""

    def __init__(self, directory, algorithm, direction="min", **kwargs):
        hp = keras_tuner.HyperParameters()
        SPACE.declare(hp)
        arguments = {"max_trials": 3, "max_epochs": 3} | kwargs
        oracle = make_oracle(algorithm, "score", direction, hp, **arguments)
        self.ran = []
        super().__init__(oracle, directory=directory, project_name="p")

    def run_trial(self, trial):
        values = trial.hyperparameters.values
        self.ran.append((trial.trial_id, dict(values)))
        if values["budget_params"] < INFEASIBLE:
            raise keras_tuner.errors.FailedTrialError("too small")
        return {"score": abs(values["budget_params"] - 0.6) + values["tau"]}


def search(directory, algorithm, **kwargs):
    tuner = Tuner(directory, algorithm, **kwargs)
    tuner.search()
    return tuner


def found(directory):
    """What the files say of every trial."""
    trials = {}
    for path in pathlib.Path(directory).glob("p/trial_*/trial.json"):
        state = json.loads(path.read_text())
        assert path.parent.name == f"trial_{state['trial_id']}"
        values = state["hyperparameters"]["values"]
        trials[state["trial_id"]] = (state["status"], state["score"], values)
    return trials


def interrupt(monkeypatch, moment):
    """Raises `Killed` before the file operation number `moment`, or in it."""
    count = iter(range(10**6))

    def killed(function):
        def kill(path, *args, **kwargs):
            if next(count) == moment:
                raise Killed
            return function(path, *args, **kwargs)

        return kill

    write = pathlib.Path.write_bytes

    def half_written(path, data):
        if next(count) == moment:
            write(path, data[:20])
            raise Killed
        write(path, data)

    monkeypatch.setattr(os, "replace", killed(os.replace))
    monkeypatch.setattr(pathlib.Path, "write_bytes", half_written)
    return count


@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_killed_at_any_moment_it_ends_the_same(algorithm, tmp_path):
    never = search(tmp_path / "never", algorithm)
    expected = found(tmp_path / "never")
    assert sorted(expected) == sorted(never.oracle.trials)
    assert len(expected) == (6 if algorithm == "hyperband" else 3)
    statuses = {status for status, _, _ in expected.values()}
    assert statuses == {"COMPLETED", "FAILED"}
    with pytest.MonkeyPatch.context() as patch:
        count = interrupt(patch, None)
        search(tmp_path / "counted", algorithm)
    moments = next(count)
    assert moments >= 6 * len(expected)  # it did count
    for moment in range(moments):
        directory = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, moment)
            with pytest.raises(Killed):
                search(directory, algorithm)
        tuner = search(directory, algorithm)
        assert found(directory) == expected, moment
        assert sorted(tuner.oracle.start_order) == sorted(expected), moment


def test_what_is_finished_is_not_searched_again(tmp_path):
    first = search(tmp_path, "random")
    assert not Tuner(tmp_path / "other", "random").oracle.is_finished
    assert len(first.ran) == 3 and first.oracle.is_finished
    again = search(tmp_path, "random")
    assert again.ran == [] and again.oracle.is_finished
    more = search(tmp_path, "random", max_trials=5)
    assert [trial_id for trial_id, _ in more.ran] == ["3", "4"]


class Crashing(Tuner):
    """All but the first trial end in an error."""

    def run_trial(self, trial):
        super().run_trial(trial)
        if trial.trial_id != "0":
            raise RuntimeError("out of memory")
        return {"score": 0.0}


def test_three_errors_in_a_row_end_a_search_and_leave_the_rest_to_another(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(f"{__name__}.INFEASIBLE", 0.0)
    tuner = Crashing(tmp_path, "random", max_trials=9)
    tuner.search()
    assert [trial_id for trial_id, _ in tuner.ran] == ["0", "1", "2", "3"]
    assert tuner.oracle.has_given_up and not tuner.oracle.is_finished
    again = search(tmp_path, "random", max_trials=9)
    assert not again.oracle.has_given_up
    assert [trial_id for trial_id, _ in again.ran] == list("45678")


def test_budgets_that_cannot_be_met_do_not_end_a_search(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.INFEASIBLE", 2.0)
    tuner = search(tmp_path, "random", max_trials=7)
    assert len(tuner.ran) == 7 and not tuner.oracle.has_given_up
    assert {status for status, _, _ in found(tmp_path).values()} == {"FAILED"}


class Stop(BaseException):
    """Ends a tuning where it asks the Gaussian process."""


@pytest.mark.parametrize("direction, worst", [("min", max), ("max", min)])
def test_to_a_gaussian_process_what_failed_is_the_worst(
    direction, worst, tmp_path, monkeypatch
):
    given = []

    def fit(self, x, y):
        given.extend(zip(x, y, strict=True))
        raise Stop

    process = sklearn.gaussian_process.GaussianProcessRegressor
    monkeypatch.setattr(process, "fit", fit)
    with pytest.raises(Stop):
        search(tmp_path, "bayesian", direction=direction, max_trials=20)
    trials = found(tmp_path).values()
    scores = [score for status, score, _ in trials if status == "COMPLETED"]
    sign = 1 if direction == "min" else -1
    expected = [
        sign * (score if status == "COMPLETED" else worst(scores))
        for status, score, _ in trials
    ]
    assert None in [score for _, score, _ in trials]  # one has failed
    assert sorted(score for _, score in given) == pytest.approx(
        sorted(expected)
    )
    # Where it failed, not where KerasTuner would put what is not known.
    budgets = sorted(values["budget_params"] for _, _, values in trials)
    places = sorted(0.1 * 10 ** x[0] for x, _ in given)
    assert places == pytest.approx(budgets)


def test_a_bayesian_search_goes_on_with_the_trials_it_has(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 14)
        with pytest.raises(Killed):
            search(tmp_path, "bayesian", max_trials=4)
    before = found(tmp_path)
    tuner = search(tmp_path, "bayesian", max_trials=4)
    assert sorted(found(tmp_path)) == list("0123")
    ran = [trial_id for trial_id, _ in tuner.ran]
    done = [t for t, (status, *_) in before.items() if status != "RUNNING"]
    assert done and sorted({*done, *ran}) == list("0123")


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("infeasible", [0.25, 0.5])
def test_hyperband_goes_on_without_what_failed(
    infeasible, direction, tmp_path, monkeypatch
):
    monkeypatch.setattr(f"{__name__}.INFEASIBLE", infeasible)
    tuner = search(tmp_path, "hyperband", direction=direction, max_epochs=9)
    rounds = {}
    for trial_id, values in tuner.ran:
        key = (values["tuner/bracket"], values["tuner/round"])
        rounds.setdefault(key, []).append(trial_id)
    # Of the paper: a third goes on, for three times the epochs.
    counts = {(2, 0): 9, (2, 1): 3, (2, 2): 1, (1, 0): 5, (1, 1): 2, (0, 0): 3}
    assert {key: len(ids) for key, ids in rounds.items()} == counts
    trials = tuner.oracle.trials
    first = [t for t in rounds[2, 0] if trials[t].status == "COMPLETED"]
    assert (len(first) < 3) == (infeasible == 0.5)
    best = sorted(
        first, key=lambda t: trials[t].score, reverse=direction == "max"
    )
    promoted = [
        trials[t].hyperparameters.values["tuner/trial_id"] for t in rounds[2, 1]
    ]
    # What failed comes last.
    assert promoted[: len(best[:3])] == best[:3]


@pytest.mark.parametrize(
    "algorithm, ends, told",
    [
        ("grid", {"max_trials": 3}, "'bayesian'.*'grid'"),
        ("random", {"max_epochs": 3}, "`max_trials`.*'random'"),
        ("bayesian", {}, "`max_trials`.*'bayesian'"),
        ("hyperband", {"max_trials": 3}, "`max_epochs`.*'hyperband'"),
    ],
)
def test_an_unknown_algorithm_or_one_without_end_is_refused(
    algorithm, ends, told
):
    hp = keras_tuner.HyperParameters()
    with pytest.raises(ValueError, match=told):
        make_oracle(algorithm, "score", "min", hp, **ends)
