"""Parameter sharing in one line, for a model of the user's own."""

import warnings

import keras

from keras_superweights.allocation import resolve_budget
from keras_superweights.allocation.specs import reasons
from keras_superweights.arguments import check_bool
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.sharing import Shapeshifter
from keras_superweights.training.network import SuperWeightNetwork


def share(model, budget_params, sharing=None, strict=False, **kwargs):
    """Turns a model into a network that trains inside a budget.

    The network has the model's name, inputs, outputs and layer names, and its
    `compile`, `fit`, `evaluate` and `predict` accept the same: any loss, dicts
    by the names of outputs, masks, sample weights.

    Args:
        model: A Functional or Sequential model, or a function without
            arguments that returns one, which saves the model's memory. The
            model is cloned, not trained.
        budget_params: The most trainable scalars, all included: an integer, or
            a float, the fraction of what the model has.
        sharing: A rule of `keras_superweights.sharing`. Defaults to
            `Shapeshifter()`.
        strict: Whether to refuse a model with kernels that no rule can share:
            those of layers that are not registered (see
            `keras_superweights.layers.register`), such as `SimpleRNN`. By
            default they keep their size and variables, and a warning names
            them with the reasons. Heads, frozen layers, and what the rule is
            told to leave out are never refused.
        **kwargs: As for `SuperWeightNetwork`: `initialize="weights"` starts
            from the model's weights; `weight_decay`, `name`, ...

    Returns:
        A `SuperWeightNetwork` of one member. Its `materialize()[0]` is an
        ordinary model again.

    Raises:
        TypeError: If an argument has a wrong type, such as several models or a
            `SuperWeightNetwork`.
        ValueError: If the model cannot be cloned or has nothing to share; if
            the budget is too small (the error names the smallest that works);
            if `strict` and some kernels cannot be shared.

    Example:

    ```python
    model = keras.applications.MobileNetV2(weights=None)
    slim = ksw.share(model, budget_params=0.1)
    slim.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    slim.fit(images, labels, epochs=10)
    slim.materialize()[0].save("mobilenet.keras")
    ```

    References:
        - Neural Parameter Allocation Search (NPAS)
    """
    is_layer = isinstance(model, keras.layers.Layer)
    if not isinstance(model, keras.Model) and (is_layer or not callable(model)):
        raise TypeError(
            "`model` must be one Keras model, or a function that returns one. "
            f"Received: model={model!r}. For several models that share one "
            "budget, use `SuperWeightNetwork(members, budget_params, sharing)`."
        )
    check_bool("strict", strict)
    (skeleton,) = skeletons(model)
    kwargs = {"name": skeleton.name, **kwargs}
    rule = Shapeshifter() if sharing is None else sharing
    specs = describe([skeleton])
    # Unlike a network, `share` has no default budget.
    resolve_budget(budget_params, specs)
    unshared = reasons(specs[0].unshared)
    if unshared and strict:
        raise ValueError(
            f"Not all kernels of '{skeleton.name}' can be shared, as "
            f"`strict=True` demands. {unshared} Register, freeze or replace "
            "these layers, or pass `strict=False`: their kernels then stay as "
            "they are and count in the budget."
        )
    if unshared:
        warnings.warn(
            f"Some kernels of '{skeleton.name}' stay as they are and count in "
            f"the budget. {unshared}",
            stacklevel=2,
        )
    return SuperWeightNetwork(skeleton, budget_params, rule, **kwargs)
