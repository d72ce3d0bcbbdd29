import os
import pathlib
import socket

import pytest

import keras_superweights.datasets
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
