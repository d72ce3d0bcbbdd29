"""Checks of arguments that several models share."""

import keras


def check_positive_integers(**arguments):
    for argument, value in arguments.items():
        received = f"Received: {argument}={value!r}."
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"`{argument}` must be an integer. {received}")
        if value < 1:
            raise ValueError(f"`{argument}` must be at least 1. {received}")


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
    shape = tuple(input_shape)
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
