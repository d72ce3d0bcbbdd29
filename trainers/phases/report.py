"""The tables that a run and its evaluation print."""

import numpy as np

from keras_superweights.metrics import pareto_frontier
from trainers.runs.reading import NUMBER

# Most rows of the table of subsets; a part of the frontier is shown then.
_MAX_SUBSETS = 8

_SHOWN = {
    "accuracy": "{:.2%}".format,
    "nll": "{:.3f}".format,
    "ece": "{:.2%}".format,
    "parameters": "{:,}".format,
    "flops": lambda flops: f"{flops / 1e6:,.1f}",  # in millions
    "milliseconds": "{:,.2f}".format,
}
_COLUMNS = ("accuracy", "nll", "ece", "parameters", "flops")

# What a metrics.json must hold to be reported, see `reading.read_json`.
_NONE = type(None)
_QUALITY = {"accuracy": NUMBER, "nll": NUMBER}
_MEMBER = {"name": str, **dict.fromkeys(_COLUMNS, NUMBER)}
_OF_MEMBERS = {"members": ([_QUALITY], _NONE), **_QUALITY}
_CORRUPTED = {"corruption": str, "severity": NUMBER, **_OF_MEMBERS}
_LINE = {"members": [int], "points": [{"position": NUMBER, **_QUALITY}]}
_NUMBERS = "trainable_parameters budget_params independent_params ece seed "
_NUMBERS += "epochs seconds"
FORM = {
    **_QUALITY,
    **dict.fromkeys(_NUMBERS.split(), NUMBER),
    "diversity": (NUMBER, _NONE),
    "members": [_MEMBER],
    "anytime": [
        {"members": [int], "flops": NUMBER, "milliseconds": NUMBER, **_QUALITY}
    ],
    "search": (
        dict.fromkeys(("tau", "num_clusters", "num_start_clusters"), NUMBER),
        _NONE,
    ),
    "one_network": (_MEMBER, _NONE),
    "corruptions": ({"corruptions": [_CORRUPTED], **_OF_MEMBERS}, _NONE),
    "interpolation": ([_LINE], _NONE),
}


def table(metrics):
    """Returns the table of what was measured, as text."""
    members = metrics["members"]
    head = ("accuracy", "NLL", "ECE", "parameters", "MFLOPs")
    rows = [(metrics.get("split", ""), *head)]
    for index, member in enumerate(members):
        label = f"member {index}, {member['name']}"
        rows.append((label, *cells(member, *_COLUMNS)))
    if len(members) > 1:
        flops = whole(metrics)["flops"]
        total = {"parameters": metrics["trainable_parameters"], "flops": flops}
        total = cells({**metrics, **total}, *_COLUMNS)
        rows.append((f"ensemble of {len(members)}", *total))
    one = metrics.get("one_network")  # older runs have none
    if one:
        rows.append(("one network", *cells(one, *_COLUMNS)))
    lines = aligned(rows)
    if len(rows) > 1 + len(members):
        lines.insert(2 + len(members), lines[1])
    if len(members) > 1:
        lines += ["", *_anytime(metrics["anytime"])]
    if "corruptions" in metrics:
        lines += ["", *_corruptions(metrics["corruptions"])]
    if "interpolation" in metrics:
        lines += ["", *_interpolation(metrics["interpolation"])]
    return "\n".join([*lines, "", *_remarks(metrics)])


def whole(metrics):
    """Returns the row of the anytime table with all members."""
    return max(metrics["anytime"], key=lambda row: len(row["members"]))


def cells(measured, *names):
    """Formats numbers, by their names in metrics.json, for a table."""
    return [_SHOWN[name](measured[name]) for name in names]


def aligned(rows):
    """Aligns rows of cells as lines, the first one underlined."""
    first, *others = (max(map(len, each)) for each in zip(*rows, strict=True))
    line = "  ".join([f"{{:<{first}}}", *(f"{{:>{w}}}" for w in others)])
    head, *below = (line.format(*row) for row in rows)
    return [head, "-" * len(head), *below]


