"""Dtypes and Keras masks of the outputs that an ensemble combines."""

import functools

import keras
from keras import ops
from keras.src.backend import get_keras_mask
from keras.src.backend import set_keras_mask


def common_mask(sources):
    """Returns the intersection of the tensors' Keras masks, or `None`."""
    masks = [get_keras_mask(source) for source in sources]
    masks = [mask for mask in masks if mask is not None]
    return functools.reduce(ops.logical_and, masks) if masks else None


def with_mask_of(sources, result):
    """Gives a tensor the common mask of the tensors it was computed from."""
    mask = common_mask(sources)
    if mask is not None:
        set_keras_mask(result, mask)
    return result


def at_least_float32(outputs):
    """Casts half-precision tensors of a structure to float32, with masks.

    Keras metrics round labels to the dtype of predictions.
    """

    def widened(output):
        if output.dtype not in ("float16", "bfloat16"):
            return output
        return with_mask_of([output], ops.cast(output, "float32"))

    return keras.tree.map_structure(widened, outputs)


def stacked(answers):
    """Stacks one tensor per member along a new first axis.

    The result is float32, or wider if the answers are.
    """
    dtype = keras.backend.result_type(answers[0].dtype, "float32")
    return ops.stack([ops.cast(each, dtype) for each in answers])


def joined(answers):
    """Concatenates the rows of answers to parts of a batch, with masks."""
    result = ops.concatenate(answers, axis=0)
    masks = list(map(get_keras_mask, answers))
    if masks[0] is not None:
        set_keras_mask(result, ops.concatenate(masks, axis=0))
    return result
