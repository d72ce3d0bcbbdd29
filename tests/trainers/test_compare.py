"""Comparisons: methods, budgets and seeds, each run a process."""

import json

import numpy as np
import pytest

from configs import base
from configs import compare_digits
from keras_superweights.files import write_json
from tests.trainers.files import assert_figure
from tests.trainers.files import config_of
from tests.trainers.files import contents
from trainers import compare
from trainers.comparing import results
from trainers.comparing.runs import Run
from trainers.phases import report
from trainers.phases.training import train
from trainers.runs.reading import read_json

METHODS = {
    "fair": {"sharing": base.rule("FairShares")},
    "deep": {"baseline": "unshared"},
    "slow": {
        "sharing": base.rule("FairShares"),
        "optimizer": {"momentum": 0.5},
    },
}
NLL = {"fair": 0.2, "deep": 0.1, "slow": 0.3}


@pytest.fixture
def comparison(tiny_config, finished_run, tmp_path, monkeypatch):
    """Compares without training; knows what would have been trained."""

    class Comparison:
        path = tmp_path / "compared"
        trained = []
        failing = set()

        def __call__(self, methods=METHODS, budgets=(0.75,), seeds=(0, 1)):
            config = base.comparison(tiny_config, methods, budgets, seeds)
            return compare.compare(config, self.path, processes=1)

    def run(self, program, flag, threads):
        comparison_.trained.append(self.directory.name)
        if self.method in comparison_.failing:
            self.output.write_text("Traceback\nMemoryError: too much\n\n")
            return 1
        config = config_of(self.config_file)
        assert flag == f"--config={self.config_file}"
        self.workdir.open(config)
        metrics = dict(finished_run[2])
        metrics["nll"] = NLL[self.method] + self.seed / 100
        write_json(self.workdir.metrics, metrics)
        return 0

    comparison_ = Comparison()
    monkeypatch.setattr(Run, "_run", run)
    return comparison_


def test_every_method_budget_and_seed_is_a_run(comparison, tiny_config):
    rows = comparison(budgets=(0.75, 0.7))
    expected = [
        f"{method}-{budget}-seed_{seed}"
        for method in ("fair", "slow")
        for budget in ("0.75", "0.7")
        for seed in (0, 1)
    ]
    # Whatever the budget, the deep ensemble is the same.
    expected += ["deep-any-seed_0", "deep-any-seed_1"]
    assert sorted(comparison.trained) == sorted(expected)
    assert [row["status"] for row in rows] == ["completed"] * 10
    assert read_json(comparison.path / "results.json") == rows

    config = config_of(comparison.path / "slow-0.7-seed_1" / "config.py")
    changed = tiny_config.copy_and_resolve_references().unlock()
    changed.update({"seed": 1, "budget_params": 0.7})
    changed.optimizer.momentum = 0.5
    changed.sharing = base.rule("FairShares")
    assert config.to_dict() == changed.to_dict()
    assert_figure(comparison.path, "comparison/budgets", step=10)
    # Again, nothing is trained; one that is added is.
    assert comparison(budgets=(0.75, 0.7)) == rows
    assert len(comparison.trained) == 10
    comparison(budgets=(0.75, 0.7), seeds=(0, 1, 2))
    assert len(comparison.trained) == 15


def test_the_table_has_means_and_spreads_the_best_first(comparison):
    rows = comparison(budgets=(0.75, 0.7), seeds=(0, 1, 3))
    text = results.table(rows)
    first, second = text.split("budget 0.7 ")
    assert first.startswith("budget 0.75")
    for part in (first, second):
        names = [line.split()[0] for line in part.splitlines()[2:5]]
        assert names == ["deep", "fair", "slow"]
    values = [NLL["fair"] + seed / 100 for seed in (0, 1, 3)]
    shown = f" {np.mean(values):.4f} ±{np.std(values, ddof=1):.4f} "
    assert shown in text.splitlines()[3]
    assert "deviation" in text
    assert (comparison.path / "results.txt").read_text() == text + "\n"


