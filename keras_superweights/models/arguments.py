"""Checks of arguments that several models share."""

import keras

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer


def check_positive_integers(**arguments):
    for argument, value in arguments.items():
        check_integer(argument, value)


def check_depth(depth):
    """Checks the depth of a network with three equal stages."""
    check_positive_integers(depth=depth)
    if depth >= 10 and depth % 6 == 4:
        return
    below = (depth - 4) // 6 * 6 + 4
    nearest = f"{below} or {below + 6}" if below >= 10 else "10"
    raise ValueError(
        "`depth` must be 6 * n + 4 with n >= 1, since each of the three "
        "stages has 2 * n convolutions. "
        f"Received: depth={depth}; the nearest valid depth is {nearest}."
    )


def image_input(input_shape, smallest):
    """Returns the input of a model; height and width may be `None`.

    Raises a `ValueError` if they are below `smallest` pixels, or it is not the
    shape of an image.
    """
    is_list = isinstance(input_shape, (list, tuple))
    shape = tuple(input_shape) if is_list else ()
    is_shape = all(size is None or is_integer(size) for size in shape)
    expected = "a shape of integers, or None"
    check_type("input_shape", input_shape, is_list and is_shape, expected)
    if (
        len(shape) != 3
        or shape[2] is None
        or shape[2] < 1
        or any(size is not None and size < smallest for size in shape[:2])
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with height and "
            f"width of at least {smallest} pixels. "
            f"Received: input_shape={input_shape}."
        )
    return keras.Input(shape, name="images")
