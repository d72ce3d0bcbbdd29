"""Networks that take several inputs and answer each: MIMO."""

import keras

from keras_superweights import layers
from keras_superweights.arguments import check_integer
from keras_superweights.models.reshaping import check_reshapable
from keras_superweights.models.reshaping import reshaped


def mimo(model, num_members):
    """Returns a model with several inputs and outputs in one, for `MIMO`.

    The channels of `num_members` inputs stand one after the other on the last
    axis, and so do the logits of the answers: only the layers that read the
    input, and the last one, have more weights than the model. All between is
    the members' in common.

    Args:
        model: A Functional or built Sequential model of one floating-point
            input and one output, whose last layer has `units` or `filters`;
            its variables are not touched.
        num_members: Positive integer; with 1, the model itself, anew.

    Returns:
        A Functional model with fresh weights, of the model's name.

    Raises:
        TypeError: If the model is no such model.
        ValueError: If the number is not positive; if the model has several
            inputs or outputs, or inputs that are no numbers; if layers are
            frozen or adapted to data; or if a layer, which is named, does not
            take more channels.

    Example:

    >>> model = mimo(wide_resnet(16, 1), num_members=3)
    >>> model.input_shape, model.output_shape
    ((None, 32, 32, 9), (None, 300))

    References:
        - Havasi et al., Training independent subnetworks for robust prediction
          (ICLR 2021), section 2: https://arxiv.org/abs/2010.06610
    """
    check_reshapable(model, "given several inputs")
    check_integer("num_members", num_members)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "A model to be given several inputs must have one input and one "
            f"output. Received: '{model.name}' with {len(model.inputs)} inputs "
            f"and {len(model.outputs)} outputs."
        )
    first, last = model.inputs[0], model.outputs[0]
    if "float" not in keras.backend.standardize_dtype(first.dtype):
        raise ValueError(
            "A model to be given several inputs must take floating-point "
            f"numbers. Received: '{model.name}' with inputs of {first.dtype}."
        )
    *shape, channels = first.shape
    inputs = keras.Input(
        batch_shape=(*shape, num_members * channels),
        dtype=first.dtype,
        name=first.name,
    )
    heads = layers.heads(model)

    def widen(layer, config):
        if any(layer is head for head in heads):
            for key in {"units", "filters"} & config.keys():
                config[key] *= num_members

    result = reshaped(model, widen, "given several inputs", [inputs])
    if result.output_shape[-1] != num_members * last.shape[-1]:
        raise ValueError(
            "A model to be given several inputs must end in a layer with "
            f"`units` or `filters`. Received: '{model.name}', whose output has "
            f"the shape {result.output_shape} for {num_members} members."
        )
    return result
