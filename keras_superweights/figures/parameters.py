"""Bars of the parameters of an allocation."""

from keras_superweights.allocation import Allocation
from keras_superweights.allocation.table import transforms_by_noun
from keras_superweights.arguments import check_type
from keras_superweights.figures import style
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.figures.labels import counted
from keras_superweights.figures.labels import readable_unit

# With more banks than these, the smallest are one bar.
MAX_BANKS = 60

_UNITS = ((10**6, " (millions)"), (10**3, " (thousands)"), (1, ""))


def allocation_bars(allocation):
    """Returns a figure of where the parameters of an allocation are.

    One bar per bank, with the number of its cluster on the left and its
    numbers of templates and kernels on the right; then coefficients, scalars
    of transforms, kernels that are not shared, and the rest of the members
    (heads, biases, batch norm). All bars add up to the trainable scalars of
    the network. With more than 60 banks, the smallest are one bar.

    Args:
        allocation: A `keras_superweights.Allocation`.
    """
    is_allocation = isinstance(allocation, Allocation)
    check_type("allocation", allocation, is_allocation, "an `Allocation`")
    bars = _bank_bars(allocation)
    num_banks = len(bars)
    private = sum(
        allocation.kernels[k].size for k in allocation.private_kernels
    )
    other = sum(map(allocation.rest_of, range(len(allocation.members))))
    rest = [
        ("coefficients", allocation.num_coefficients),
        *((noun, size) for noun, _, size in transforms_by_noun(allocation)),
        ("kernels not shared", private),
        ("biases and normalization shared", allocation.num_common),
        ("rest of the members", other),
    ]
    bars += [(name, size, f"{size:,} scalars") for name, size in rest if size]
    names, sizes, labels = zip(*bars, strict=True)
    divisor, unit = readable_unit(sizes, _UNITS)

    figure = style.new_figure(7.2, 1.3 + 0.22 * len(bars))
    axis = figure.subplots()
    places = range(len(bars))
    colors = [style.BLUE] * num_banks + [style.GREY] * (len(bars) - num_banks)
    axis.barh(places, [size / divisor for size in sizes], color=colors)
    axis.set_yticks(places, style.shortened(names), fontsize="small")
    style.beside(axis, places, labels, fontsize="small")
    axis.invert_yaxis()
    axis.margins(x=0.03, y=0.01)
    axis.set_xlabel(f"trainable scalars{unit}")
    # Centred on the figure: the axes may be narrower than the title.
    figure.suptitle(
        f"{allocation.num_params:,} trainable scalars in a budget of "
        f"{allocation.budget_params:,}"
    )
    style.tidy(axis)
    axis.grid(visible=False, axis="y")
    return figure


def _bank_bars(allocation):
    """Returns the `(name, scalars, label)` of the largest banks."""
    clusters = clusters_as_formed(allocation)
    number_of = {k: n for n, cluster in enumerate(clusters) for k in cluster}
    bars = []
    for bank, users in zip(allocation.banks, allocation.readers, strict=True):
        kernels = {k for reader in users for k in reader.kernels}
        counts = {reader.num_templates for reader in users}
        label = "up to " if len(counts) > 1 else ""
        label += f"{counted(max(counts), 'template')}, "
        label += counted(len(kernels), "kernel")
        name = f"cluster {number_of[min(kernels)]}: {bank.name}"
        bars.append((name, bank.size, label))
    if len(bars) <= MAX_BANKS:
        return bars
    by_size = sorted(range(len(bars)), key=lambda i: -bars[i][1])
    small = by_size[MAX_BANKS:]
    total = sum(bars[i][1] for i in small)
    rest = (f"{len(small)} smaller banks", total, "")
    return [bars[i] for i in sorted(by_size[:MAX_BANKS])] + [rest]
