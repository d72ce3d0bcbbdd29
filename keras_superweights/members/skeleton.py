"""Members: checked Keras models.

A member is a Functional or Sequential model, or a function that returns one.
The function's model is built without memory: it has every shape, but its
variables are never initialized.
"""

import inspect

import keras

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.members.cloning import kept_layers
from keras_superweights.members.cloning import without_memory


def skeletons(members) -> list[keras.Model]:
    """Returns the members as checked models; builds functions' models."""
    if isinstance(members, keras.Model) or callable(members):
        members = [members]
    if not isinstance(members, (list, tuple)) or not members:
        raise TypeError(
            "`members` must be a Keras model, a function that returns one, or "
            f"a list of these. Received: members={members!r}."
        )
    return [_skeleton(index, member) for index, member in enumerate(members)]


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
    """Refuses a function's model whose values, which it lacks, are needed."""
    if isinstance(model, keras.Model) and getattr(model, "outputs", None):
        kept = kept_layers(model)
        if kept:
            raise ValueError(
                "A member given as a function must not have layers whose "
                "values have to be kept, since it is built without values. "
                f"Received: member {index} ('{model.name}') has layers that "
                f"are not trained: {kept}. Pass the model itself."
            )


def dtype_policy(models):
    """Returns the first model's policy, or one that needs a scaled loss."""
    policies = [model.dtype_policy for model in models]
    scaled = [each for each in policies if each.name == "mixed_float16"]
    return (scaled or policies)[0]


def generated_dtype(dtype) -> str:
    """Returns the dtype of banks and generated kernels for variables' dtype."""
    return keras.backend.result_type(dtype, "float32")
