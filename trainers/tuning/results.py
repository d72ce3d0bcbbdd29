"""The results of a tuning: a table, figures, and the trials as JSON."""

import textwrap

from keras_superweights import figures
from keras_superweights import files
from keras_superweights.callbacks import write_figures
from keras_superweights.metrics import best_within
from trainers.phases.report import aligned
from trainers.runs.reading import ELSEWHERE
from trainers.runs.reading import read_json
from trainers.tuning.hparams import METRICS

# Longest line about a failed trial, in characters.
_WIDTH = 160

_FORMATS = {
    "accuracy": "{:.2%}",
    "nll": "{:.4f}",
    "ece": "{:.2%}",
    "trainable_parameters": "{:,}",
}


def collect(tuning):
    """Returns all trials that have begun, in order, as JSON-ready dicts.

    Each has `"trial"`, the `"config"` file, the `"hyperparameters"`, and the
    keys of `Trial.outcome`.
    """
    form = {"trial_id": str, "hyperparameters": {"values": dict}}
    states = (
        read_json(path, form, ELSEWHERE)
        for path in tuning.tuner.glob("trial_*/trial.json")
    )
    rows = []
    for state in sorted(states, key=lambda state: int(state["trial_id"])):
        values = state["hyperparameters"]["values"]
        trial = tuning.trial(state["trial_id"], values)
        row = {
            "trial": state["trial_id"],
            "config": str(trial.config_file),
            "hyperparameters": trial.hyperparameters(),
        }
        rows.append(row | trial.outcome())
    return rows


def ranked(tuning, rows):
    """Returns the completed trials, the best first."""
    return sorted(
        (row for row in rows if row["status"] == "completed"),
        key=lambda row: row["metrics"][tuning.objective],
        reverse=tuning.direction == "max",
    )


def write(tuning, rows):
    """Writes results.json, results.txt and the Pareto fronts."""
    files.write_json(tuning.path / "results.json", rows)
    files.write_text(tuning.path / "results.txt", table(tuning, rows) + "\n")
    points = _points(rows)
    if points:
        write_figures(
            tuning.path / "logs",
            {"search/pareto": figures.pareto_front(points)},
            step=len(rows),
            figures_dir=tuning.path / "figures",
        )


def table(tuning, rows):
    """Returns the trials as text: the best first, then those without result."""
    best = ranked(tuning, rows)
    points = _points(rows)
    fronts = {
        mark: {p["name"] for p in best_within(points, "parameters", quality)}
        for mark, quality in (("*", "accuracy"), ("+", "nll"))
    }
    # The names of the members say how many they are.
    varied = [name for name in tuning.varied if name != "num_members"]
    formats = dict(_FORMATS)
    formats.setdefault(tuning.objective, "{:.4g}")
    heads = [METRICS.get(name, name) for name in formats]
    lines = [("trial", *varied, *heads)]
    for row in best:
        values, metrics = row["hyperparameters"], row["metrics"]
        marks = "".join(m for m, on in fronts.items() if row["trial"] in on)
        line = [f"{row['trial']} {marks}"]
        line += [_shown(values, name) for name in varied]
        line += [form.format(metrics[name]) for name, form in formats.items()]
        lines.append(line)
    text = aligned(lines) if best else []
    for row in rows:
        if row["status"] != "completed":
            line = "{trial} {status}: {reason}".format(**{"reason": "", **row})
            text.append(textwrap.shorten(line, _WIDTH, placeholder=" ..."))
    if best:
        text += [
            "",
            f"the best by {tuning.objective} first, on a validation part of "
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
