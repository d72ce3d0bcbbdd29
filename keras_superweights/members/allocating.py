"""Allocations of members, made without variables."""

import dataclasses
import math

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.specs import reasons
from keras_superweights.allocation.specs import resolve_budget
from keras_superweights.allocation.vectors import VectorSpec
from keras_superweights.layers import GENERATED
from keras_superweights.layers import generated_class
from keras_superweights.members.shareable import head_kernels
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import unshared_kernels
from keras_superweights.members.shareable import vectors
from keras_superweights.members.skeleton import skeletons
from keras_superweights.sharing.default import default_rule


def allocate(members, budget_params, sharing=None):
    """Allocates members inside a budget, without making variables.

    Args:
        members, budget_params: As for `SuperWeightNetwork`. The variables of
            members that are functions are not made either.
        sharing: A rule of `keras_superweights.sharing`. By default,
            `sharing.default_rule` chooses one by the members, which the table
            names.

    Returns:
        An `Allocation`. It prints as a table with a row per bank whose total is
        the number of trainable scalars of a network built from it.

    Raises:
        TypeError: If a member, the budget or the rule has a wrong type.
        ValueError: If a member cannot be shared, members do not fit together,
            or the budget is too small; the error names the smallest that works.

    Example:

    ```python
    members = [
        lambda width=width: ksw.models.wide_resnet(28, width, num_classes=100)
        for width in (7, 4, 3)
    ]
    print(ksw.allocate(members, 18_000_000, ksw.sharing.SuperWeights()))
    ```
    """
    models = skeletons(members)
    specs = describe(models)
    budget = resolve_budget(budget_params, specs)
    if sharing is None:
        sharing = default_rule(specs, budget)
    has_rule = callable(getattr(sharing, "allocate", None))
    if has_rule and isinstance(sharing, type):
        raise TypeError(
            "`sharing` must be a rule, not the class of one. Received: "
            f"sharing={sharing.__name__}. Write `{sharing.__name__}()`."
        )
    if not has_rule:
        raise TypeError(
            "`sharing` must be a rule of `keras_superweights.sharing`, such as "
            f"`SuperWeights()`. Received: sharing={sharing!r}."
        )
    return sharing.allocate(specs, budget)


def describe(models) -> tuple[MemberSpec, ...]:
    """Returns the specs of checked models: all that sharing rules see."""
    specs = []
    for index, model in enumerate(models):
        kernels = _specs(index, shareable_kernels(model))
        unshared = unshared_kernels(model)
        if not kernels:
            raise ValueError(
                "Each of `members` needs a kernel to share. Received: member "
                f"{index} ('{model.name}') has kernels only in its heads (the "
                "last layers before its outputs), in frozen layers and in "
                "layers that are not generated, which stay private. Generated "
                f"are: {', '.join(sorted(k.__name__ for k in GENERATED))}. "
                f"{reasons(unshared)}"
            )
        total = sum(math.prod(v.shape) for v in model.trainable_variables)
        shared = sum(kernel.size for kernel in kernels)
        heads = _specs(index, head_kernels(model))
        found = tuple(
            VectorSpec(index, path, tuple(variable.shape), name, kind)
            for path, name, variable, kind in vectors(model)
        )
        others = total - shared, unshared, heads, found
        specs.append(MemberSpec(model.name, kernels, *others))
    return tuple(specs)


def _specs(member, found) -> tuple[KernelSpec, ...]:
    """Describes kernels that `shareable_kernels` has found."""
    specs = []
    for path, layer, weight in found:
        generated = generated_class(type(layer))
        shape = tuple(getattr(layer, weight).shape)
        kind, fan_in = generated.kinds[weight], generated.fan_in(layer)
        specs.append(KernelSpec(member, path, shape, weight, kind, fan_in))
    return tuple(specs)


def allocation_for(models, budget_params, sharing, allocation) -> Allocation:
    """Returns a given allocation, checked, or allocates by the rule."""
    if allocation is not None:
        if budget_params is not None or sharing is not None:
            raise ValueError(
                "Pass either `allocation`, or `budget_params` and `sharing`, "
                "which make one. Received: an allocation, "
                f"budget_params={budget_params} and sharing={sharing}."
            )
        return fitted_allocation(models, allocation)
    return allocate(
        models,
        1.0 if budget_params is None else budget_params,
        sharing,
    )


def fitted_allocation(models, allocation) -> Allocation:
    """Returns an allocation with the names of models, which it must fit."""
    if not isinstance(allocation, Allocation):
        raise TypeError(
            "`allocation` must be an `Allocation`. Received: "
            f"allocation={allocation!r}."
        )
    specs = describe(models)
    if len(specs) != len(allocation.members):
        raise ValueError(
            f"`allocation` was made for {len(allocation.members)} members. "
            f"Received: {len(specs)} members."
        )
    specs = tuple(
        given.offered(
            heads=len(expected.kernels) > len(given.kernels),
            vectors=bool(allocation.common),
        )
        for given, expected in zip(specs, allocation.members, strict=True)
    )
    pairs = zip(specs, allocation.members, strict=True)
    for index, (given, expected) in enumerate(pairs):
        # Keras keeps counting unnamed layers: names may differ.
        if _numbers(given) != _numbers(expected):
            raise ValueError(
                f"`allocation` does not fit member {index}. It was made for "
                f"'{expected.name}' with shareable weights and other "
                f"parameters {_numbers(expected)}. Received: '{given.name}' "
                f"with {_numbers(given)}."
            )
    return dataclasses.replace(allocation, members=specs)


def _numbers(member):
    weights = [
        (each.weight, each.kind, each.shape)
        for each in (*member.kernels, *member.vectors)
    ]
    return weights, member.other_params
