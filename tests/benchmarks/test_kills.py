"""What the program that kills runs makes of their files."""

import numpy as np

from benchmarks import kills


def test_the_phase_of_a_run_shows_in_its_files(tmp_path):
    assert kills.phase(tmp_path) == "start"
    for file, phase in {
        "config.json": "search, first epoch",
        "search/backup/epoch-000001": "search",
        "search/similarities.npz": "training, first epoch",
        "backup/epoch-000002": "training",
        f"backup/{kills.LAST_EPOCH}": "end",
        "one_network/config.json": "one network",
        "one_network/metrics.json": "end",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
        assert kills.phase(tmp_path) == phase


def test_the_last_epoch_is_that_of_the_run():
    (epochs,) = [o for o in kills.RUN if o.startswith("--config.epochs=")]
    assert f"epoch-{int(epochs.split('=')[1]):06d}" == kills.LAST_EPOCH


def test_whatever_is_not_equal_is_named():
    one = {"a": np.zeros(2), "b": np.ones(1), "metrics": {"nll": 0.5}}
    assert kills.differences(one, dict(one)) == []
    other = {"a": np.array([0, 1e-9]), "metrics": {"nll": 0.6}, "c": "more"}
    assert kills.differences(one, other) == ["a", "b", "c", "metrics"]


def test_each_kill_is_at_its_moment_and_every_end_is_compared(
    tmp_path, monkeypatch
):
    """Runs of one second, by a clock of the test's own."""
    left = {}  # of each directory, the seconds that are still to run
    clock = [0.0]

    class Run:
        def __init__(self, arguments, workdir):
            workdir.mkdir(exist_ok=True)
            self.workdir = workdir
            left.setdefault(workdir, 1.0)
            self.returncode = 0

        def communicate(self, timeout=1e9):
            time = min(timeout, left[self.workdir])
            clock[0] += time
            left[self.workdir] -= time
            if left[self.workdir] > 0:
                raise kills.subprocess.TimeoutExpired("train", timeout)
            return "", ""

        def kill(self):
            self.communicate = lambda: ("", "")

    monkeypatch.setattr(kills, "start", Run)
    monkeypatch.setattr(kills, "outcome", lambda workdir: workdir.name)
    monkeypatch.setattr(kills.time, "perf_counter", lambda: clock[0])
    # The first duration is that of a slower machine.
    phases, outcomes = kills.kill_at([0.5, 0.7, 0.4, 0.9], 2.0, [], tmp_path)
    assert len(phases) == 4
    assert outcomes == [f"killed-{n}" for n in range(len(outcomes))]
    assert all(seconds == 0 for seconds in left.values())
