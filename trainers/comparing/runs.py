"""The runs of a comparison: their configs, their files, their processes.

    mixture-0.3-seed_0/             method, budget, seed
    mixture-0.3-seed_0/config.py    its config, as `trainers.train` takes it
    mixture-0.3-seed_0/run/         the workdir of its run
    mixture-0.3-seed_0/output.txt   what the last process has printed
    mixture-0.3-seed_0/memory.json  the most memory that it had

Each run is a process of its own, so that one which fails leaves the others,
and its memory can be told.
"""

import concurrent.futures
import copy
import os
import subprocess
import sys

from keras_superweights import files
from trainers.phases import baselines
from trainers.phases import experiment
from trainers.phases import report
from trainers.phases import schema
from trainers.runs.config_file import write_config
from trainers.runs.reading import NUMBER
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir

BASELINES = {
    "one_network": baselines.one_network,
    "narrow": baselines.narrow,
    "unshared": baselines.unshared,
}
# What a comparison itself varies, or measures by methods of their own.
_NOT_A_METHODS = {"budget_params", "seed", "one_network"}


def method_config(config, name, changes, budget, seed):
    """Returns the config of a run of a method.

    Args:
        config: The experiment that methods are compared on.
        name: The method's, for errors.
        changes: What the method does otherwise: keys of a config with values;
            of `sharing` and `ensemble` all keys, of other sections some; and,
            at most, `"baseline"`, one of `BASELINES`.
        budget: A budget, as in a config.
        seed: An integer.

    Raises:
        ValueError: If a key or value is unknown. What does not fit the budget
            is refused by `Run.plan`.
    """
    changes = dict(changes)
    baseline = changes.pop("baseline", None)
    where = f"config.methods.{name}"
    keys = {*config, "baseline"} - _NOT_A_METHODS
    schema.check_keys(where, changes, keys, ())
    if baseline is not None:
        schema.check_choice(f"methods.{name}.baseline", baseline, BASELINES)
    found = copy.deepcopy(config).unlock()
    found.one_network = False
    found.budget_params, found.seed = float(budget), seed
    for key, value in changes.items():
        is_whole = f"config.{key}" in schema.ARGUMENTS
        is_section = hasattr(config[key], "keys") and not is_whole
        if not is_section:
            with found.ignore_type():
                found[key] = value
            continue
        if not hasattr(value, "keys"):
            raise ValueError(
                f"`{where}.{key}` must be a section, of keys of "
                f"{sorted(config[key])}. Received: {value!r}."
            )
        schema.check_keys(f"{where}.{key}", value, config[key], ())
        found[key].update(value)
    found.lock()
    experiment.check(found)
    return found, baseline


class Run:
    """One run of a comparison.

    Takes the directory of the comparison, and the arguments of
    `method_config`.
    """

    def __init__(self, path, config, name, changes, budget, seed):
        self.method = name
        self.budget = budget
        self.seed = seed
        config, self._baseline = method_config(
            config, name, changes, budget, seed
        )
        self.config = config
        if self._baseline == "unshared":
            self.budget = None  # the same for all
        self.directory = path / f"{name}-{shown(self.budget)}-seed_{seed}"
        self.workdir = Workdir(self.directory / "run")
        self.config_file = self.directory / "config.py"
        self.output = self.directory / "output.txt"
        self.memory = self.directory / "memory.json"

    def plan(self):
        """Makes the config final, and refuses a budget that cannot be met.

        Also refuses a directory that belongs to another run. Writes nothing.
        """
        if self._baseline:
            self.config = BASELINES[self._baseline](self.config)
        self.workdir.check(self.config)
        experiment.allocate(self.config, experiment.members(self.config))

    def train(self, threads, corruptions=()):
        """Trains in another process, or continues; returns its result."""
        self.directory.mkdir(parents=True, exist_ok=True)
        says = f"Of a comparison: {self.directory.name}"
        write_config(self.config_file, self.config, says)
        steps = []
        if not self.workdir.metrics.exists():
            steps.append(["train", f"--config={self.config_file}"])
        if corruptions and "corruptions" not in self._metrics():
            names = ",".join(corruptions)
            steps.append(["evaluate", f"--corruptions={names}"])
        for program, flag in steps:
            status = self._run(program, flag, threads)
            if status:
                lines = self.output.read_text(errors="replace").splitlines()
                said = [line for line in lines if line.strip()] or [""]
                reason = f"exit status {status}: {said[-1].strip()}"
                return self._row(status="failed", reason=reason)
        return self.result()

    def result(self):
        """Returns what is measured as a JSON-ready dict, or None."""
        metrics = self._metrics()
        if not metrics:
            return None
        whole = report.whole(metrics)
        row = self._row(status="completed")
        for name in ("accuracy", "nll", "brier", "ece", "diversity"):
            row[name] = metrics[name]
        if "corruptions" in metrics:
            for name in ("accuracy", "nll"):
                row[f"corrupted_{name}"] = metrics["corruptions"][name]
        if self.memory.exists():
            row["memory"] = read_json(self.memory, {"bytes": NUMBER})["bytes"]
        return row | {
            "parameters": metrics["trainable_parameters"],
            "flops": whole["flops"],
            "milliseconds": whole["milliseconds"],
            "seconds": metrics["seconds"],
        }

    def infeasible(self, error):
        """Returns the result of a run that `plan` has refused."""
        return self._row(status="infeasible", reason=str(error))

    def _row(self, **found):
        named = {"method": self.method, "budget": self.budget}
        return {**named, "seed": self.seed, **found}

    def _metrics(self):
        file = self.workdir.metrics
        form = report.FORM | {"brier": NUMBER}
        return read_json(file, form) if file.exists() else {}

    def _run(self, program, flag, threads):
        command = [sys.executable, "-m", f"trainers.{program}", flag]
        number = str(threads)
        environment = {
            **os.environ,
            "TF_NUM_INTRAOP_THREADS": number,
            "TF_NUM_INTEROP_THREADS": number,
            "OMP_NUM_THREADS": number,
        }
        with self.output.open("w") as output:
            process = subprocess.Popen(
                [*command, f"--workdir={self.workdir.path}"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if program == "train" and not process.returncode:
            # In KiB, but on macOS.
            unit = 1 if sys.platform == "darwin" else 1024
            files.write_json(self.memory, {"bytes": usage.ru_maxrss * unit})
        return process.returncode


def shown(budget):
    """Returns a budget as text: `"0.3"`, `"350000"`, `"any"` for None."""
    return "any" if budget is None else f"{budget:.12g}"


def train_all(runs, processes, corruptions=()):
    """Yields runs and their results as they end, so many at a time."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    pool = concurrent.futures.ThreadPoolExecutor(processes)
    try:
        waiting = {
            pool.submit(run.train, threads, corruptions): run for run in runs
        }
        for done in concurrent.futures.as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)
