"""Memory of a training step, and the bytes that workers exchange."""

from dataclasses import dataclass

from keras_superweights.arguments import check_integer


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training step on one device or worker.

    Attributes:
        parameters: Trained variables.
        gradients: Gradients of `parameters`, which workers exchange; those of
            `IVON` are two for each.
        slots: All variables of the optimizer.
        untrained: Variables that are not trained: statistics, frozen layers.
        generated: The vectors that banks generate, `S`.
        copies: Copies that layers read, of kernels and variables: in another
            dtype, assembled from several vectors, upsampled, or sampled.
        kernel_gradients: Gradients of generated kernels, from which the
            gradient of `S` is assembled, bank by bank.
        kept: The part of `generated` that layers read without a copy.
        largest: The largest part of `generated`.
        statistics: The part of `untrained` that is averaged over workers.
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
        """The most bytes at once, if all gradients exist together.

        Besides variables and gradients, a step holds one after the other: `S`
        and its copies; what layers read, and kernel gradients; and these with
        the gradient of the largest vector.
        """
        forward = self.generated + self.copies
        backward = self.kept + self.copies + self.kernel_gradients
        assembled = self.kernel_gradients + self.largest
        variables = self.parameters + self.slots + self.untrained
        return variables + self.gradients + max(forward, backward, assembled)

    def exchanged(self, num_workers) -> int:
        """Returns the bytes that each worker sends, and receives, in a step.

        A ring all-reduce of `b` bytes over `n` workers takes each of them
        `2 * (n - 1) / n * b` (Patarasuk and Yuan 2009, section 3).
        """
        check_integer("num_workers", num_workers)
        reduced = self.gradients + self.statistics
        return round(2 * (num_workers - 1) / num_workers * reduced)


@dataclass(frozen=True)
class TrainingPlan:
    """Result of `plan_training`; prints as a table.

    Attributes:
        shared: `TrainingMemory` of the `SuperWeightNetwork`.
        alone: `TrainingMemory` of plain Keras models that share nothing.
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
        rows = [
            (label, getattr(self.shared, name), getattr(self.alone, name))
            for label, name in _ROWS
        ]
        last = len(rows) - 1
        if self.num_workers > 1:
            label = f"sent by each of {self.num_workers:,} workers"
            plans = (self.shared, self.alone)
            rows.append(
                (label, *(p.exchanged(self.num_workers) for p in plans))
            )
        width = max(len(label) for label, *_ in rows)
        header = f"{'bytes of a step':{width}}      shared  not shared   ratio"
        line = "-" * len(header)
        lines = [f"{self.optimizer}; {', '.join(self.dtypes)}", header, line]
        for place, (label, shared, alone) in enumerate(rows):
            if place == last:
                lines.append(line)
            ratio = f"{shared / alone:.1%}" if alone else ""
            lines.append(
                f"{label:{width}}  {_in_units(shared):>10}  "
                f"{_in_units(alone):>10}  {ratio:>6}".rstrip()
            )
        return "\n".join(lines)


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


def _in_units(size):
    """Formats bytes in the largest unit of which there is at least one."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    decimals = 1 if power else 0
    return f"{size / 1024**power:,.{decimals}f} {units[power]}"
