"""Prepared tfds directories with the digits and with sets for the tests."""

import pytest
import tensorflow_datasets as tfds

from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import examples
from tests.datasets import sets


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tiny")
    sets.TinyColours(data_dir=data_dir).download_and_prepare()
    sets.TinyPhotos(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    sets.BrokenColours(data_dir=data_dir).download_and_prepare()
    return data_dir


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("digits")
    ImagePipeline(name="sklearn_digits", data_dir=data_dir)
    return data_dir


@pytest.fixture
def make_pipeline(tiny_dir):
    """Makes a pipeline on `TinyColours`, 8 examples per batch."""

    def make(**options):
        options = {"name": "tiny_colours", "batch_size": 8} | options
        return ImagePipeline(data_dir=tiny_dir, **options)

    return make


@pytest.fixture
def make_photos(make_pipeline):
    """Makes a pipeline on `TinyPhotos`, 12 pixels, 4 examples per batch."""

    def make(**options):
        options = {"size": 12, "batch_size": 4} | options
        return make_pipeline(name="tiny_photos", **options)

    return make


@pytest.fixture
def from_disk(monkeypatch):
    """Makes all sets too large for memory."""
    monkeypatch.setattr(examples, "_LARGEST_IN_MEMORY", 0)
