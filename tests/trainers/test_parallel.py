"""A chief and two workers share a tuning; roles and refusals."""

import json
import socket

import pytest

from tests.trainers import tuner_program
from tests.trainers.programs import Program
from trainers.tuning import parallel

NAMES = [f"KERASTUNER_{n}" for n in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")]


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def variables(monkeypatch):
    def variables_(*values):
        for name, value in zip(NAMES, values, strict=True):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return variables_


def test_a_chief_and_two_workers_share_a_search_though_one_is_killed(
    port, digits_dir, tmp_path
):
    workdir = tmp_path / "search"
    oracle = workdir / "tuner" / "oracle.json"

    def start(name, seconds):
        variables = dict(zip(NAMES, (name, "127.0.0.1", port), strict=True))
        arguments = (workdir, digits_dir, seconds)
        return Program(tuner_program.main, *arguments, **variables)

    def running():
        """The trial that the worker to be killed is training, if it is."""
        if not oracle.exists():
            return None
        ongoing = json.loads(oracle.read_text())["ongoing_trials"]
        trial = ongoing.get("worker1")
        began = workdir / "trials" / str(trial) / "run" / "began.txt"
        return trial if began.exists() else None

    programs = {"chief": start("chief", 0), "worker0": start("worker0", 0.5)}
    # Its first trial would take forever.
    killed = start("worker1", 1000)
    trial = killed.kill_when(running)
    programs["worker1"] = start("worker1", 0.5)
    outputs = {}
    for name, program in programs.items():
        code, outputs[name], errors = program.finish()
        assert code == 0, errors

    rows = json.loads((workdir / "results.json").read_text())
    assert [row["trial"] for row in rows] == list("01234567")
    assert {row["status"] for row in rows} == {"completed"}
    ran = {}
    for name in ("worker0", "worker1"):
        assert "trial" in outputs[name]  # each had its share
        for row in rows:
            if f"trial {row['trial']}: nll" in outputs[name]:
                ran.setdefault(row["trial"], []).append(name)
    assert ran == {row["trial"]: ran[row["trial"]][:1] for row in rows}
    # Its own, under its own name.
    assert ran[trial] == ["worker1"]
    for row in rows:
        file = workdir / "trials" / row["trial"] / "run" / "began.txt"
        times = file.read_text().count("began")
        assert times == (2 if row["trial"] == trial else 1)


def test_the_name_says_who_gives_out_trials(variables, port):
    variables(None, None, None)
    assert parallel.role() == "alone"
    variables("chief", "127.0.0.1", port)
    assert parallel.role() == "chief"
    variables("worker7", "127.0.0.1", port)
    assert parallel.role() == "worker"


@pytest.mark.parametrize(
    "values, told",
    [
        (("chief", None, None), "without KERASTUNER_ORACLE_IP, KERASTUNER_OR"),
        ((None, "127.0.0.1", "80"), "without KERASTUNER_TUNER_ID"),
        (("worker0", "127.0.0.1", ""), "without KERASTUNER_ORACLE_PORT"),
        (("chief", "127.0.0.1", "http"), "must be a port.*'http'"),
        (("chief", "127.0.0.1", "0"), "must be a port.*'0'"),
        (("chief", "127.0.0.1", "65536"), "must be a port.*'65536'"),
        # An address for documentation, of no machine.
        (("chief", "192.0.2.1", "8000"), "address of this machine"),
    ],
    ids=str,
)
def test_what_is_missing_or_wrong_is_told(variables, values, told):
    variables(*values)
    with pytest.raises(ValueError, match=told):
        parallel.role()


def test_a_port_in_use_is_refused_also_where_it_could_be_shared(variables):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        variables("chief", "127.0.0.1", port)
        with pytest.raises(ValueError, match=f"127.0.0.1:{port}.*in use"):
            parallel.role()


def test_a_worker_waits_for_its_chief_but_not_forever(
    variables, port, monkeypatch
):
    variables("chef", "127.0.0.1", port)
    monkeypatch.setattr(parallel, "PATIENCE_SECONDS", 0)
    with pytest.raises(ValueError, match="No chief answers.*ID=chef"):
        parallel.wait_for_chief()
    with socket.create_server(("127.0.0.1", int(port))):
        parallel.wait_for_chief()
