"""The table of what was compared: means over seeds, and spreads."""

import statistics


def table(rows, title=""):
    """Returns a table as text.

    Args:
        rows: Dict from a row's name to a dict from a column's name to text, or
            to a list of numbers, one per seed: shown as mean and standard
            deviation, whole numbers as their mean, lists with None as "-".
        title: Head of the first column.
    """
    columns = next(iter(rows.values()))
    width = 2 + max(map(len, [title, *rows]))
    lines = [f"{title:<{width}}" + "".join(f"{c:>16}" for c in columns)]
    for name, cells in rows.items():
        texts = map(_text, cells.values())
        lines.append(f"{name:<{width}}" + "".join(f"{t:>16}" for t in texts))
    return "\n".join(lines)


def _text(cell):
    if isinstance(cell, str):
        return cell
    if None in cell:
        return "-"
    if all(isinstance(value, int) for value in cell):
        return f"{statistics.mean(cell):,.0f}"
    mean = f"{statistics.mean(cell):.4f}"
    return f"{mean} ±{statistics.stdev(cell):.4f}" if len(cell) > 1 else mean
