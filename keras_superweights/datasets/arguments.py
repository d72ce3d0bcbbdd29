"""Checks of the numeric arguments of a pipeline."""

import math
import numbers


def check_integer(name, value, minimum, maximum=None):
    """Checks that a value is an integer between two limits, both included.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is out of range.
    """
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
    """Checks that a value is a finite number, at least 0 and less than `below`.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is out of range.
    """
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
