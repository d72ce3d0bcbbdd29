"""Checks of the numeric arguments of a pipeline."""

import math
import numbers


def check_integer(name, value, minimum, maximum=None):
    """Refuses a value that is not an integer from `minimum` to `maximum`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={value!r}."
        )
    if value < minimum or (maximum is not None and value > maximum):
        limit = "" if maximum is None else f" and at most {maximum}"
        raise ValueError(
            f"`{name}` must be at least {minimum}{limit}. "
            f"Received: {name}={value}."
        )


def check_number(name, value, below=math.inf):
    """Refuses a value that is not a finite number in `[0, below)`."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(
            f"`{name}` must be a number. Received: {name}={value!r}."
        )
    if not 0 <= value < below:
        limit = "finite" if below == math.inf else f"below {below}"
        raise ValueError(
            f"`{name}` must be at least 0 and {limit}. "
            f"Received: {name}={value}."
        )
