"""One line on a model of the user's own."""

import warnings

import keras

from keras_superweights.allocation import resolve_budget
from keras_superweights.allocation.specs import reasons
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.sharing import Shapeshifter
from keras_superweights.training.network import SuperWeightNetwork


def share(model, budget_params, sharing=None, strict=False, **kwargs):
    """Makes one model a network that trains inside a budget.

    It has the model's name, inputs and outputs, and takes what the model
    takes in `compile`, `fit`, `evaluate` and `predict`: any loss, dicts by the
    names of outputs, several inputs and outputs, masks, weights of samples.
    `get_layer` finds its layers by the names that they have in the model.

    Args:
        model: A Functional or Sequential model, or a function without
            arguments that returns one, which costs no memory for the model.
            It is cloned, not trained.
        budget_params: The most trainable scalars, everything included: an
            integer, or a float, a fraction of what the model has.
        sharing: A rule of `keras_superweights.sharing`. Defaults to
            `Shapeshifter()`.
        strict: Whether a model is refused that has kernels which no rule can
            share: those of layers that are not registered (see
            `keras_superweights.layers.register`), such as `SimpleRNN`. By
            default a warning says which and why, and they stay the network's
            own, of their own size. Heads, frozen layers, and what the rule is
            told to leave out are never refused.
        **kwargs: As for `SuperWeightNetwork`: `initialize="weights"` starts
            from the model's weights; `weight_decay`, `name`, ...

    Returns:
        A `SuperWeightNetwork` of one member. `materialize()[0]` is an ordinary
        model again.

    Raises:
        TypeError: If an argument is of another kind, several models or a
            `SuperWeightNetwork` among them.
        ValueError: If the model cannot be cloned or has nothing to share, or
            the budget is too small; the last names the smallest that works. If
            `strict` and some of its kernels cannot be shared.

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
    if isinstance(model, (list, tuple)):
        raise TypeError(
            "`model` must be one Keras model, or a function that returns one. "
            f"Received: a {type(model).__name__} of {len(model)}. Several "
            "models that share one budget are a "
            "`SuperWeightNetwork(members, budget_params, sharing)`."
        )
    is_layer = isinstance(model, keras.layers.Layer)
    if not isinstance(model, keras.Model) and (is_layer or not callable(model)):
        raise TypeError(
            "`model` must be one Keras model, or a function that returns one. "
            f"Received: model={model!r}."
        )
    (skeleton,) = skeletons(model)
    kwargs = {"name": skeleton.name, **kwargs}
    rule = Shapeshifter() if sharing is None else sharing
    specs = describe([skeleton])
    # A network has a default budget; one that is shared has none.
    resolve_budget(budget_params, specs)
    unshared = reasons(specs[0].unshared)
    if unshared and strict:
        raise ValueError(
            f"Not all kernels of '{skeleton.name}' can be shared, as "
            f"`strict=True` asks. {unshared} Register or freeze these layers, "
            "put others in their place, or pass `strict=False`: they then stay "
            "as they are, and the budget pays for them."
        )
    if unshared:
        warnings.warn(
            f"Some kernels of '{skeleton.name}' stay as they are, and the "
            f"budget pays for them. {unshared}",
            stacklevel=2,
        )
    return SuperWeightNetwork(skeleton, budget_params, rule, **kwargs)
