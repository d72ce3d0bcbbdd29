"""KerasTuner on members and data of one's own, with all phases."""

import sys

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.tuning import HyperModel
from keras_superweights.tuning import Space
from keras_superweights.tuning import hypermodel
from tests.builders import perceptron

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras_tuner"
)


def mlp(width):
    return lambda: perceptron(
        width, 3, 6, activation="relu", name=f"mlp_{width}"
    )


MEMBERS = {"wide": mlp(8), "narrow": mlp(6)}
SPACE = Space(
    budget_params=(0.8, 1.2),
    tau=(-0.5, 0.5),
    depth_bins=(1,),
    num_members=(1, 2),
)


@pytest.fixture
def data():
    # Of a few steps, a graph costs mostly its tracing.
    tf.config.run_functions_eagerly(True)
    draw = np.random.default_rng(0)
    images = draw.uniform(size=(48, 6)).astype("float32")
    labels = (images.sum(1) * 2).astype(int) % 3
    yield tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    tf.config.run_functions_eagerly(False)


def tuner(directory):
    model = HyperModel(MEMBERS, SPACE, directory / "found", pretrain_epochs=1)
    return keras_tuner.RandomSearch(
        model, "val_loss", max_trials=2, seed=1, directory=directory
    )


def test_each_trial_searches_once_and_the_best_can_be_had(
    data, tmp_path, monkeypatch
):
    searches = []

    def find_clusters(members, budget_params, *args, **kwargs):
        searches.append((len(members), budget_params, kwargs["tau"]))
        assert kwargs["beta"] == 0.9
        return found(members, budget_params, *args, **kwargs)

    found = hypermodel.find_clusters
    monkeypatch.setattr(hypermodel, "find_clusters", find_clusters)
    first = tuner(tmp_path)
    first.search(data, validation_data=data, epochs=2, verbose=0)
    trials = first.oracle.trials.values()
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    settings = [
        SPACE.settings(trial.hyperparameters.values) for trial in trials
    ]
    assert searches == [
        (len(s["members"]), s["budget_params"], s["tau"]) for s in settings
    ]

    best = min(trials, key=lambda trial: trial.score)
    expected = SPACE.settings(best.hyperparameters.values)
    # Also of a tuner that was started again, which has only the files.
    for each in (first, tuner(tmp_path)):
        (network,) = each.get_best_models()
        loss = network.evaluate(data, verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(best.score)
        assert len(network.members) == len(expected["members"])
        allocation = network.allocation
        assert allocation.budget_params == int(
            expected["budget_params"] * allocation.independent_params
        )
    # Nor does a later round of Hyperband search again.
    again = first.hypermodel.build(best.hyperparameters)
    assert again.allocation.clusters == network.allocation.clusters
    first.hypermodel.fit(best.hyperparameters, again, data, verbose=0)
    assert len(searches) == 2


@pytest.mark.parametrize("decouple_epoch", [None, 1])
def test_beta_decides_in_the_search_or_after_epochs(
    data, tmp_path, decouple_epoch
):
    """At -1 a member's kernels stay tied: all, or only those inside it."""
    space = Space(budget_params=(1.0, 1.0), beta=(-1.0, -1.0))
    model = HyperModel(
        MEMBERS,
        space,
        tmp_path,
        tau=-1,
        pretrain_epochs=1,
        decouple_epoch=decouple_epoch,
    )
    hp = hyperparameters(budget_params=1.0, beta=-1.0)
    callbacks = [noted := keras.callbacks.Callback()]
    network = model.build(hp)
    model.fit(hp, network, data, callbacks=callbacks, verbose=0)
    allocation = noted.model.allocation
    for superweight in allocation.superweights:
        members = [allocation.kernels[k].member for k in superweight.kernels]
        first = [members.index(m) for m in members]
        expected = (0,) * len(members) if decouple_epoch else tuple(first)
        assert superweight.ties in (expected, ())


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values = values
    return hp


def test_a_budget_that_cannot_be_met_is_a_failed_trial(tmp_path):
    model = HyperModel(MEMBERS, Space(budget_params=(0.01, 1)), tmp_path)
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="smallest budget"
    ):
        model.build(hyperparameters(budget_params=0.01))


def test_what_is_not_searched_is_as_said(tmp_path):
    model = HyperModel(
        MEMBERS,
        Space(budget_params=(0.5, 4), max_templates=(1, 3)),
        tmp_path,
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.Adam,
        learning_rate=0.02,
        weight_decay=0.0,
    )
    with pytest.raises(ValueError, match="from_logits"):
        model.build(hyperparameters(budget_params=4.0, max_templates=3))
    model.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network = model.build(hyperparameters(budget_params=4.0, max_templates=3))
    assert [member.name for member in network.members] == ["mlp_8", "mlp_6"]
    superweights = network.allocation.superweights
    assert max(each.num_templates for each in superweights) == 3
    assert isinstance(network.optimizer, keras.optimizers.Adam)
    assert float(network.optimizer.learning_rate) == pytest.approx(0.02)
    assert network.weight_decay == 0.0


def test_the_tuned_rate_is_the_optimizers(tmp_path):
    space = Space(budget_params=(0.5, 1), learning_rate=(0.01, 0.5))
    hp = hyperparameters(budget_params=1.0, learning_rate=0.25)
    network = HyperModel(MEMBERS, space, tmp_path).build(hp)
    assert isinstance(network.optimizer, keras.optimizers.SGD)
    assert float(network.optimizer.learning_rate) == 0.25


@pytest.mark.parametrize(
    "members, space, told",
    [
        ([mlp(8)], SPACE, "`members` must be a dict"),
        ({}, SPACE, "`members` must be a dict"),
        (MEMBERS, Space(tau=(0, 1)), "with `budget_params`"),
        (MEMBERS, {"budget_params": (0.1, 1)}, "must be a `Space`"),
    ],
    ids=["list", "empty", "no budget", "dict"],
)
def test_bad_arguments_are_refused(members, space, told, tmp_path):
    with pytest.raises((TypeError, ValueError), match=told):
        HyperModel(members, space, tmp_path)


def test_without_keras_tuner_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    for name in ("extra", "hypermodel", "oracles", "trial_space"):
        module = f"keras_superweights.tuning.{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
    # The space needs none of it.
    assert ksw.tuning.Space(tau=(0, 1)).names == ("tau",)
    for name in ("HyperModel", "make_oracle"):
        with pytest.raises(ImportError, match=r"keras_superweights\[tuning\]"):
            getattr(ksw.tuning, name)
