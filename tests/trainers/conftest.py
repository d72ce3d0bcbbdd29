"""The smallest runs there are: two members, four batches an epoch."""

import contextlib

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from configs import digits
from keras_superweights.callbacks import inspector
from keras_superweights.datasets import ImagePipeline


@contextlib.contextmanager
def eagerly():
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture(autouse=True)
def eager():
    """A graph costs mostly its tracing; `test_programs.py` has graphs."""
    with eagerly():
        yield


@pytest.fixture
def no_figures(monkeypatch):
    """To draw them takes a third of the time of a short run."""
    monkeypatch.setattr(inspector, "_write_images", lambda *_: None)


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A tfds directory of the tests' own, where digits are prepared."""
    tfds.disable_progress_bar()
    return str(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def tiny_config(digits_dir):
    return make_tiny_config(digits_dir)


@pytest.fixture(scope="session")
def finished_run(digits_dir, tmp_path_factory):
    """`(config, directory, metrics)` of a finished run without a search."""
    return finish(make_tiny_config(digits_dir), tmp_path_factory)


@pytest.fixture(scope="session")
def searched_run(digits_dir, tmp_path_factory):
    """The same of one that searches as the papers, and holds images out.

    Figures are left out.
    """

    def refuse(self, *shards):
        raise AssertionError("The test split was looked at.")

    config = make_tiny_config(digits_dir)
    config.data.validation_fraction = 0.25
    config.search.pretrain_epochs = 2
    config.search.beta = None
    config.decouple.epoch = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImagePipeline, "test", refuse)
        patch.setattr(inspector, "_write_images", lambda *_: None)
        return finish(config, tmp_path_factory)


def finish(config, tmp_path_factory):
    from trainers.phases.training import train

    path = tmp_path_factory.mktemp("runs") / "finished"
    with eagerly():
        return config, path, train(config, path)


def make_tiny_config(data_dir):
    config = digits.get_config("quick")
    config.data.data_dir = data_dir
    config.data.train_split = "train[:256]"
    config.data.test_split = "test[:100]"
    config.members = (
        {"model": "wide_resnet", "depth": 10, "width": 1, "name": "first"},
        {"model": "wide_resnet", "depth": 10, "width": 1, "name": "second"},
    )
    config.budget_params = 0.75
    config.one_network = False
    config.search.pretrain_epochs = 0
    config.epochs = 2
    # It holds for the whole process, which other tests share.
    config.deterministic = False
    return config
