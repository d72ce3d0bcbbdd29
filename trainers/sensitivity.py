"""Shows how results depend on tau, beta or the budget: one run per value.

    python -m trainers.sensitivity --study tau --workdir runs/tau \
        --config configs/digits_sensitivity.py

The studies of the SuperWeights paper (SWN, sections 3.5 and 3.6):

    tau     the threshold that decides clusters; -1 leaves the depth bins as
            they are, 1 parts all kernels, as far as the budget allows
    beta    the threshold that decides ties, in the search, or in decoupling
            where the config does as the papers; with -1 all kernels of a
            cluster (and, in the search, of one member) share coefficients,
            with 1 none do
    budget  7, 15 and 36.5 million, of which the last stands for the config's

`--values` tries others. Each value is a run of `trainers.train` in its own
directory; thresholds share one pretraining. The same command continues an
interrupted study. A budget that cannot be met is reported and left out.

    tau_0.1/, ...    the runs
    tau_0.1.txt      what they have printed
    study.json       what is studied
    results.json     their metrics
    figures/, logs/  accuracy over the values, and all anytime curves in one
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from configs import base
from keras_superweights import figures
from keras_superweights.allocation.specs import is_fraction
from keras_superweights.callbacks import write_figures
from keras_superweights.figures.pareto import shortened_number
from keras_superweights.files import write_json
from trainers import run
from trainers.phases import experiment
from trainers.phases import report
from trainers.phases.search import adopt
from trainers.phases.training import train
from trainers.runs.lock import only_process
from trainers.runs.reading import ELSEWHERE
from trainers.runs.reading import differences
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir
from trainers.runs.workdir import belongs_to
from trainers.tuning import trials

THRESHOLDS = {
    "tau": (-1.0, 0.0, 0.1, 0.5, 1.0),
    "beta": (-1.0, 0.1, 0.5, 0.9, 1.0),
}
# Parts of the config's budget.
BUDGETS = (7 / 36.5, 15 / 36.5, 1.0)


# The paper's names of the ends of the range of beta.
_ENDS = {-1.0: "shared", 1.0: "not shared"}


def study(config, path, name, values=None):
    """Trains for each value, resuming an interrupted study.

    Takes the flags of the program; `values` default to those of the paper, or
    some that show its range. Returns JSON-ready dicts: `"value"`, its
    `"label"` in the figure, and the run's `"metrics"`, or as `"infeasible"`
    why there are none.

    Raises:
        ValueError: If the study is unknown or the values make no difference
            to the config; if a directory belongs to something else or another
            process; if no budget can be met.
    """
    experiment.check(config)
    if name not in (*THRESHOLDS, "budget"):
        raise ValueError(
            f"`--study` must be one of {[*THRESHOLDS, 'budget']}. "
            f"Received: {name!r}."
        )
    key = "budget_params" if name == "budget" else name
    trials.check_varied(config, [key])
    path = pathlib.Path(path)
    definition = path / "study.json"
    variants = {}
    values = values or _values(config, name)
    if len({f"{value:g}" for value in values}) < len(values):
        raise ValueError(
            "`--values` must be different numbers, in their first six digits. "
            f"Received: {list(values)}."
        )
    for value in values:
        variant = trials.trial_config(config, {key: value})
        workdir = Workdir(path / f"{name}_{value:g}")
        experiment.check(variant)
        workdir.check(variant)
        variants[value] = variant, workdir
    starts, infeasible = _starts(variants)
    begun = [d for _, d in variants.values() if d.config.exists()]
    # Studies of older versions have no definition, but their runs.
    known = [entry.name for entry in path.glob("*")] if begun else ()
    described = {"study": name, "config": config.to_dict()}
    if belongs_to(definition, "study", known):
        form = {"study": str, "config": dict}
        found = read_json(definition, form, ELSEWHERE)
        # That of an older version lacks today's keys.
        found["config"] = base.completed(found["config"])
        changes = differences(found, described)
        if changes:
            raise ValueError(
                f"`--workdir` {path} belongs to another study:\n{changes}\n"
                "Choose another directory."
            )
    with only_process(path):
        if not definition.exists():
            write_json(definition, described)
        return _run(path, name, variants, starts, infeasible)


def _starts(variants):
    """Returns what variants start from, or why they cannot, by their values."""
    starts, infeasible = {}, {}
    for value, (variant, _) in variants.items():
        try:
            members = experiment.members(variant)
            starts[value] = experiment.allocate(variant, members)
        except ValueError as error:
            infeasible[value] = str(error)
    if not starts:
        reasons = "\n".join(infeasible.values())
        raise ValueError(f"No budget can be met. Received:\n{reasons}")
    return starts, infeasible


def _run(path, name, variants, starts, infeasible):
    """Trains the variants, and returns the rows of `study`."""
    rows, measured = [], None
    for value, (variant, workdir) in variants.items():
        if value in infeasible:
            rows.append({"value": value, "infeasible": infeasible[value]})
            print(f"{name} {value:g}: infeasible", flush=True)
            continue
        if measured and name in THRESHOLDS:
            workdir.open(variant)
            adopt(variant, workdir, measured, starts[value])
        with trials.output_to(path / f"{workdir.path.name}.txt"):
            metrics = train(variant, workdir.path)
        accuracy, nll = report.cells(metrics, "accuracy", "nll")
        print(f"{name} {value:g}: accuracy {accuracy} NLL {nll}", flush=True)
        label = _label(name, value, metrics)
        rows.append({"value": value, "label": label, "metrics": metrics})
        measured = measured or workdir
    _write(path, name, rows)
    return rows


def _values(config, name):
    if name in THRESHOLDS:
        return THRESHOLDS[name]
    digits = 4 if is_fraction(config.budget_params) else 0
    return [round(part * config.budget_params, digits) for part in BUDGETS]


def _label(name, value, metrics):
    if name == "budget":
        return shortened_number(metrics["budget_params"])
    if name == "beta":
        return _ENDS.get(value, f"{value:g}")
    in_force = (metrics["search"] or {}).get("tau", value)
    # Lowered until the clusters fit the budget.
    lowered = f"\nin force: {in_force:.2g}" if in_force < value else ""
    return f"{value:g}{lowered}"


def _write(path, name, rows):
    write_json(path / "results.json", rows)
    curves = figures.sensitivity_curves(
        [
            {**row["metrics"], "label": row["label"]}
            for row in rows
            if "metrics" in row
        ],
        "budget (trained parameters)" if name == "budget" else name,
    )
    write_figures(
        path / "logs",
        {f"sensitivity/{name}": curves},
        step=len(rows),
        figures_dir=path / "figures",
    )


def table(name, rows):
    """Returns the runs as text."""
    head = ("accuracy", "NLL", "ECE", "best member", "diversity", "clusters")
    lines, text = [(name, *head)], []
    for row in rows:
        if "infeasible" in row:
            text.append(f"{name} {row['value']:g}: {row['infeasible']}")
            continue
        metrics = row["metrics"]
        diversity, search = metrics["diversity"], metrics["search"]
        best = max(metrics["members"], key=lambda member: member["accuracy"])
        line = [
            row["label"].replace("\n", ", "),
            *report.cells(metrics, "accuracy", "nll", "ece"),
            *report.cells(best, "accuracy"),
            "" if diversity is None else f"{diversity:.2f}",
            str(search["num_clusters"]) if search else "",
        ]
        lines.append(line)
    return "\n".join([*report.aligned(lines), *text])


def main(options):
    try:
        values = [float(value) for value in options.values]
    except ValueError as error:
        raise ValueError(
            f"`--values` must be numbers. Received: {options.values}."
        ) from error
    rows = study(options.config, options.workdir, options.study, values)
    path = pathlib.Path(options.workdir)
    print(
        f"\n{table(options.study, rows)}\n\n"
        f"figure   {path}/figures/sensitivity-{options.study}.png\n"
        f"results  {path}/results.json\n"
        f"logs     tensorboard --logdir {path}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    flags.DEFINE_string("study", None, "tau, beta, budget.")
    flags.DEFINE_string("workdir", None, "Directory of the study.")
    flags.DEFINE_list("values", [], "Other values than the study's own.")
    flags.mark_flags_as_required(["config", "study", "workdir"])
    run(main)
