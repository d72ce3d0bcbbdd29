"""What a comparison has found: a table, a figure, and TensorBoard's HParams."""

import statistics

from keras_superweights import figures
from keras_superweights import files
from keras_superweights.callbacks import write_figures
from trainers.comparing.runs import shown
from trainers.phases.report import aligned
from trainers.tuning import hparams

# Heads of columns, by their keys in a row; with a factor and digits.
_COLUMNS = {
    "accuracy": ("accuracy %", 100, 2),
    "nll": ("NLL", 1, 4),
    "brier": ("Brier", 1, 4),
    "ece": ("ECE %", 100, 2),
    "corrupted_accuracy": ("corrupted %", 100, 2),
    "corrupted_nll": ("corrupted NLL", 1, 4),
    "diversity": ("diversity", 1, 2),
    "parameters": ("parameters", 1, 0),
    "flops": ("MFLOPs", 1e-6, 1),
    "milliseconds": ("ms", 1, 2),
    "seconds": ("training s", 1, 0),
    "memory": ("peak MB", 1e-6, 0),
}
# Of which the standard deviation over seeds is shown.
_SPREAD = {"accuracy", "nll", "brier", "ece", "diversity"}


def line(row):
    """Returns how a run has ended, in a line."""
    told = f"{row['method']} {shown(row['budget'])} seed {row['seed']}"
    if row["status"] != "completed":
        return f"{told}: {row['status']}: {row['reason']}"
    return (
        f"{told}: accuracy {row['accuracy']:.2%}, NLL {row['nll']:.4f}, "
        f"{row['seconds']:.0f} seconds"
    )


def groups(rows):
    """Returns a dict from `(budget, method)` to the rows of completed seeds."""
    found = {}
    for row in rows:
        if row["status"] == "completed":
            key = row["budget"], row["method"]
            found.setdefault(key, []).append(row)
    return found


def table(rows):
    """Returns the comparison as text: a table per budget, the best NLL first.

    Methods outside of any budget are in every table.
    """
    found = groups(rows)
    budgets = list(dict.fromkeys(budget for budget, _ in found if budget))
    text = []
    for budget in budgets or [None]:
        of_budget = {
            method: runs
            for (of, method), runs in found.items()
            if of in (None, budget)
        }
        text += [*_lines(f"budget {shown(budget)}", of_budget), ""]
    if found:
        text += [
            "the lowest NLL first, then means over the seeds, ± the standard "
            "deviation;",
            "ms: one example, while other runs may have used the machine",
        ]
    for row in rows:
        if row["status"] != "completed":
            text.append(line(row))
    return "\n".join(text)


def _lines(title, methods):
    keys = [
        key
        for key in _COLUMNS
        if all(key in run for runs in methods.values() for run in runs)
    ]
    heads = [(title, "seeds", *(_COLUMNS[key][0] for key in keys))]
    by_nll = sorted(methods.items(), key=lambda item: _mean(item[1], "nll"))
    for method, runs in by_nll:
        cells = (_cell(key, [run[key] for run in runs]) for key in keys)
        heads.append((method, str(len(runs)), *cells))
    return aligned(heads)


def _mean(runs, key):
    return statistics.mean(run[key] for run in runs)


def _cell(key, values):
    if None in values:
        return "-"
    _, factor, digits = _COLUMNS[key]
    values = [factor * value for value in values]
    text = f"{statistics.mean(values):,.{digits}f}"
    if key in _SPREAD and len(values) > 1:
        text += f" ±{statistics.stdev(values):.{digits}f}"
    return text


def write(path, runs, rows):
    """Writes results.json, results.txt, the figure and HParams."""
    files.write_json(path / "results.json", rows)
    files.write_text(path / "results.txt", table(rows) + "\n")
    points = [
        {
            "method": method,
            **{
                key: [run[key] for run in found]
                for key in ("parameters", "flops", "accuracy", "nll")
            },
        }
        for (_, method), found in groups(rows).items()
    ]
    if points:
        write_figures(
            path / "logs",
            {"comparison/budgets": figures.comparison(points)},
            step=len(rows),
            figures_dir=path / "figures",
        )
    varied = ("method", "budget", "seed")
    for run, row in zip(runs, rows, strict=True):
        values = {name: row[name] for name in varied}
        values["budget"] = shown(row["budget"])
        if run is runs[0]:
            hparams.write_columns(path, values, varied)
        if row["status"] == "completed":
            row = {**row, "trainable_parameters": row["parameters"]}
            hparams.write_trial(run.directory, values, row)
