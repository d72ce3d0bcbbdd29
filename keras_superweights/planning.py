"""What a training step needs: memory, and bytes that workers exchange.

Counted from shapes, before any variable has a value, so that a network of a
hundred billion parameters is planned in seconds.
"""

import inspect
import math
import re
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_superweights.banks import KernelGenerator
from keras_superweights.cloning import without_memory
from keras_superweights.layers import walk
from keras_superweights.members import dtype_policy
from keras_superweights.members import fitted_allocation
from keras_superweights.members import generated_dtype
from keras_superweights.members import shareable_kernels
from keras_superweights.members import skeletons

# By the names under which Keras knows them.
OPTIMIZERS = {
    name.lower(): kind
    for name, kind in inspect.getmembers(keras.optimizers, inspect.isclass)
    if issubclass(kind, keras.optimizers.Optimizer)
    and "learning_rate" in inspect.signature(kind).parameters
}
# Sizes of the axes of a stand-in, by which they are told apart.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


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


def plan_training(members, allocation, optimizer="sgd", num_workers=1):
    """Counts what a training step needs, shared and not; makes no variable.

    Sharing saves parameters, their gradients, slots of the optimizer, and
    what workers exchange. It costs the kernels that are generated, and their
    gradients, which exist besides: with an optimizer without slots a step may
    need more than without sharing.

    Not counted are activations, which grow with the batch, metrics, the
    working memory of single operations (an optimizer's, a few times its
    largest variable), and what TensorFlow itself takes. Counted is all else
    as if it existed at once; TensorFlow frees a gradient as soon as it is
    applied, so that plain Keras models on one device need less than that.

    Args:
        members: As for `SuperWeightNetwork`; functions cost no memory. Their
            layers' dtype policies say in which dtypes they compute.
        allocation: An `Allocation` made for them.
        optimizer: A Keras optimizer, or the name of one, with its defaults.
            It is not changed. Defaults to `"sgd"`.
        num_workers: Workers that train together, each on its part of every
            batch. Defaults to 1.

    Returns:
        A `TrainingPlan`.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If the optimizer is not known, there is no worker, or the
            allocation was made for other members.

    Example:

    ```python
    member = lambda: ksw.models.transformer(96, 12288, 96, 50257, 2048)
    allocation = ksw.allocate(member, 0.3, ksw.sharing.MixtureEnsembles())
    print(
        ksw.planning.plan_training(
            member, allocation, "adamw", num_workers=1024
        )
    )
    ```
    """
    if not isinstance(num_workers, int) or num_workers < 1:
        raise ValueError(
            "`num_workers` must be a positive integer. Received: "
            f"num_workers={num_workers!r}."
        )
    models = skeletons(members)
    allocation = fitted_allocation(models, allocation)
    policy = dtype_policy(models)
    optimizer = _optimizer(optimizer, policy)
    with without_memory():
        generator = KernelGenerator(
            allocation, dtype=generated_dtype(policy.variable_dtype)
        )
    layers = [layer for model in models for _, layer in walk(model)]
    # By the identity of each variable that is generated, what reads it.
    readers = {
        id(getattr(layer, weight)): (index, layer)
        for index, (layer, weight) in enumerate(
            (layer, weight)
            for model in models
            for _, layer, weight in shareable_kernels(model)
        )
        if allocation.pieces[index]
    }
    trained = [v for model in models for v in model.trainable_variables]
    untrained = [v for model in models for v in model.non_trainable_variables]
    own = [v for v in trained if id(v) not in readers]
    generated = _of_kernels(generator, readers.values())
    generated["copies"] += _copies(layers, own)
    return TrainingPlan(
        shared=TrainingMemory(
            **_of_variables(
                [*generator.trainable_variables, *own],
                [*generator.non_trainable_variables, *untrained],
                optimizer,
            ),
            **generated,
            statistics=_bytes(_statistics(layers, untrained)),
        ),
        alone=TrainingMemory(
            **_of_variables(trained, untrained, optimizer),
            copies=_copies(layers, trained),
        ),
        optimizer=type(
            getattr(optimizer, "inner_optimizer", optimizer)
        ).__name__,
        dtypes=tuple(dict.fromkeys(each.dtype_policy.name for each in layers)),
        num_workers=num_workers,
    )


