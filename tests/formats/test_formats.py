"""Files that were written once are read ever after."""

import pathlib

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from configs import base
from configs import digits
from tests.formats import write_files
from trainers.runs.workdir import Workdir

HERE = pathlib.Path(__file__).parent
FORMATS = sorted(
    int(path.stem.split("-")[1]) for path in HERE.glob("allocation-*.json")
)

every_format = pytest.mark.parametrize("number", FORMATS)


def test_there_are_files_of_the_format_of_today():
    from keras_superweights.allocation import text
    from keras_superweights.training import network
    from trainers.runs import workdir

    newest = {text.FORMAT, network.FORMAT, workdir.FORMAT}
    assert newest == {FORMATS[-1]}


@every_format
def test_allocations_are_read(number):
    text = (HERE / f"allocation-{number}.json").read_text()
    allocation = ksw.Allocation.from_json(text)
    assert allocation.sharing == "SuperWeights(depth_bins=2, tied=True)"
    network = ksw.SuperWeightNetwork(
        [ksw.models.wide_resnet(10, width, 10, (8, 8, 1)) for width in (2, 1)],
        allocation=allocation,
    )
    scalars = sum(np.prod(v.shape) for v in network.trainable_variables)
    assert scalars == allocation.num_params <= allocation.budget_params
    assert all(
        set(superweight.ties) <= {0} for superweight in allocation.superweights
    )


@every_format
def test_networks_are_read_and_predict_what_they_did(number):
    network = keras.models.load_model(HERE / f"network-{number}.keras")
    expected = np.load(HERE / f"predictions-{number}.npy")
    np.testing.assert_allclose(
        network(write_files.INPUTS), expected, rtol=1e-5, atol=1e-6
    )
    assert isinstance(network.ensemble, ksw.ensembles.MultiLabel)


@every_format
def test_runs_are_read_and_belong_to_their_config(number):
    """Also of a search from before it had a beta, which tied clusters."""
    config = digits.get_config("quick").unlock()
    config.one_network = False  # as in runs that are older than this key
    config.sharing = base.rule("SuperWeights", clusters="depth")
    config.search.beta = None
    config.decouple.epoch = 1
    Workdir(HERE / f"run-{number}").check(config)


@pytest.mark.parametrize(
    ("number", "told"), [(0, "version 0.1.0"), (2, "newer version")]
)
def test_other_formats_of_networks_say_which_version_to_use(number, told):
    network = write_files.network()
    config = network.get_config() | {"format": number}
    with pytest.raises(ValueError, match=told):
        ksw.SuperWeightNetwork.from_config(config)
