"""Networks that start from the weights of their members."""

import warnings

import numpy as np

from keras_superweights.arguments import check_choice
from keras_superweights.banks.fitting import fit_banks
from keras_superweights.keras_internals import has_value
from keras_superweights.members import cloning
from keras_superweights.members.shareable import head_kernels
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import weights_of

INITIALIZE = ("fresh", "weights")

# Above this mean error (measured), a network predicts unlike its member.
CLOSE = 0.1


def check_initialize(initialize, models):
    """Raises an error if a network of these models cannot start so."""
    check_choice("initialize", initialize, INITIALIZE)
    for index, model in enumerate(models if initialize == "weights" else ()):
        if not all(map(has_value, model.weights)):
            raise ValueError(
                '`initialize="weights"` starts from the weights of the '
                "members. Received: a function for member "
                f"{index} ('{model.name}'), whose model is built without "
                "values. Pass the model itself."
            )
        kernels = shareable_kernels(model) + head_kernels(model)
        for path, layer, weight in kernels:
            if not np.isfinite(getattr(layer, weight).numpy()).all():
                raise ValueError(
                    '`initialize="weights"` needs finite weights. Received: '
                    f"the {weight} of '{path}' in member {index} "
                    f"('{model.name}') is not."
                )


def begin_with_weights(models, clones, generator):
    """Fits banks to the models' kernels and copies all other weights.

    Vectors that members have in common become the means of the models'.

    Returns:
        A tuple with the relative error `|W - K|^2 / |W|^2` of each kernel of
        the allocation; 0 for kernels that are not shared.

    Raises:
        ValueError: If a transform is not linear, so that nothing can be fitted.
    """
    for transform in generator.allocation.transforms:
        if not transform.is_linear:
            raise ValueError(
                '`initialize="weights"` needs kernels that are linear in their '
                f"banks. Received: `{type(transform).__name__}` in "
                f"sharing={generator.allocation.sharing}. Leave it out of the "
                "rule's `transforms`."
            )
    for model, clone in zip(models, clones, strict=True):
        cloning.copy_weights(model, clone)
    allocation = generator.allocation
    vectors = weights_of(models, allocation.vectors)
    copies = weights_of(clones, allocation.vectors)
    for group in allocation.common:
        given = [getattr(*vectors[index]) for index in group]
        getattr(*copies[group[0]]).assign(np.mean(given, axis=0))
    layers = weights_of(models, allocation.kernels)
    kernels = {
        index: getattr(*layers[index]).numpy()
        for index, superweights in enumerate(allocation.composition)
        if superweights
    }
    errors = fit_banks(generator, kernels) if kernels else {}
    errors = tuple(errors.get(index, 0.0) for index in range(len(layers)))
    if np.mean(errors) > CLOSE:
        worst = allocation.kernels[int(np.argmax(errors))]
        warnings.warn(
            "The budget is too small for the network to begin as its members "
            "are: the fit misses, of the squared norm of a kernel, "
            f"{np.mean(errors):.0%} on average and {max(errors):.0%} in "
            f"'{worst.layer}'. It predicts otherwise until it is trained. "
            "`network.initial_errors` has the figures; a larger "
            f"`budget_params` than {allocation.budget_params} lowers them.",
            stacklevel=3,
        )
    return errors
