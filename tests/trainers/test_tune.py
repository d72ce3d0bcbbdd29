"""A tuning from its first trial to its table, killed and continued."""

import json
import shutil
import time
import urllib.request

import keras
import pytest
from ml_collections import ConfigDict
from tensorboard import program

from tests.trainers import tuner_program
from tests.trainers.files import assert_figure
from tests.trainers.files import config_of
from tests.trainers.files import contents
from tests.trainers.tuner_program import NUM_TRIALS
from tests.trainers.tuner_program import FakeTrain
from trainers import tune
from trainers.phases.training import train
from trainers.runs import lock
from trainers.tuning import hparams
from trainers.tuning import results
from trainers.tuning import tuning
from trainers.tuning.trials import SECTIONS
from trainers.tuning.trials import section_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras_tuner"
)


@pytest.fixture(scope="module", autouse=True)
def nothing_to_free():
    """Looking for it takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.utils, "clear_session", lambda: None)
        yield


class Killed(BaseException):
    """Nobody catches it."""


class KilledTrain(FakeTrain):
    """Is killed in its second call, and at the end of its fifth."""

    calls = 0

    def __call__(self, config, path):
        self.calls += 1
        if self.calls == 2:
            path.mkdir(parents=True)
            (path / "unfinished-config.json").write_text('{"bud')
            raise Killed
        super().__call__(config, path)
        if self.calls == 5:
            raise Killed


def tuned(path, data_dir, space=None, **kwargs):
    arguments = {"num_trials": NUM_TRIALS} | kwargs
    config = tuner_program.make_config(data_dir)
    return tune.tune(
        config, space or tuner_program.make_space(), path, **arguments
    )


@pytest.fixture(scope="module")
def killed_twice(digits_dir, tmp_path_factory):
    """`(tuning, rows, times that training began)` of a finished tuning."""
    path = tmp_path_factory.mktemp("searches") / "killed"
    train = KilledTrain()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "train", train)
        for _ in range(2):
            with pytest.raises(Killed):
                tuned(path, digits_dir)
        found, rows = tuned(path, digits_dir)
    return found, rows, train.calls


def test_killed_twice_a_tuning_has_every_trial_once(killed_twice):
    found, rows, calls = killed_twice
    names = [str(number) for number in range(NUM_TRIALS)]
    assert [row["trial"] for row in rows] == names
    assert sorted(p.name for p in found.trials.iterdir()) == names
    for directory in found.trials.iterdir():
        assert len(list(directory.glob("events*"))) == 1
    statuses = [row["status"] for row in rows]
    assert set(statuses) == {"completed", "infeasible"}
    completed = [row for row in rows if row["status"] == "completed"]
    # Those that were killed have begun twice.
    assert calls == len(completed) + 2
    for row in completed:
        config = config_of(row["config"])
        expected = tuner_program.measure(config)
        for name in hparams.METRICS:
            assert row["metrics"][name] == expected[name]
        assert row["metrics"]["val_loss"] == expected["nll"] + 1
    for row in rows:
        if row["status"] == "infeasible":
            assert "The smallest budget that works is" in row["reason"]
    assert json.loads((found.path / "results.json").read_text()) == rows


def test_every_trial_is_the_config_with_what_was_drawn(
    killed_twice, digits_dir
):
    _, rows, _ = killed_twice
    base = tuner_program.make_config(digits_dir).to_dict()
    for row in rows:
        config, values = config_of(row["config"]), row["hyperparameters"]
        names = values["members"].split()
        assert [member["name"] for member in config.members] == names
        assert values["num_members"] == len(names)
        expected = ConfigDict(base)
        for name in SECTIONS:
            section_of(expected, name)[name] = values[name]
        expected.members = config.members
        expected.one_network = False
        # The test split is left alone.
        expected.data.validation_fraction = 0.1
        assert config.to_dict() == expected.to_dict()
    for name in ("budget_params", "tau", "beta", "learning_rate"):
        drawn = {row["hyperparameters"][name] for row in rows}
        assert len(drawn) == NUM_TRIALS, name


def ask(url, what, question):
    request = urllib.request.Request(
        f"{url}data/plugin/hparams/{what}",
        data=json.dumps({"experimentName": "", **question}).encode(),
        headers={"Content-Type": "application/json"},
    )
    return json.load(urllib.request.urlopen(request))


def test_tensorboard_shows_every_trial_with_its_metrics(killed_twice):
    found, rows, _ = killed_twice
    board = program.TensorBoard()
    options = ["--port=0", "--load_fast=false", "--reload_interval=1"]
    board.configure(argv=[None, f"--logdir={found.path}", *options])
    url = board.launch()
    statuses = ["STATUS_SUCCESS", "STATUS_FAILURE"]
    question = {"allowedStatuses": statuses, "startIndex": 0, "sliceSize": 99}
    end = time.monotonic() + 60
    groups = []
    while len(groups) < NUM_TRIALS:
        assert time.monotonic() < end, groups
        time.sleep(0.2)
        answer = ask(url, "session_groups", question)
        groups = answer.get("sessionGroups", [])
    shown = {group["name"]: group for group in groups}
    assert sorted(shown) == [row["trial"] for row in rows]
    for row in rows:
        group = shown[row["trial"]]
        (session,) = group["sessions"]
        completed = row["status"] == "completed"
        assert session["status"] == statuses[0 if completed else 1]
        assert group["hparams"] == row["hyperparameters"]
        metrics = {
            value["name"]["tag"]: value["value"]
            for value in group.get("metricValues", [])
        }
        expected = row.get("metrics", {})
        expected = {k: expected[k] for k in hparams.METRICS if k in expected}
        assert metrics == pytest.approx(expected)
    experiment = ask(url, "experiment", {})
    columns = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert columns == list(hparams.METRICS)
    varied = [i["name"] for i in experiment["hparamInfos"] if i["differs"]]
    assert sorted(varied) == sorted(found.varied)


def test_the_table_has_the_best_first_and_marks_the_fronts(killed_twice):
    found, rows, _ = killed_twice
    lines = results.table(found, rows).splitlines()
    assert (found.path / "results.txt").read_text().splitlines() == lines
    completed = [row for row in rows if row["status"] == "completed"]
    by_nll = sorted(completed, key=lambda row: row["metrics"]["nll"])
    for line, row in zip(lines[2:], by_nll, strict=False):
        metrics = row["metrics"]
        cells = line.split()
        assert cells[0] == row["trial"]
        assert f"{metrics['accuracy']:.2%}" in cells
        assert f"{metrics['nll']:.4f}" in cells
        assert f"{metrics['trainable_parameters']:,}" in cells
        smaller = [
            other["metrics"]
            for other in completed
            if other["metrics"]["trainable_parameters"]
            <= metrics["trainable_parameters"]
        ]
        marks = cells[1] if not cells[1][0].isdigit() else ""
        best = max(each["accuracy"] for each in smaller)
        assert ("*" in marks) == (metrics["accuracy"] == best)
        least = min(each["nll"] for each in smaller)
        assert ("+" in marks) == (metrics["nll"] == least)
    infeasible = [line for line in lines if " infeasible: " in line]
    assert len(infeasible) == len(rows) - len(completed)


def test_the_fronts_are_a_file_and_an_image(killed_twice):
    assert_figure(killed_twice[0].path, "search/pareto")


def test_what_a_run_prints_is_kept_with_it(killed_twice):
    found, rows, _ = killed_twice
    for row in rows:
        output = (found.trials / row["trial"] / "output.txt").read_text()
        assert ("training" in output) == (row["status"] == "completed")


def test_what_is_finished_is_not_tuned_again(
    killed_twice, digits_dir, monkeypatch
):
    found, rows, _ = killed_twice
    monkeypatch.setattr(tuning, "train", lambda *_: pytest.fail("again"))
    assert tuned(found.path, digits_dir)[1] == rows


def test_with_more_trials_it_goes_on(
    killed_twice, digits_dir, tmp_path, monkeypatch
):
    found, rows, _ = killed_twice
    path = shutil.copytree(found.path, tmp_path / "copy")
    monkeypatch.setattr(tuning, "train", FakeTrain())
    _, more = tuned(path, digits_dir, num_trials=NUM_TRIALS + 1)
    assert len(more) == NUM_TRIALS + 1
    for before, after in zip(rows, more, strict=False):
        assert before["hyperparameters"] == after["hyperparameters"]


def test_another_tuning_is_refused_untouched(killed_twice, digits_dir):
    found, _, _ = killed_twice
    before = contents(found.path)
    space = tuner_program.make_space()
    space.tau = (-0.5, 0.25)
    for other, told in (
        ({"space": space}, r"space.tau\[1\]: 0.5 -> 0.25"),
        ({"algorithm": "bayesian"}, '"random" -> "bayesian"'),
        ({"objective": "ece"}, 'objective: "nll" -> "ece"'),
    ):
        with pytest.raises(ValueError, match=told):
            tuned(found.path, digits_dir, **other)
    assert contents(found.path) == before


def test_a_directory_of_something_else_is_refused_untouched(
    digits_dir, tmp_path
):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="no search.json but thesis.tex"):
        tuned(tmp_path, digits_dir)
    assert contents(tmp_path) == before


def test_killed_before_it_began_a_tuning_begins(digits_dir, tmp_path):
    (tmp_path / "lock").write_text("")
    (tmp_path / "unfinished-search.json").write_text('{"algor')
    config, space = tuner_program.make_config(digits_dir), {"tau": (0.0, 0.5)}
    arguments = (tmp_path, "random", "nll", 1)
    tuning.Tuning(config, ConfigDict(space), *arguments).check()


def test_one_process_at_a_time_owns_a_tuning(digits_dir, tmp_path):
    with (
        lock.only_process(tmp_path),
        pytest.raises(ValueError, match="in use by process.*KerasTuner's env"),
    ):
        tuned(tmp_path, digits_dir)


class Failing(FakeTrain):
    """Gives no number at first, then runs out of memory."""

    calls = 0

    def __call__(self, config, path):
        self.calls += 1
        metrics = super().__call__(config, path)
        if self.calls == 1:
            file = path / "metrics.json"
            file.write_text(json.dumps(metrics | {"nll": float("nan")}))
        else:
            raise MemoryError("no more")


def test_errors_are_told_and_three_in_a_row_end_a_tuning(
    digits_dir, tmp_path, monkeypatch
):
    space = tuner_program.make_space()
    space.budget_params = (1.5, 2.0)
    monkeypatch.setattr(tuning, "train", Failing())
    told = "3 trials in a row.* the last of them in MemoryError: no more"
    with pytest.raises(ValueError, match=told):
        tuned(tmp_path, digits_dir, space)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["status"] for row in rows] == ["failed"] * 4
    assert "`nll` is not defined: nan" in rows[0]["reason"]
    output = (tmp_path / "trials" / "3" / "output.txt").read_text()
    assert "Traceback" in output and "MemoryError" in output
    # The same command goes on.
    monkeypatch.setattr(tuning, "train", FakeTrain())
    _, rows = tuned(tmp_path, digits_dir, space, num_trials=5)
    statuses = [row["status"] for row in rows]
    assert statuses == ["failed"] * 4 + ["completed"]


def test_the_file_of_the_best_trial_reproduces_what_was_reported(
    digits_dir, tmp_path, no_figures
):
    """With nothing else stubbed."""
    config = tuner_program.make_config(digits_dir)
    config.members = ({"model": "wide_resnet", "depth": 10, "width": 1},)
    config.epochs = 1
    space = ConfigDict({"budget_params": (0.9, 1.2), "tau": (0.0, 0.2)})
    found, rows = tune.tune(config, space, tmp_path / "one", num_trials=1)
    (best,) = results.ranked(found, rows)
    again = train(config_of(best["config"]), tmp_path / "again")
    assert again["split"] == "validation"
    assert again["search"]["tau"] <= best["hyperparameters"]["tau"]
    for name in hparams.METRICS:
        assert best["metrics"][name] == pytest.approx(again[name], rel=1e-4)
