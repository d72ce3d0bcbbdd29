"""Dtypes and Keras masks of the outputs that an ensemble combines."""

import functools

import keras
from keras import ops
from keras.src.backend import get_keras_mask
from keras.src.backend import set_keras_mask


def common_mask(sources):
    """The Keras mask of tensors that belong together.

    A position counts if it does in all that have a mask; `None` if none has.
    """
    masks = [get_keras_mask(source) for source in sources]
    masks = [mask for mask in masks if mask is not None]
    return functools.reduce(ops.logical_and, masks) if masks else None


def with_mask_of(sources, result):
    """Gives a tensor the common mask of those that it was computed from."""
    mask = common_mask(sources)
    if mask is not None:
        set_keras_mask(result, mask)
    return result


def at_least_float32(outputs):
    """Widens outputs for metrics, which round labels to their dtype.

    Args:
        outputs: What a member returns, a tensor or a structure of them.

    Returns:
        The same, masks included; float16 and bfloat16 as float32.
    """

    def widened(output):
        if output.dtype not in ("float16", "bfloat16"):
            return output
        return with_mask_of([output], ops.cast(output, "float32"))

    return keras.tree.map_structure(widened, outputs)


def stacked(answers):
    """The members' answers in one tensor, of float32 or wider.

    Args:
        answers: One tensor per member, of equal shapes `(...)`.

    Returns:
        A tensor `(members, ...)`.
    """
    dtype = keras.backend.result_type(answers[0].dtype, "float32")
    return ops.stack([ops.cast(each, dtype) for each in answers])
