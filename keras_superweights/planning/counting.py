"""Counts what a training step needs, from shapes.

No variable has a value, so a network of a hundred billion parameters is
planned in seconds.
"""

import math

import keras
import tensorflow as tf

from keras_superweights.arguments import check_integer
from keras_superweights.banks import KernelGenerator
from keras_superweights.layers import walk
from keras_superweights.members import skeleton
from keras_superweights.members.allocating import fitted_allocation
from keras_superweights.members.cloning import without_memory
from keras_superweights.members.shareable import weights_of
from keras_superweights.planning import optimizers
from keras_superweights.planning.memory import TrainingMemory
from keras_superweights.planning.memory import TrainingPlan
from keras_superweights.training.gradients import statistics


def plan_training(members, allocation, optimizer="sgd", num_workers=1):
    """Counts what a training step needs, shared and not; makes no variables.

    Sharing saves parameters, their gradients, optimizer slots, and the bytes
    that workers exchange. It adds the generated kernels and their gradients:
    with an optimizer without slots, a step may need more than without sharing.

    Not counted: activations, which grow with the batch, metrics, the working
    memory of single operations (for an optimizer, a few times its largest
    variable), and TensorFlow's own memory. Everything else is counted as if it
    existed at once. TensorFlow frees a gradient as soon as it is applied, so
    plain Keras models on one device need less.

    Args:
        members: As for `SuperWeightNetwork`; functions use no memory. The
            dtype policies of their layers determine the dtypes.
        allocation: An `Allocation` made for them.
        optimizer: A Keras optimizer, or the name of one, with its defaults.
            It is not changed. Defaults to `"sgd"`.
        num_workers: Number of workers, each of which trains on its part of
            every batch. Defaults to 1.

    Returns:
        A `TrainingPlan`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the optimizer is unknown, `num_workers` is not positive,
            or the allocation was made for other members.

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
    check_integer("num_workers", num_workers)
    models = skeleton.skeletons(members)
    allocation = fitted_allocation(models, allocation)
    policy = skeleton.dtype_policy(models)
    optimizer = optimizers.fresh_optimizer(optimizer, policy)
    with without_memory():
        generator = KernelGenerator(
            allocation, dtype=skeleton.generated_dtype(policy.variable_dtype)
        )
    layers = [layer for model in models for _, layer in walk(model)]
    # By the identity of each generated variable, the layer that reads it.
    readers = {
        id(getattr(layer, weight)): (index, layer)
        for index, (layer, weight) in enumerate(
            weights_of(models, allocation.kernels)
        )
        if allocation.composition[index]
    }
    vectors = weights_of(models, allocation.vectors)
    repeated = {
        id(getattr(*vectors[index]))
        for group in allocation.common
        for index in group[1:]
    }
    trained = [v for model in models for v in model.trainable_variables]
    untrained = [v for model in models for v in model.non_trainable_variables]
    own = [v for v in trained if id(v) not in readers.keys() | repeated]
    generated = _of_kernels(generator, readers.values())
    generated["copies"] += _copies(layers, own)
    copies = _copies(layers, trained)
    in_network = [*generator.trainable_variables, *own]
    if optimizers.reads_samples(optimizer):
        generated["copies"] += _bytes(in_network)
        copies += _bytes(trained)
    return TrainingPlan(
        shared=TrainingMemory(
            **_of_variables(
                in_network,
                [*generator.non_trainable_variables, *untrained],
                optimizer,
            ),
            **generated,
            statistics=_bytes(statistics(layers, untrained)),
        ),
        alone=TrainingMemory(
            **_of_variables(trained, untrained, optimizer),
            copies=copies,
        ),
        optimizer=type(optimizers.inner_optimizer(optimizer)).__name__,
        dtypes=tuple(dict.fromkeys(each.dtype_policy.name for each in layers)),
        num_workers=num_workers,
    )


def _of_variables(trained, untrained, optimizer):
    return {
        "parameters": _bytes(trained),
        "gradients": optimizers.gradient_bytes(optimizer, trained),
        "slots": optimizers.slot_bytes(optimizer, trained),
        "untrained": _bytes(untrained),
    }


def _of_kernels(generator, readers):
    """Returns the fields of `TrainingMemory` that depend on kernels."""
    allocation = generator.allocation
    kernels = allocation.kernels
    dtype = generator.variable_dtype
    # A single template, used without mixing, is no copy.
    sizes = [
        each.num_rows * each.size * _itemsize(dtype) if each.mixing.mixes else 0
        for each in allocation.superweights
    ]
    copies, gradients, kept = 0, 0, set()
    for index, layer in readers:
        scalars = kernels[index].size
        (first, _), *others = allocation.composition[index]
        superweight = allocation.superweights[first]
        chain = allocation.transforms_of[index]
        read = _read_dtype(layer, dtype)
        whole = not others and not chain
        if whole and read == dtype:
            kept.add(first)
        else:
            copies += scalars * _itemsize(read)
        # Masks and factors are as long as what they multiply.
        held = sum(transform.num_kept(kernels[index]) for transform in chain)
        copies += held * _itemsize(dtype)
        # For a template's only reader, this is the bank's own gradient.
        is_plain = not superweight.mixing.mixes
        if not (whole and is_plain and len(superweight.kernels) == 1):
            gradients += scalars * _itemsize(dtype)
    return {
        "generated": sum(sizes),
        "copies": copies,
        "kernel_gradients": gradients,
        "kept": sum(sizes[index] for index in kept),
        "largest": max(sizes, default=0),
    }


def _copies(layers, variables):
    """Returns the bytes of copies that layers make in another dtype."""
    counted = {id(variable) for variable in variables}
    return sum(
        math.prod(v.shape) * _itemsize(_read_dtype(layer, v.dtype))
        for layer in layers
        for v in layer._trainable_variables
        if id(v) in counted and _read_dtype(layer, v.dtype) != v.dtype
    )


def _read_dtype(layer, dtype):
    """Returns the dtype in which a layer reads a variable of some dtype."""
    casts = layer.autocast and keras.backend.is_float_dtype(layer.compute_dtype)
    return layer.compute_dtype if casts else dtype


def _bytes(variables):
    return sum(math.prod(v.shape) * _itemsize(v.dtype) for v in variables)


def _itemsize(dtype):
    return tf.as_dtype(dtype).size
