"""What a search has found: a table, figures, and the trials as JSON."""

import textwrap

from keras_superweights import figures
from keras_superweights.callbacks import write_figures
from keras_superweights.metrics import best_within
from trainers.report import aligned
from trainers.workdir import read_json
from trainers.workdir import replacing
from trainers.workdir import write_json

# Why a trial has failed takes no more than a line.
_WIDTH = 160


def collect(search):
    """All trials that have begun, in their order.

    Args:
        search: The `definition.Search`.

    Returns:
        A list of dicts, ready for JSON: `"trial"`, the `"config"` file, the
        `"hyperparameters"`, and what `Trial.outcome` says.
    """
    states = map(read_json, search.tuner.glob("trial_*/trial.json"))
    rows = []
    for state in sorted(states, key=lambda state: int(state["trial_id"])):
        values = state["hyperparameters"]["values"]
        trial = search.trial(state["trial_id"], values)
        rows.append(
            {
                "trial": state["trial_id"],
                "config": str(trial.config_file),
                "hyperparameters": trial.hyperparameters(),
                **trial.outcome(),
            }
        )
    return rows


def ranked(search, rows):
    """The completed trials, the best first."""
    return sorted(
        (row for row in rows if row["status"] == "completed"),
        key=lambda row: row["metrics"][search.objective],
        reverse=search.direction == "max",
    )


def write(search, rows):
    """Writes results.json, results.txt and the Pareto fronts."""
    write_json(search.path / "results.json", rows)
    with replacing(search.path / "results.txt") as unfinished:
        unfinished.write_text(table(search, rows) + "\n")
    points = _points(rows)
    if points:
        write_figures(
            search.path / "logs",
            {"search/pareto": figures.pareto_front(points)},
            step=len(rows),
            figures_dir=search.path / "figures",
        )


def table(search, rows):
    """The trials as text: the best first, then those without a result."""
    best = ranked(search, rows)
    points = _points(rows)
    fronts = {
        mark: {p["name"] for p in best_within(points, "parameters", quality)}
        for mark, quality in (("*", "accuracy"), ("+", "nll"))
    }
    # Of members, the names say how many.
    searched = [name for name in search.varied if name != "num_members"]
    measured = ["accuracy", "NLL", "ECE", "parameters"]
    extra = search.objective not in (
        "accuracy",
        "nll",
        "ece",
        "trainable_parameters",
    )
    if extra:
        measured.append(search.objective)
    lines = [("trial", *searched, *measured)]
    for row in best:
        metrics = row["metrics"]
        marks = "".join(m for m, on in fronts.items() if row["trial"] in on)
        cells = [
            f"{metrics['accuracy']:.2%}",
            f"{metrics['nll']:.4f}",
            f"{metrics['ece']:.2%}",
            f"{metrics['trainable_parameters']:,}",
        ]
        if extra:
            cells.append(f"{metrics[search.objective]:.4g}")
        lines.append(
            (
                f"{row['trial']} {marks}",
                *(_shown(row["hyperparameters"], name) for name in searched),
                *cells,
            )
        )
    text = aligned(lines) if best else []
    for row in rows:
        if row["status"] != "completed":
            reason = row.get("reason", "")
            line = f"{row['trial']} {row['status']}: {reason}"
            text.append(textwrap.shorten(line, _WIDTH, placeholder=" ..."))
    if best:
        text += [
            "",
            f"the best by {search.objective} first, on a validation part of "
            "the training split;",
            "* more accurate, + lower NLL than all that have no more "
            "parameters",
        ]
    return "\n".join(text)


def _shown(values, name):
    value = values.get(name)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _points(rows):
    return [
        {
            "name": row["trial"],
            "parameters": row["metrics"]["trainable_parameters"],
            "accuracy": row["metrics"]["accuracy"],
            "nll": row["metrics"]["nll"],
        }
        for row in rows
        if row["status"] == "completed"
    ]
