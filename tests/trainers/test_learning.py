"""The phase that learns stores: its files, and a run that was interrupted."""

import keras
import pytest

from keras_superweights.allocation import Allocation
from tests.builders import Interrupt
from tests.builders import Interrupted
from tests.trainers.files import edit_json
from trainers.phases import experiment
from trainers.phases.training import train
from trainers.runs.reading import read_json


@pytest.fixture
def config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.sharing = {"rule": "Shapeshifter", "num_stores": 3}
        tiny_config.members = tiny_config.members[:1]
        tiny_config.search.pretrain_epochs = 2
        tiny_config.epochs = 1
    return tiny_config


def test_a_run_learns_its_stores_trains_and_continues(
    config, tmp_path, no_figures
):
    whole = tmp_path / "whole"
    metrics = train(config, whole)
    notes = read_json(whole / "search" / "stores.json")
    assert len(notes["history"]["loss"]) == 2
    text = (whole / "allocation.json").read_text()
    allocation = Allocation.from_json(text)
    stores = {
        kernel: superweight.bank
        for superweight in allocation.superweights
        for kernel in superweight.kernels
    }
    assert [stores[k] for k in sorted(stores)] == notes["stores"]
    assert len(allocation.banks) == 3
    assert metrics["trainable_parameters"] == allocation.num_params

    # Interrupted in the pretraining, a run ends with the same.
    path = tmp_path / "parts"
    fit = keras.Model.fit

    def interrupted(self, *args, callbacks, **kwargs):
        kwargs["callbacks"] = [*callbacks, Interrupt(epoch=1, step=0)]
        return fit(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", interrupted)
        with pytest.raises(Interrupted):
            train(config, path)
    assert not (path / "search" / "stores.json").exists()
    assert len(list((path / "search" / "backup").iterdir())) == 1
    again = train(config, path)
    assert (path / "allocation.json").read_text() == text
    assert again["nll"] == pytest.approx(metrics["nll"], rel=1e-3)

    # What was edited or is missing is told and left.
    (whole / "metrics.json").unlink()
    file = whole / "search" / "stores.json"
    edit_json(file, lambda notes: notes["history"].update(loss=[2.0, 1.0]))
    with pytest.raises(ValueError, match="stores.json is damaged"):
        train(config, whole)
    (whole / "search" / "SHA256SUMS").unlink()
    edit_json(file, lambda notes: notes["stores"].reverse())
    edit_json(file, lambda notes: notes["stores"].append(9))
    before = file.read_text()
    with pytest.raises(ValueError, match="stores.json does not fit"):
        train(config, whole)
    assert file.read_text() == before
    file.unlink()
    with pytest.raises(ValueError, match="stores.json, from which it follows"):
        train(config, whole)


def test_the_plan_is_that_of_the_pretraining(config):
    members = experiment.members(config)
    allocation = experiment.allocate(config, members)
    (bank,) = allocation.banks
    assert {p.num_templates for p in allocation.superweights} == {4}
    assert allocation.sharing.endswith("pretraining")


def test_stores_are_given_or_learned_not_both(config):
    experiment.check(config)
    with config.unlocked():
        config.sharing = {"rule": "Shapeshifter", "stores": "shape"}
    with pytest.raises(ValueError, match="`stores` are not given yet"):
        experiment.check(config)
