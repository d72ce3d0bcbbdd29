"""Studies: one run for each value, the pretraining done once."""

import json

import keras
import pytest

from keras_superweights.files import write_json
from tests.trainers.files import assert_figure
from tests.trainers.files import contents
from trainers import sensitivity
from trainers.phases import experiment
from trainers.runs import lock
from trainers.runs.workdir import Workdir


@pytest.fixture
def study(tiny_config, tmp_path, monkeypatch):
    """Runs a study whose training is stubbed; and who has done what."""
    tiny_config.search.pretrain_epochs = 2

    class Study:
        path = tmp_path / "study"
        trained = []
        adopted = []

        def __call__(self, name, values=None, **changes):
            for key, value in changes.items():
                tiny_config[key] = value
            return sensitivity.study(tiny_config, self.path, name, values)

    def train(config, path):
        workdir = Workdir(path)
        workdir.open(config)
        if not workdir.metrics.exists():
            study_.trained.append((path.name, config.to_dict()))
            write_json(workdir.metrics, measured(config))
        return json.loads(workdir.metrics.read_text())

    def adopt(config, workdir, other, start):
        study_.adopted.append((workdir.path.name, other.path.name))

    def allocate(config, members):
        if config.budget_params < 0.5:
            raise ValueError("The smallest budget that works is 77562.")

    study_ = Study()
    monkeypatch.setattr(sensitivity, "train", train)
    monkeypatch.setattr(experiment, "members", lambda config: [])
    monkeypatch.setattr(experiment, "allocate", allocate)
    # There is nothing to free, but looking for it takes its time.
    monkeypatch.setattr(keras.utils, "clear_session", lambda: None)
    monkeypatch.setattr(sensitivity, "adopt", adopt)
    return study_


def measured(config):
    members = [
        {"name": n, "accuracy": a} for n, a in (("one", 0.5), ("b", 0.6))
    ]
    return {
        "accuracy": 0.7 + config.search.tau / 10,
        "nll": 1.0,
        "ece": 0.1,
        "diversity": None,
        "budget_params": int(config.budget_params * 155_124),
        "members": members,
        "anytime": [
            {"members": [0], "flops": 10**6, "accuracy": 0.5},
            {"members": [1], "flops": 2 * 10**6, "accuracy": 0.6},
            {"members": [0, 1], "flops": 3 * 10**6, "accuracy": 0.7},
        ],
        "search": {"tau": min(0.3, config.search.tau), "num_clusters": 4},
    }


@pytest.mark.parametrize(
    "name, section",
    [("tau", "search"), ("beta", "search"), ("beta", "decouple")],
)
def test_each_threshold_is_a_run_of_its_own_with_one_pretraining(
    study, tiny_config, name, section
):
    values = sensitivity.THRESHOLDS[name]
    if section == "decouple":
        tiny_config.update({"search": {"beta": None}, section: {"epoch": 1}})
    rows = study(name)
    assert [row["value"] for row in rows] == list(values)
    directories = [f"{name}_{value:g}" for value in values]
    assert [directory for directory, _ in study.trained] == directories
    for value, (_, config) in zip(values, study.trained, strict=True):
        expected = tiny_config.to_dict()
        expected[section][name] = value
        assert config == expected
    # All from the first.
    assert study.adopted == [(d, directories[0]) for d in directories[1:]]
    assert json.loads((study.path / "results.json").read_text()) == rows
    # Again, nothing is trained.
    assert study(name) == rows
    assert len(study.trained) == len(values)


def test_budgets_are_those_of_the_paper_in_the_size_of_the_config(study):
    rows = study("budget", budget_params=2.0)
    budgets = [config["budget_params"] for _, config in study.trained]
    assert budgets == [0.8219, 2.0]  # 15 and 36.5 millions of 36.5
    # 7 are too few for these members.
    assert rows[0]["value"] == 0.3836
    assert rows[0]["infeasible"] == "The smallest budget that works is 77562."
    # What is pretrained depends on the budget.
    assert study.adopted == []
    assert "budget 0.3836: The smallest" in sensitivity.table("budget", rows)


def test_a_budget_in_scalars_stays_one(tiny_config):
    tiny_config.budget_params = 36.5e6
    values = sensitivity._values(tiny_config, "budget")
    assert values == [7e6, 15e6, 36.5e6]


def test_values_can_be_given_and_labels_say_what_is_in_force(study):
    rows = study("tau", [0.1, 0.5])
    assert [row["value"] for row in rows] == [0.1, 0.5]
    assert [name for name, _ in study.trained] == ["tau_0.1", "tau_0.5"]
    labels = [row["label"] for row in rows]
    assert labels == ["0.1", "0.5\nin force: 0.3"]
    table = sensitivity.table("tau", rows).splitlines()
    cells = ["0.1", "71.00%", "1.000", "10.00%", "60.00%", "4"]
    assert table[2].split() == cells
    assert table[3].startswith("0.5, in force: 0.3")


def test_the_ends_of_beta_have_the_names_of_the_paper(study):
    labels = [row["label"] for row in study("beta")]
    assert labels == ["shared", "0.1", "0.5", "0.9", "not shared"]


def test_the_figure_is_a_file_and_an_image(study):
    study("tau")
    assert_figure(study.path, "sensitivity/tau")


@pytest.mark.parametrize(
    "arguments, changes, told",
    [
        (("gamma",), {}, "`--study` must be one of.*'gamma'"),
        (("tau", [1.5]), {}, "config.search`.*`tau`.*-1 to 1.*1.5"),
        (("budget", [1e-4]), {}, "No budget can be met"),
        (("tau", [0.1, 0.1]), {}, r"different numbers.*\[0.1, 0.1\]"),
        (("tau",), {"strategy": "mirrored"}, "one device.*'mirrored'"),
        (("tau",), {"search": {"pretrain_epochs": 0}}, "`tau` has no effect"),
        (("beta",), {"search": {"beta": None}}, "`beta` has no effect"),
    ],
    ids=str,
)
def test_what_is_no_study_is_refused(
    study, tiny_config, arguments, changes, told
):
    tiny_config.update(changes)
    with pytest.raises(ValueError, match=told):
        study(*arguments)
    assert study.trained == [] and not study.path.exists()


def test_what_belongs_to_something_else_is_refused_untouched(study):
    study.path.mkdir()
    (study.path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="no study.json but thesis.tex"):
        study("tau")
    (study.path / "thesis.tex").unlink()
    study("tau", [0.5])
    before = contents(study.path)
    with pytest.raises(ValueError, match='study: "tau" -> "beta"'):
        study("beta", [0.5])
    with (
        lock.only_process(study.path),
        pytest.raises(ValueError, match="in use by process"),
    ):
        study("tau", [0.1])
    assert contents(study.path) == before
    assert len(study.trained) == 1
    # An older version wrote no study.json.
    (study.path / "study.json").unlink()
    study("tau", [0.5])
    (study.path / "study.json").write_text("[]")
    with pytest.raises(ValueError, match="study.json as it wrote it"):
        study("tau", [0.5])


def test_a_run_of_another_config_is_refused_before_any_is_trained(study):
    study("tau", [0.5])
    with pytest.raises(ValueError, match="epochs: 2 -> 3"):
        study("tau", [0.1, 0.5], epochs=3)
    assert len(study.trained) == 1
    assert not (study.path / "tau_0.1").exists()
