"""Compares methods at equal budgets: one table of what a budget buys.

    python -m trainers.compare --config configs/compare_digits.py \
        --workdir runs/compare

Trains each method of the config with each budget and each seed, by one recipe
on the same images, and prints for each budget the methods, the lowest NLL
first: mean and standard deviation over the seeds. `configs/base.py`:
`comparison` says what a config holds; any number of it can be given on the
command line, such as `--config.seeds="(0,)"` or `--config.experiment.epochs=9`.

Every run is one of `trainers.train` in a process of its own, two at a time
unless `--processes` says otherwise. The same command continues an interrupted
comparison; a method, budget or seed that is added to its config trains only
what is not there yet. A method that does not fit a budget, or fails, is
reported, and the others go on.

    comparison.json      the config
    METHOD-BUDGET-seed_S the runs, see `comparing/runs.py`
    results.json, .txt   what was measured
    figures/, logs/      accuracy and NLL over parameters and over FLOPs
"""

import pathlib
import re

from absl import flags
from ml_collections import config_flags

from keras_superweights import files
from keras_superweights.datasets.corruptions import CORRUPTIONS
from trainers import run
from trainers.comparing import results
from trainers.comparing.runs import Run
from trainers.comparing.runs import train_all
from trainers.phases import schema
from trainers.runs.lock import only_process
from trainers.runs.workdir import belongs_to

_KEYS = {"experiment", "methods", "budgets", "seeds", "corruptions"}


def compare(config, path, processes=2):
    """Runs a comparison, or what of it is missing; the flags of the program.

    Returns a list of JSON-ready dicts, one per run, in the order of methods,
    budgets and seeds: `"method"`, `"budget"` (None where there is none),
    `"seed"`, `"status"` (`"completed"`, `"infeasible"` or `"failed"`, both
    with a `"reason"`), and what was measured.

    Raises:
        ValueError: If the config or the number of processes is wrong, or a
            directory belongs to something else; nothing is written then.
    """
    check(config)
    if processes < 1:
        raise ValueError(
            f"`--processes` must be a positive integer. Received: {processes}."
        )
    path = pathlib.Path(path)
    definition = path / "comparison.json"
    belongs_to(definition, "comparison")
    runs = _runs(config, path)
    rows, feasible = {}, []
    for each in runs:
        try:
            each.plan()
        except ValueError as error:
            if "--workdir" in str(error):
                raise
            rows[each] = each.infeasible(error)
            print(results.line(rows[each]), flush=True)
        else:
            feasible.append(each)
    with only_process(path):
        files.write_json(definition, config.to_dict())
        corruptions = tuple(config.corruptions)
        for each, row in train_all(feasible, processes, corruptions):
            rows[each] = row
            print(results.line(row), flush=True)
        rows = [rows[each] for each in runs]
        results.write(path, runs, rows)
        return rows


def check(config):
    """Refuses a config that describes no comparison."""
    schema.check_keys("config", config, _KEYS, _KEYS)
    for name in config.methods:
        if not re.fullmatch(r"\w[\w.]*", name):
            raise ValueError(
                "Names in `config.methods` must be of letters, digits, `_` "
                f"and `.`. Received: {name!r}."
            )
    for name, kinds in (("budgets", (int, float)), ("seeds", int)):
        values = config[name]
        if (
            not values
            or len(set(values)) < len(values)
            or not all(isinstance(value, kinds) for value in values)
            or any(isinstance(value, bool) for value in values)
        ):
            raise ValueError(
                f"`config.{name}` must be a tuple of different numbers. "
                f"Received: {values!r}."
            )
    if not config.methods:
        raise ValueError(
            "`config.methods` must have at least one method. Received: none."
        )
    unknown = set(config.corruptions) - {"all", *CORRUPTIONS}
    if unknown:
        raise ValueError(
            f"`config.corruptions` must be of {['all', *CORRUPTIONS]}. "
            f"Received: {sorted(unknown)}."
        )


def _runs(config, path):
    """Returns the runs; those outside of any budget once."""
    found = {}
    for name, changes in config.methods.items():
        for budget in config.budgets:
            for seed in config.seeds:
                each = Run(path, config.experiment, name, changes, budget, seed)
                found.setdefault(each.directory, each)
    return list(found.values())


def main(options):
    path = pathlib.Path(options.workdir)
    rows = compare(options.config, path, options.processes)
    print(
        f"\n{results.table(rows)}\n\n"
        f"figure   {path}/figures/comparison-budgets.png\n"
        f"results  {path}/results.json\n"
        f"logs     tensorboard --logdir {path}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "File of the comparison.")
    flags.DEFINE_string("workdir", None, "Directory of the comparison.")
    flags.DEFINE_integer("processes", 2, "Runs at a time.")
    flags.mark_flags_as_required(["config", "workdir"])
    run(main)
