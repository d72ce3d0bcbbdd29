"""The tables that a run and its evaluation print."""

import numpy as np

from keras_superweights.metrics import pareto_frontier

# Rows of the table of subsets; where there are more, some of the frontier.
_MAX_SUBSETS = 8


def table(metrics):
    """The table of what was measured, as text."""
    members = metrics["members"]
    head = ("accuracy", "NLL", "ECE", "parameters", "MFLOPs")
    rows = [(metrics.get("split", ""), *head)]
    for index, member in enumerate(members):
        label = f"member {index}, {member['name']}"
        rows.append((label, *_numbers(member, member["parameters"])))
    if len(members) > 1:
        flops = sum(member["flops"] for member in members)
        trainable = metrics["trainable_parameters"]
        total = _numbers({**metrics, "flops": flops}, trainable)
        rows.append((f"ensemble of {len(members)}", *total))
    lines = aligned(rows)
    if len(members) > 1:
        lines.insert(-1, lines[1])
        lines += ["", *_anytime(metrics["anytime"])]
    if "corruptions" in metrics:
        lines += ["", *_corruptions(metrics["corruptions"])]
    if "interpolation" in metrics:
        lines += ["", *_interpolation(metrics["interpolation"])]
    return "\n".join([*lines, "", *_remarks(metrics)])


def aligned(rows):
    """Rows of cells as lines, the first one underlined."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(
                zip(row, widths, strict=True)
            )
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return lines


def _anytime(points):
    """The table of subsets; a star marks those on the Pareto frontier."""
    frontier = pareto_frontier(points)
    if len(points) > _MAX_SUBSETS:
        last = len(frontier) - 1
        shown = np.linspace(0, last, min(len(frontier), _MAX_SUBSETS))
        points = [frontier[round(place)] for place in shown]
    rows = [("members that answer", "accuracy", "NLL", "MFLOPs", "ms")]
    for point in points:
        star = "*" if point in frontier else " "
        rows.append(
            (
                f"{star} {', '.join(map(str, point['members']))}",
                f"{point['accuracy']:.2%}",
                f"{point['nll']:.3f}",
                f"{point['flops'] / 1e6:,.1f}",
                f"{point['milliseconds']:,.2f}",
            )
        )
    yield from aligned(rows)
    yield "* more accurate than all that need no more FLOPs (ms: one example)"


def _corruptions(report):
    """Accuracies by severity, means over the corruptions."""
    rows = report["corruptions"]
    severities = sorted({row["severity"] for row in rows})
    names = {row["corruption"] for row in rows}
    yield (
        f"accuracy on corrupted images, mean of {len(names)} corruptions "
        "by severity:"
    )
    table = [("", *map(str, severities), "mean", "NLL")]
    whole = [(f"member {i}", i) for i in range(len(report.get("members", ())))]
    whole.append(("ensemble" if whole else "network", None))
    for label, member in whole:

        def of(measured, member=member):
            return measured if member is None else measured["members"][member]

        by_severity = [
            np.mean([of(r)["accuracy"] for r in rows if r["severity"] == level])
            for level in severities
        ]
        mean = of(report)
        table.append(
            (
                label,
                *(f"{value:.2%}" for value in by_severity),
                f"{mean['accuracy']:.2%}",
                f"{mean['nll']:.3f}",
            )
        )
    yield from aligned(table)


def _interpolation(ways):
    """What is lowest on the straight line between two members."""
    rows = [
        ("from member to member", "accuracy", "lowest", "at", "highest NLL")
    ]
    for way in ways:
        points = way["points"]
        lowest = min(points, key=lambda point: point["accuracy"])
        rows.append(
            (
                "{} to {}".format(*way["members"]),
                f"{points[0]['accuracy']:.2%}, {points[-1]['accuracy']:.2%}",
                f"{lowest['accuracy']:.2%}",
                f"{lowest['position']:.2f}",
                f"{max(point['nll'] for point in points):.3f}",
            )
        )
    yield from aligned(rows)
    yield "weights in a straight line, batch norm by the statistics of batches"


def _numbers(measured, parameters):
    return (
        f"{measured['accuracy']:.2%}",
        f"{measured['nll']:.3f}",
        f"{measured['ece']:.2%}",
        f"{parameters:,}",
        f"{measured['flops'] / 1e6:,.1f}",
    )


def _remarks(metrics):
    trainable = metrics["trainable_parameters"]
    budget = metrics["budget_params"]
    alone = metrics["independent_params"]
    if len(metrics["members"]) > 1:
        diversity = metrics["diversity"]
        shown = "not defined: no errors" if diversity is None else diversity
        if diversity is not None:
            shown = f"{diversity:.2f} (disagreement of two members / error)"
        yield f"diversity   {shown}"
    yield (
        f"parameters  {trainable:,} of a budget of {budget:,} "
        f"({trainable / budget:.1%}) are trained and stored;"
    )
    yield (
        f"            {alone:,} without sharing, of which that is "
        f"{trainable / alone:.1%}"
    )
