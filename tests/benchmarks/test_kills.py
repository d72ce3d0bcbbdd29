"""What the program that breaks runs makes of their files."""

import errno
import os
import pathlib
import random

import numpy as np
import pytest

from benchmarks import breaking
from benchmarks import kills
from keras_superweights import files


def test_whatever_is_not_equal_is_named():
    one = {"a": np.zeros(2), "b": np.ones(1), "metrics": {"nll": 0.5}}
    assert kills.differences(one, dict(one)) == []
    other = {"a": np.array([0, 1e-9]), "metrics": {"nll": 0.6}, "c": "more"}
    assert kills.differences(one, other) == ["a", "b", "c", "metrics"]


def test_runs_break_point_by_point_and_go_on_to_their_end(tmp_path):
    """A run comes by its points once, and by "never" not at all."""
    points = ["a", "b", "never", "c"]
    left = {}

    def new(workdir):
        left[workdir] = ["a", "b", "c"]
        return workdir

    def run(workdir, point):
        while left[workdir]:
            if left[workdir].pop(0) == point:
                return True
        return False

    broken, workdirs = kills.break_at(points, tmp_path, new, run)
    assert broken == ["a", "b", "c"]
    # What a run did not come by is tried once more, in a new one.
    assert [path.name for path in workdirs] == [
        "broken-0",
        "broken-1",
        "broken-2",
    ]
    assert not any(left.values())


def test_points_are_spread_over_all_operations():
    passed = [[op, f"f{i}"] for i in range(9) for op in ("write", "replaced")]
    draw = random.Random(0)
    points = kills.chosen(2 * passed, 6, draw, "tune")
    assert [point[1] for point in points[:3]] == ["f0", "f1", "f3"]
    assert [point[0] for point in points].count("after") == 1
    refused = kills.chosen(passed, 99, draw, "tune", number=errno.EIO)
    assert refused == [("write", f"f{i}") for i in range(9)]
    workers = kills.chosen(passed, 4, draw, "two workers", number=errno.EIO)
    assert [point[2] for point in workers] == [0, 1, 0, 1]


@pytest.mark.parametrize("operation", ["write", "fsync", "replace"])
def test_an_operation_on_a_file_is_refused_once(
    operation, tmp_path, monkeypatch
):
    for module, name in ((breaking.builtins, "open"), (breaking.io, "open")):
        monkeypatch.setattr(module, name, getattr(module, name))
    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, getattr(os, name))
    unfinished = "unfinished-data.json"
    file = "data.json" if operation == "replace" else unfinished
    passed = breaking._break((operation, file), errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        files.write_json(tmp_path / "data.json", [1, 2, 3])
    assert list(tmp_path.iterdir()) == []
    files.write_json(tmp_path / "data.json", [1, 2, 3])
    assert (tmp_path / "data.json").read_text() == "[\n  1,\n  2,\n  3\n]\n"
    done = [(each, pathlib.Path(path).name) for each, path in passed]
    assert done[-4:] == [
        ("write", unfinished),
        ("fsync", unfinished),
        ("replace", "data.json"),
        ("replaced", "data.json"),
    ]


def test_files_that_are_not_whole_are_told(tmp_path):
    (tmp_path / "unfinished-metrics.json").write_text("{")
    kills.check_whole(tmp_path)
    for name in ("metrics.json", "model.keras", "state.weights.h5", "a.png"):
        (tmp_path / name).write_text("{")
        with pytest.raises(Exception, match="JSON|prop|zip|file|a.png"):
            kills.check_whole(tmp_path)
        (tmp_path / name).unlink()
