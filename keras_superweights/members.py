"""Members: plain Keras models, checked, and what rules know of them.

A member is a Functional or Sequential model, or a function that returns one.
Given a function, the model is built without memory: it has every shape, and
none of its variables is ever initialized.
"""

import dataclasses
import inspect
import math

import keras

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.kernels import KernelSpec
from keras_superweights.allocation.kernels import MemberSpec
from keras_superweights.allocation.kernels import reasons
from keras_superweights.allocation.kernels import resolve_budget
from keras_superweights.cloning import kept_layers
from keras_superweights.cloning import without_memory
from keras_superweights.kernels import shareable_kernels
from keras_superweights.kernels import unshared_kernels
from keras_superweights.layers import GENERATED
from keras_superweights.sharing import SuperWeights


def allocate(members, budget_params, sharing):
    """Allocates members inside a budget; makes no variable.

    Args:
        members: Keras models, or functions that return them, in which case
            not even their own variables are made. A single one is an ensemble
            of one.
        budget_params: The most trainable scalars: an integer, or a float, a
            fraction of what the members have when they share nothing.
        sharing: A rule of `keras_superweights.sharing`.

    Returns:
        An `Allocation`. Printed, it is a table with a row per bank whose total
        is exactly the number of trainable scalars of the network built from
        it.

    Raises:
        TypeError: If a member, the budget or the rule is of another kind.
        ValueError: If a member cannot be shared, members do not fit together,
            or the budget is too small; the last names the smallest that works.

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
    return sharing.allocate(specs, resolve_budget(budget_params, specs))


def skeletons(members) -> list[keras.Model]:
    """The members as models, checked; functions are called without memory."""
    if isinstance(members, keras.Model) or callable(members):
        members = [members]
    if not isinstance(members, (list, tuple)) or not members:
        raise TypeError(
            "`members` must be a Keras model, a function that returns one, or "
            f"a list of these. Received: members={members!r}."
        )
    models = [_skeleton(index, member) for index, member in enumerate(members)]
    if len(models) > 1:
        _check_ensemble(models)
    return models


def _skeleton(index, member) -> keras.Model:
    model = member
    if not isinstance(member, keras.layers.Layer) and callable(member):
        _check_callable(index, member)
        with without_memory():
            model = member()
        _check_nothing_kept(index, model)
    if not isinstance(model, keras.Model):
        raise TypeError(
            "Each of `members` must be a Keras model or a function that "
            f"returns one. Received for member {index}: {model!r}."
        )
    if isinstance(getattr(model, "allocation", None), Allocation):
        raise TypeError(
            f"The model '{model.name}', member {index}, is a "
            f"{type(model).__name__} already. Pass the models it was made of, "
            "or what its `materialize()` returns."
        )
    if not getattr(model, "outputs", None):
        raise ValueError(
            "Each of `members` must be a Functional or built Sequential model, "
            "which can be cloned layer by layer. Received for member "
            f"{index}: '{model.name}' of class {type(model).__name__}. Write a "
            "subclassed model as `keras.Model(inputs, outputs)`, and begin a "
            "Sequential model with `keras.Input`."
        )
    return model


def _check_callable(index, member):
    try:
        inspect.signature(member).bind()
    except TypeError as error:
        raise TypeError(
            "A member that is a function must be callable without arguments. "
            f"Received for member {index}: {member!r}: {error}. Write "
            "`lambda: build(16, 4)`."
        ) from error


def _check_nothing_kept(index, model):
    """A function's model has no values, so none that must be kept either."""
    if isinstance(model, keras.Model) and getattr(model, "outputs", None):
        kept = kept_layers(model)
        if kept:
            raise ValueError(
                "A member given as a function must not have layers whose "
                "values have to be kept, since it is built without values. "
                f"Received: member {index} ('{model.name}') has layers that "
                f"are not trained: {kept}. Pass the model itself."
            )