def test_one_that_fails_leaves_the_others(comparison):
    comparison.failing = {"slow"}
    methods = {**METHODS, "narrow": {"baseline": "narrow"}}
    rows = comparison(methods, budgets=(101.0,), seeds=(0,))
    found = {row["method"]: row["status"] for row in rows}
    assert found == {
        **dict.fromkeys(methods, "infeasible"),
        "deep": "completed",
    }
    rows = comparison(seeds=(0,))
    found = {row["method"]: row for row in rows}
    assert found["slow"]["status"] == "failed"
    assert found["slow"]["reason"] == "exit status 1: MemoryError: too much"
    assert "slow 0.75 seed 0: failed: exit status 1" in results.table(rows)
    # The same command tries it again.
    comparison.failing = set()
    assert {row["status"] for row in comparison(seeds=(0,))} == {"completed"}
    assert comparison.trained.count("slow-0.75-seed_0") == 2


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"methods": {}}, "`config.methods` must have"),
        ({"methods": {"a/b": {}}}, "`config.methods`.*'a/b'"),
        ({"methods": {"a": {"rule": "FairShares"}}}, "methods.a`.*'rule'"),
        ({"methods": {"a": {"seed": 3}}}, "methods.a`.*'seed'"),
        ({"methods": {"a": {"baseline": "half"}}}, "a.baseline`.*'half'"),
        ({"methods": {"a": {"search": {"taau": 1}}}}, "a.search`.*'taau'"),
        ({"methods": {"a": {"search": 1}}}, "a.search`.*Received: 1"),
        ({"methods": {"a": {"epochs": "9"}}}, "config.epochs`.*'9'"),
        ({"budgets": ()}, "`config.budgets`"),
        ({"budgets": ("half",)}, "`config.budgets`.*'half'"),
        ({"seeds": (0, 0)}, "`config.seeds`"),
        ({"seeds": (True,)}, "`config.seeds`.*True"),
        ({"corruptions": ("rain",)}, "`config.corruptions`.*'rain'"),
        ({"processes": 0}, "`--processes`.*0"),
    ],
)
def test_what_describes_no_comparison_is_refused(
    tiny_config, tmp_path, changes, told
):
    arguments = {"methods": METHODS, "budgets": (0.75,), "seeds": (0,)}
    processes = changes.pop("processes", 2)
    corruptions = changes.pop("corruptions", ())
    config = base.comparison(tiny_config, **{**arguments, **changes}).unlock()
    config.corruptions = corruptions
    with pytest.raises(ValueError, match=told):
        compare.compare(config, tmp_path / "new", processes)
    assert not (tmp_path / "new").exists()


def test_what_belongs_to_something_else_is_left_alone(
    comparison, tiny_config, tmp_path
):
    comparison(seeds=(0,))
    before = contents(comparison.path)
    tiny_config.epochs = 1
    with pytest.raises(ValueError, match="another config.*\n.*epochs: 2 -> 1"):
        comparison(seeds=(0,))
    comparison.path = tmp_path / "others"
    comparison.path.mkdir()
    (comparison.path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="directory of a comparison"):
        comparison()
    assert len(list(comparison.path.iterdir())) == 1
    assert contents(tmp_path / "compared") == before


def test_runs_are_processes_whose_memory_is_known(tiny_config, tmp_path):
    tiny_config.epochs = 1
    tiny_config.data.test_split = "test[:20]"
    methods = {"fair": {"sharing": base.rule("FairShares")}}
    config = base.comparison(tiny_config, methods, (0.75,), (0,)).unlock()
    config.corruptions = ("contrast",)
    (row,) = compare.compare(config, tmp_path / "compared")
    assert row["status"] == "completed"
    assert 2e8 < row["memory"] < 4e9
    assert 0 <= row["corrupted_accuracy"] <= 1 < row["corrupted_nll"]
    text = (tmp_path / "compared" / "results.txt").read_text()
    assert "peak MB" in text and "corrupted NLL" in text
    run = tmp_path / "compared" / "fair-0.75-seed_0" / "run"
    assert row["nll"] == json.loads((run / "metrics.json").read_text())["nll"]


def test_members_in_one_network_are_a_method(tiny_config, tmp_path):
    tiny_config.epochs = 1
    tiny_config.data.test_split = "test[:20]"
    kind = {"kind": "MIMO", "num_members": 3, "batch_repetition": 1}
    methods = {"mimo": {"baseline": "one_network", "ensemble": kind}}
    config = base.comparison(tiny_config, methods, (0.75,), (0,))
    (run,) = compare._runs(config, tmp_path)
    run.plan()
    metrics = train(run.config, run.workdir.path)
    assert len(metrics["members"]) == 3 and len(metrics["anytime"]) == 1
    row = run.result()
    (member, *_) = metrics["members"]
    assert row["flops"] == member["flops"]
    assert row["parameters"] == member["parameters"]
    assert "ensemble of 3" in report.table(metrics)


def test_methods_of_the_config_fit_its_budget(tmp_path):
    config = compare_digits.get_config()
    compare.check(config)
    for run in compare._runs(config, tmp_path):
        if run.seed == 0:
            run.plan()