def _anytime(points):
    """Yields the table of subsets; stars mark those on the frontier."""
    frontier = pareto_frontier(points)
    if len(points) > _MAX_SUBSETS:
        last = len(frontier) - 1
        shown = np.linspace(0, last, min(len(frontier), _MAX_SUBSETS))
        points = [frontier[round(place)] for place in shown]
    rows = [("members that answer", "accuracy", "NLL", "MFLOPs", "ms")]
    for point in points:
        star = "*" if point in frontier else " "
        label = f"{star} {', '.join(map(str, point['members']))}"
        numbers = cells(point, "accuracy", "nll", "flops", "milliseconds")
        rows.append((label, *numbers))
    yield from aligned(rows)
    yield "* more accurate than all that need no more FLOPs (ms: one example)"


def _corruptions(report):
    """Yields accuracies by severity, means over the corruptions."""
    rows = report["corruptions"]
    severities = sorted({row["severity"] for row in rows})
    names = {row["corruption"] for row in rows}
    yield (
        f"accuracy on corrupted images, mean of {len(names)} corruptions "
        "by severity:"
    )
    table = [("", *map(str, severities), "mean", "NLL")]
    count = len(report.get("members", ()))
    series = [
        (f"member {i}", [each["members"][i] for each in (report, *rows)])
        for i in range(count)
    ]
    series.append(("ensemble" if count else "network", [report, *rows]))
    for label, (mean, *measured) in series:
        accuracies = {severity: [] for severity in severities}
        for row, each in zip(rows, measured, strict=True):
            accuracies[row["severity"]].append(each["accuracy"])
        by_severity = (f"{np.mean(of):.2%}" for of in accuracies.values())
        table.append((label, *by_severity, *cells(mean, "accuracy", "nll")))
    yield from aligned(table)


def _interpolation(ways):
    """Yields the lowest points on the straight lines between members."""
    head = ("accuracy", "lowest", "at", "highest NLL")
    rows = [("from member to member", *head)]
    for way in ways:
        points = way["points"]
        lowest = min(points, key=lambda point: point["accuracy"])
        row = [
            "{} to {}".format(*way["members"]),
            f"{points[0]['accuracy']:.2%}, {points[-1]['accuracy']:.2%}",
            f"{lowest['accuracy']:.2%}",
            f"{lowest['position']:.2f}",
            f"{max(point['nll'] for point in points):.3f}",
        ]
        rows.append(row)
    yield from aligned(rows)
    yield "weights in a straight line, batch norm by the statistics of batches"


def _remarks(metrics):
    trainable = metrics["trainable_parameters"]
    budget = metrics["budget_params"]
    alone = metrics["independent_params"]
    if len(metrics["members"]) > 1:
        diversity = metrics["diversity"]
        shown = "not defined: no errors"
        if diversity is not None:
            shown = f"{diversity:.2f} (disagreement of two members / error)"
        yield f"diversity   {shown}"
    one = metrics.get("one_network")
    if one:
        most = max(member["parameters"] for member in metrics["members"])
        how = "narrowed" if one["parameters"] < most else "widened"
        yield f"one network {one['name']}, {how} to fit the same budget"
    yield (
        f"parameters  {trainable:,} of a budget of {budget:,} "
        f"({trainable / budget:.1%}) are trained and stored;"
    )
    yield (
        f"            {alone:,} without sharing, of which that is "
        f"{trainable / alone:.1%}"
    )
    search = metrics.get("search")
    if search:
        beta = search.get("beta")  # earlier versions did not decide it
        decided = f"tau {search['tau']:g}" + (
            "" if beta is None else f", beta {beta:g}"
        )
        yield (
            f"search      {search['num_start_clusters']} clusters by depth, "
            f"{search['num_clusters']} by similarity ({decided})"
        )
