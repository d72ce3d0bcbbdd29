"""Checks of arguments."""


def is_integer(value) -> bool:
    """Whether a value is an integer; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether a value is an integer or a float; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_integer(argument: str, value, least: int = 1):
    """Raises an error unless the value is an integer, and at least `least`."""
    if not is_integer(value) or value < least:
        positive = least == 1
        kind = "a positive integer" if positive else f"an integer from {least}"
        raise ValueError(
            f"`{argument}` must be {kind}. Received: {argument}={value!r}."
        )


def check_choice(argument: str, value, choices):
    """Raises an error unless the value is one of the choices."""
    if value not in tuple(choices):
        raise ValueError(
            f"`{argument}` must be one of {tuple(choices)}. Received: "
            f"{argument}={value!r}."
        )


def as_tuple(argument: str, value, kind: type, expected: str) -> tuple:
    """Returns a list of values of a class, or a single one, as a tuple."""
    values = [value] if isinstance(value, kind) else value
    if not isinstance(values, (list, tuple)) or not all(
        isinstance(each, kind) for each in values
    ):
        raise TypeError(
            f"`{argument}` must be {expected}. Received: {argument}={value!r}."
        )
    return tuple(values)