def _optimizer(optimizer, policy):
    """A fresh optimizer like the one given, which scales the loss if needed."""
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise ValueError(
                "`optimizer` must be a Keras optimizer or the name of one: "
                f"{', '.join(sorted(OPTIMIZERS))}. Received: "
                f"optimizer={optimizer!r}."
            )
        optimizer = OPTIMIZERS[optimizer.lower()]()
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "`optimizer` must be a Keras optimizer or the name of one. "
            f"Received: optimizer={optimizer!r}."
        )
    fresh = type(optimizer).from_config(optimizer.get_config())
    is_scaled = isinstance(fresh, keras.optimizers.LossScaleOptimizer)
    if policy.name == "mixed_float16" and not is_scaled:
        fresh = keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def _of_variables(trained, untrained, optimizer):
    parameters = _bytes(trained)
    return {
        "parameters": parameters,
        "gradients": parameters,
        "slots": _slots(optimizer, trained),
        "untrained": _bytes(untrained),
    }


def _slots(optimizer, variables):
    """Bytes of the optimizer's variables, once it has been built for these.

    A copy is built for stand-ins of a few scalars, one for all variables that
    differ in numbers only. Their axes have sizes that tell them apart: a slot
    has some of the axes of its variable, or all.
    """
    optimizer = type(optimizer).from_config(optimizer.get_config())
    kinds = {}  # of variables; an optimizer may ask for their names, too
    for variable in variables:
        name = re.sub(r"\d+", "", variable.path).replace("/", "_")
        kind = (len(variable.shape), variable.dtype, name)
        kinds.setdefault(kind, []).append(tuple(variable.shape))
    optimizer.build(
        [
            keras.Variable(tf.zeros(_PRIMES[:ndim], dtype), name=name)
            for ndim, dtype, name in kinds
        ]
    )
    shapes = list(kinds.values())
    of_slots = {}  # by identity, the shapes of the variables that have such
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name, slots in vars(inner).items():
        # Slots are lists in the order of the variables, under names that
        # differ from optimizer to optimizer.
        if name in ("_variables", "_trainable_variables"):
            continue
        if isinstance(slots, list) and len(slots) == len(shapes):
            of_slots.update(zip(map(id, slots), shapes, strict=True))
    return sum(
        _scalars(slot.shape, shape) * _itemsize(slot.dtype)
        for slot in optimizer.variables
        for shape in of_slots.get(id(slot), [()])
    )


def _scalars(slot, shape):
    """Scalars of a slot, whose axes stand for those of a variable."""
    axes = dict(zip(_PRIMES, shape, strict=False))
    return math.prod(axes.get(size, size) for size in slot)


def _of_kernels(generator, readers):
    """What kernels take: the fields of `TrainingMemory` that are theirs."""
    allocation = generator.allocation
    kernels = allocation.kernels
    dtype = generator.variable_dtype
    # Those that only use a template as it is make nothing of it.
    rows = [0 if p.is_plain else p.num_rows for p in allocation.superweights]
    sizes = [
        count * piece.generated_size(kernels) * _itemsize(dtype)
        for count, piece in zip(rows, allocation.superweights, strict=True)
    ]
    copies, gradients, kept = 0, 0, set()
    for index, layer in readers:
        scalars = kernels[index].size
        (first, _), *others = allocation.pieces[index]
        piece = allocation.superweights[first]
        read = _read_dtype(layer, dtype)
        whole = not others and piece.generated_size(kernels) == scalars
        if whole and read == dtype:
            kept.add(first)
        else:
            copies += scalars * _itemsize(read)
        if piece.upsampling == "mask":  # kept as long as what it multiplies
            copies += scalars * _itemsize(dtype)
        # That of the only reader of a template is the gradient of the bank.
        if not (whole and piece.is_plain and len(piece.kernels) == 1):
            gradients += scalars * _itemsize(dtype)
    return {
        "generated": sum(sizes),
        "copies": copies,
        "kernel_gradients": gradients,
        "kept": sum(sizes[index] for index in kept),
        "largest": max(sizes, default=0),
    }


def _copies(layers, variables):
    """Bytes of the copies that layers make of variables in another dtype."""
    counted = {id(variable) for variable in variables}
    return sum(
        math.prod(v.shape) * _itemsize(_read_dtype(layer, v.dtype))
        for layer in layers
        for v in layer._trainable_variables
        if id(v) in counted and _read_dtype(layer, v.dtype) != v.dtype
    )


def _read_dtype(layer, dtype):
    """The dtype in which a layer reads a variable, or a kernel, of a dtype."""
    casts = layer.autocast and keras.backend.is_float_dtype(layer.compute_dtype)
    return layer.compute_dtype if casts else dtype


def _statistics(layers, untrained):
    """What a network averages over its replicas: not what is frozen."""
    frozen = {
        id(v)
        for layer in layers
        if not layer.trainable
        for v in layer.variables
    }
    return [
        v
        for v in untrained
        if keras.backend.is_float_dtype(v.dtype) and id(v) not in frozen
    ]


def _bytes(variables):
    return sum(math.prod(v.shape) * _itemsize(v.dtype) for v in variables)


def _itemsize(dtype):
    return tf.as_dtype(dtype).size


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
