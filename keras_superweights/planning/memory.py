"""The memory of a training step, and the bytes that workers exchange."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training step on one device, or one of several workers.

    Attributes:
        parameters: Trained variables.
        gradients: As many scalars, what workers exchange.
        slots: All variables of the optimizer.
        untrained: Variables that are not trained: statistics, frozen layers.
        generated: Pieces of kernels as they are generated, `S`.
        copies: Kernels and variables as layers read them, where that is a
            copy: in another dtype, put together of pieces, or upsampled.
        kernel_gradients: The gradients of generated kernels, from which that
            of `S` is put together, bank by bank.
        kept: Of `generated`, what layers read without a copy.
        largest: The largest piece of `generated`.
        statistics: Of `untrained`, what is averaged over workers.
    """

    parameters: int
    gradients: int
    slots: int
    untrained: int
    generated: int = 0
    copies: int = 0
    kernel_gradients: int = 0
    kept: int = 0
    largest: int = 0
    statistics: int = 0

    @property
    def peak(self) -> int:
        """The most that there is at once, if all gradients are.

        Besides variables and gradients these are, one after the other: `S`
        and what is copied from it; what layers read, and the gradients of
        kernels; these gradients, and that of the largest piece.
        """
        forward = self.generated + self.copies
        backward = self.kept + self.copies + self.kernel_gradients
        put_together = self.kernel_gradients + self.largest
        return (
            self.parameters
            + self.gradients
            + self.slots
            + self.untrained
            + max(forward, backward, put_together)
        )

    def exchanged(self, num_workers) -> int:
        """Bytes that each of some workers sends in a step, and receives.

        A ring all-reduce of `b` bytes over `n` workers takes each of them
        `2 * (n - 1) / n * b` (Patarasuk and Yuan 2009, section 3).
        """
        reduced = self.gradients + self.statistics
        return round(2 * (num_workers - 1) / num_workers * reduced)


@dataclass(frozen=True)
class TrainingPlan:
    """What `plan_training` returns; printed, it is a table.

    Attributes:
        shared: `TrainingMemory` of the `SuperWeightNetwork`.
        alone: That of the members when they share nothing: plain Keras models.
        optimizer: The optimizer's class, by name.
        dtypes: The dtype policies of the members' layers, by name.
        num_workers: Workers that train together.
    """

    shared: TrainingMemory
    alone: TrainingMemory
    optimizer: str
    dtypes: tuple[str, ...]
    num_workers: int

    def __str__(self):
        return _table(self)


_ROWS = (
    ("parameters", "parameters"),
    ("gradients", "gradients"),
    ("optimizer", "slots"),
    ("not trained", "untrained"),
    ("generated kernels", "generated"),
    ("  as layers read them, if copied", "copies"),
    ("  their gradients", "kernel_gradients"),
    ("at once, at most", "peak"),
)


def _table(plan):
    rows = [
        (label, getattr(plan.shared, name), getattr(plan.alone, name))
        for label, name in _ROWS
    ]
    if plan.num_workers > 1:
        rows.append(
            (
                f"sent by each of {plan.num_workers:,} workers",
                plan.shared.exchanged(plan.num_workers),
                plan.alone.exchanged(plan.num_workers),
            )
        )
    width = max(len(label) for label, *_ in rows)
    header = f"{'bytes of a step':{width}}      shared  not shared   ratio"
    lines = [
        f"{plan.optimizer}; {', '.join(plan.dtypes)}",
        header,
        "-" * len(header),
    ]
    for label, shared, alone in rows:
        if label == rows[len(_ROWS) - 1][0]:
            lines.append(lines[2])
        ratio = f"{shared / alone:.1%}" if alone else ""
        lines.append(
            f"{label:{width}}  {_in_units(shared):>10}  {_in_units(alone):>10}"
            f"  {ratio:>6}".rstrip()
        )
    return "\n".join(lines)


def _in_units(size):
    """Bytes in the largest unit of which there is one."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    decimals = 1 if power else 0
    return f"{size / 1024**power:,.{decimals}f} {units[power]}"
