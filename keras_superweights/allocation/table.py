"""The allocation as a table: where the parameters are."""

from keras_superweights.allocation.specs import reasons


def format_allocation(allocation) -> str:
    """The table that an allocation prints.

    One row per bank; one per kind of transform; one for the kernels that each
    member keeps to itself, if any; one for the rest of each member. The last
    row is the sum of the two columns, which together are the trainable scalars
    of the network. Below it stands which kernels no rule could share, and why.

    Args:
        allocation: An `Allocation`.
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
        own = [
            allocation.kernels[k]
            for k in allocation.private_kernels
            if allocation.kernels[k].member == index
        ]
        if own:
            size = sum(kernel.size for kernel in own)
            label = f"kernels of member {index} alone"
            rows.append((label, len(own), "", size, ""))
        label = f"rest of member {index}, '{member.name}'"
        rows.append((label, "", "", member.other_params, ""))
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
    """What transforms need: `(what it is, for how many kernels, scalars)`."""
    found = {}
    for transform in allocation.transforms:
        scalars = allocation.scalars_of(transform)
        if scalars:
            kernels, size = found.get(transform.noun, (0, 0))
            found[transform.noun] = (
                kernels + len(transform.kernels),
                size + scalars,
            )
    return [(noun, *numbers) for noun, numbers in found.items()]


def _aligned(rows) -> list[str]:
    """The rows as lines, first column left, the others right-aligned."""
    text = [
        [f"{c:,}" if isinstance(c, int) else str(c) for c in row]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(
                zip(row, widths, strict=True)
            )
        ).rstrip()
        for row in text
    ]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
