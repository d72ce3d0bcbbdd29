"""Sets that are prepared in a directory, and the digits, which always are."""

import os
import pathlib
import socket

import numpy as np
import pytest
import sklearn.datasets
import tensorflow_datasets as tfds

import keras_superweights.datasets
from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import SklearnDigits
from keras_superweights.datasets import prepared


def _snapshot(data_dir):
    files = (path for path in pathlib.Path(data_dir).rglob("*"))
    return {path: os.stat(path).st_mtime_ns for path in files}


def test_digits_are_prepared_once_and_need_no_network(tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError("A connection was tried.")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    prepared.open_builder("sklearn_digits", tmp_path)
    before = _snapshot(tmp_path)
    builder = prepared.open_builder("sklearn_digits", tmp_path)
    assert _snapshot(tmp_path) == before
    assert builder.info.splits["train"].num_examples == 1297


def test_two_processes_may_prepare_at_once(tmp_path, monkeypatch):
    generate = SklearnDigits._split_generators
    before = []

    def interrupted(self, dl_manager):
        # While one process prepares the set, another one begins and ends.
        if not before:
            before.append(None)
            prepared.open_builder("sklearn_digits", tmp_path)
            before[0] = _snapshot(tmp_path / "sklearn_digits" / "1.0.0")
        return generate(self, dl_manager)

    monkeypatch.setattr(SklearnDigits, "_split_generators", interrupted)
    builder = prepared.open_builder("sklearn_digits", tmp_path)
    assert builder.info.splits["train"].num_examples == 1297
    # The set of the other process is kept, and no temporary files remain.
    assert _snapshot(tmp_path / "sklearn_digits" / "1.0.0") == before[0] != {}
    (version,) = (tmp_path / "sklearn_digits").iterdir()
    assert version.name == "1.0.0"


def test_a_set_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def fail(self, dl_manager):
        raise OSError("No space left on device.")

    monkeypatch.setattr(SklearnDigits, "_split_generators", fail)
    with pytest.raises(OSError, match="No space left"):
        prepared.open_builder("sklearn_digits", tmp_path)


def test_a_set_is_found_by_name_version_and_directory(tiny_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny_dir))
    monkeypatch.setenv("HOME", str(tiny_dir.parent))
    for arguments in (
        ("tiny_colours", tiny_dir),
        ("tiny_colours:1.2.0", tiny_dir),
        ("tiny_colours",),  # in the directory of tfds
        ("tiny_colours", f"~/{tiny_dir.name}"),
    ):
        builder = prepared.open_builder(*arguments)
        assert builder.info.splits["train"].num_examples == 40


def test_a_missing_set_is_refused_with_the_reason_and_a_way_out(
    tiny_dir, tmp_path
):
    before = _snapshot(tiny_dir)
    there = r"prepared there: .*tiny_colours/1\.2\.0"
    for name, data_dir, reason in (
        ("cifar10", tiny_dir, there),
        ("tiny_colours:3.0.0", tiny_dir, there),
        ("cifar10", tmp_path, "no set is prepared there"),
        ("cifar10", tmp_path / "nowhere", "that directory does not exist"),
    ):
        builder = rf"tfds\.builder\('{name}', data_dir='{data_dir}'\)"
        message = (
            rf"(?s)name='{name}'.*Searched: {data_dir} \({reason}.*"
            rf"{builder}\.download_and_prepare\(\)"
        )
        with pytest.raises(ValueError, match=message):
            prepared.open_builder(name, data_dir)
    assert _snapshot(tiny_dir) == before
    assert not (tmp_path / "nowhere").exists()


def test_the_package_knows_its_public_names_only():
    assert keras_superweights.datasets.SklearnDigits.name == "sklearn_digits"
    assert not hasattr(keras_superweights.datasets, "Cifar")


def read(builder):
    return {
        name: builder.as_dataset(split=name, batch_size=-1)
        for name in ("train", "test")
    }


@pytest.fixture(scope="module")
def splits(digits_dir):
    directory = digits_dir / "sklearn_digits" / "1.0.0"
    return read(tfds.builder_from_directory(directory))


def test_splits_hold_every_digit_of_sklearn_once(splits):
    def as_rows(images, labels):
        rows = np.column_stack([images.reshape(len(images), -1), labels])
        return rows[np.lexsort(rows.T)]

    images = np.concatenate([splits[s]["image"] for s in ("train", "test")])
    labels = np.concatenate([splits[s]["label"] for s in ("train", "test")])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    ink = np.rint(images * (16 / 255))
    digits = sklearn.datasets.load_digits()
    np.testing.assert_array_equal(
        as_rows(ink, labels), as_rows(digits.images, digits.target)
    )


def test_splits_are_stratified_by_class(splits):
    test = np.bincount(splits["test"]["label"])
    train = np.bincount(splits["train"]["label"])
    assert (train.sum(), test.sum()) == (1297, 500)
    share = (train + test) * 500 / 1797
    assert np.all(np.abs(test - share) < 1)


def test_preparing_again_gives_the_same_splits(splits, tmp_path):
    builder = keras_superweights.datasets.SklearnDigits(data_dir=tmp_path)
    builder.download_and_prepare()
    np.testing.assert_equal(tfds.as_numpy(read(builder)), tfds.as_numpy(splits))


def test_known_normalization_is_that_of_the_train_split(digits_dir, splits):
    pixels = np.asarray(splits["train"]["image"]) / 255
    # Constants belong to the set, not to the part used for training.
    for part in ("train", "train[:200]"):
        pipeline = ImagePipeline(
            name="sklearn_digits", data_dir=digits_dir, train_split=part
        )
        np.testing.assert_allclose(pipeline.mean, pixels.mean(), atol=5e-5)
        np.testing.assert_allclose(pipeline.deviation, pixels.std(), atol=5e-5)