def _check_ensemble(models):
    """Members of an ensemble see one input and average one output."""
    for index, model in enumerate(models):
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(
                "Members of an ensemble must have one input and one output. "
                f"Received for member {index} ('{model.name}'): "
                f"{len(model.inputs)} inputs and {len(model.outputs)} outputs."
            )
        shape = model.outputs[0].shape
        if len(shape) != 2 or shape[-1] < 2:
            raise ValueError(
                "Members of an ensemble must return logits of shape "
                "(batch, classes) with two classes or more. Received for "
                f"member {index} ('{model.name}'): output shape {shape}."
            )
        last = model.outputs[0]._keras_history.operation
        activation = getattr(last, "activation", None)
        if activation in (
            keras.activations.softmax,
            keras.activations.sigmoid,
        ) or isinstance(last, keras.layers.Softmax):
            raise ValueError(
                "Members of an ensemble must return logits, since their "
                "probabilities are averaged by the network. Received: member "
                f"{index} ('{model.name}') ends in '{last.name}', which "
                "applies an activation. Leave it out "
                "(`classifier_activation=None` in `keras.applications`)."
            )
        for kind in ("input", "output"):
            first = getattr(models[0], f"{kind}_shape")
            shape = getattr(model, f"{kind}_shape")
            if shape != first:
                raise ValueError(
                    f"All members must have the same {kind} shape. Received: "
                    f"{first} for member 0 ('{models[0].name}') and {shape} "
                    f"for member {index} ('{model.name}')."
                )


def dtype_policy(models):
    """The policy of the members, and so whether their loss is to be scaled.

    Layers have policies of their own, and keep them. Of models that differ,
    that of the first, unless one needs its loss scaled.
    """
    policies = [model.dtype_policy for model in models]
    scaled = [each for each in policies if each.name == "mixed_float16"]
    return (scaled or policies)[0]


def generated_dtype(dtype) -> str:
    """The dtype of banks, and of what is generated, for variables of one."""
    return keras.backend.result_type(dtype, "float32")


def describe(models) -> tuple[MemberSpec, ...]:
    """The specs of checked models, which is all that sharing rules see."""
    specs = []
    for index, model in enumerate(models):
        kernels = tuple(
            _kernel(index, path, layer, weight)
            for path, layer, weight in shareable_kernels(model)
        )
        unshared = unshared_kernels(model)
        if not kernels:
            raise ValueError(
                "Each of `members` needs a kernel to share. Received: member "
                f"{index} ('{model.name}') has none but in its heads, the "
                "last layers before its outputs, in frozen layers and in "
                "layers that are not generated, which every member keeps to "
                "itself. Generated are: "
                f"{', '.join(sorted(kind.__name__ for kind in GENERATED))}. "
                f"{reasons(unshared)}"
            )
        total = sum(math.prod(v.shape) for v in model.trainable_variables)
        shared = sum(kernel.size for kernel in kernels)
        specs.append(MemberSpec(model.name, kernels, total - shared, unshared))
    return tuple(specs)


def _kernel(member, path, layer, weight) -> KernelSpec:
    generated = GENERATED[type(layer)]
    return KernelSpec(
        member=member,
        layer=path,
        shape=tuple(getattr(layer, weight).shape),
        weight=weight,
        kind=generated.kinds[weight],
        fan_in=generated.fan_in(layer),
    )


def allocation_for(models, budget_params, sharing, allocation) -> Allocation:
    """The allocation that a network was given, or what its rule makes."""
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
        SuperWeights() if sharing is None else sharing,
    )


def fitted_allocation(models, allocation) -> Allocation:
    """An allocation made for such models, with the names of these.

    Raises:
        TypeError: If it is not an allocation.
        ValueError: If it was made for models with other kernels.
    """
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
    for index, (given, expected) in enumerate(
        zip(specs, allocation.members, strict=True)
    ):
        # Keras numbers unnamed layers on and on: names may differ.
        if _numbers(given) != _numbers(expected):
            raise ValueError(
                f"`allocation` does not fit member {index}. It was made for "
                f"'{expected.name}' with shareable kernels and other "
                f"parameters {_numbers(expected)}. Received: '{given.name}' "
                f"with {_numbers(given)}."
            )
    return dataclasses.replace(allocation, members=specs)


def _numbers(member):
    kernels = [(k.weight, k.kind, k.shape) for k in member.kernels]
    return kernels, member.other_params
