"""The allocation as a table: where the parameters are."""

import collections

from keras_superweights.allocation.specs import reasons


def format_allocation(allocation) -> str:
    """Returns the table that an allocation prints.

    One row per bank, per kind of transform, for the private kernels of each
    member, if any, and for the rest of each member. The last row sums the two
    columns: all trainable scalars. Kernels that cannot be shared follow.
    """
    rows = [("", "kernels", "templates", "scalars", "coefficients")]
    for bank, users in zip(allocation.banks, allocation.readers, strict=True):
        counts = sorted({reader.num_templates for reader in users})
        rows.append(
            (
                bank.name,
                len({k for reader in users for k in reader.kernels}),
                "-".join(map(str, counts[:1] + counts[1:][-1:])),
                bank.size,
                sum(reader.num_coefficients for reader in users),
            )
        )
    for noun, kernels, size in transforms_by_noun(allocation):
        rows.append((noun, kernels, "", size, ""))
    for index, member in enumerate(allocation.members):
        private = (allocation.kernels[k] for k in allocation.private_kernels)
        own = [kernel.size for kernel in private if kernel.member == index]
        if own:
            label = f"kernels of member {index} alone"
            rows.append((label, len(own), "", sum(own), ""))
        label = f"rest of member {index}, '{member.name}'"
        rows.append((label, "", "", allocation.rest_of(index), ""))
    if allocation.common:
        label = "biases and normalization that members share"
        rows.append((label, "", "", allocation.num_common, ""))
    total = allocation.num_params - allocation.num_coefficients
    rows.append(("total", "", "", total, allocation.num_coefficients))
    share = allocation.num_params / allocation.independent_params
    lines = [
        allocation.sharing,
        *_aligned(rows),
        f"{allocation.num_params:,} trainable scalars of a budget of "
        f"{allocation.budget_params:,} "
        f"({allocation.num_params / allocation.budget_params:.1%} used); "
        f"{share:.1%} of the {allocation.independent_params:,} that the "
        "members have when they share nothing.",
        allocation.note,
        *(
            f"Member {index}, '{member.name}'. {reasons(member.unshared)}"
            for index, member in enumerate(allocation.members)
            if member.unshared
        ),
    ]
    return "\n".join(line for line in lines if line)


def transforms_by_noun(allocation) -> list[tuple[str, int, int]]:
    """Returns `(noun, number of kernels, scalars)` of the transforms."""
    kernels, sizes = collections.Counter(), collections.Counter()
    for transform in allocation.transforms:
        if scalars := allocation.scalars_of(transform):
            kernels[transform.noun] += len(transform.kernels)
            sizes[transform.noun] += scalars
    return [(noun, kernels[noun], size) for noun, size in sizes.items()]


def _aligned(rows) -> list[str]:
    """Formats rows as lines, the first column left-aligned."""
    text = [
        [f"{c:,}" if isinstance(c, int) else str(c) for c in row]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    first, *others = widths
    lines = []
    for name, *cells in text:
        right = map(str.rjust, cells, others)
        lines.append("  ".join([name.ljust(first), *right]).rstrip())
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
