"""Locks: who holds them, and what they leave."""

import os

import pytest

from trainers.runs import lock
from trainers.runs.workdir import Workdir


def test_a_lock_names_its_process_and_leaves_nothing(tmp_path):
    directory = tmp_path / "a" / "b"
    for _ in range(2):
        with lock.only_process(directory):
            told = f"process {os.getpid()} on .*, since 2.*Share it."
            with (
                pytest.raises(ValueError, match=told),
                lock.only_process(directory, "Share it."),
            ):
                pass
            # It is no file of somebody else's.
            Workdir(directory).check(None)
        assert list(directory.iterdir()) == []
        # What a killed process leaves does not count.
        (directory / "lock").write_text("process 1 on moon, since ever")


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_anew(
    tmp_path, monkeypatch
):
    """Its last holder may end between opening the file and locking it."""
    flock = lock.fcntl.flock

    def end_before(file, operation):
        monkeypatch.setattr(lock.fcntl, "flock", flock)
        (tmp_path / "lock").unlink()
        flock(file, operation)

    monkeypatch.setattr(lock.fcntl, "flock", end_before)
    with (
        lock.only_process(tmp_path),
        pytest.raises(ValueError, match="in use"),
        lock.only_process(tmp_path),
    ):
        pass


def test_one_after_the_other_appends_to_a_file(tmp_path):
    path = tmp_path / "output.txt"
    for text in ("one", "two"):
        with lock.in_turn(path) as file:
            file.write(text)
    assert path.read_text() == "onetwo"
