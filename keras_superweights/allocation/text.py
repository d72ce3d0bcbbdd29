"""Allocations as JSON text: written, and read with all checks."""

import contextlib
import dataclasses
import gc
import json
import operator

from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.part import as_tuples
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.allocation.vectors import VectorSpec
from keras_superweights.arguments import check_type
from keras_superweights.arguments import quoted

# Of the text. A version that changes it reads all lower numbers.
FORMAT = 1
# Of members, left out where empty: older versions read such text, too.
_OPTIONAL = ("heads", "vectors")


def text_of(allocation) -> str:
    """Returns an `Allocation` as text."""
    return json.dumps(
        {
            "format": FORMAT,
            "members": list(map(_member_data, allocation.members)),
            "banks": list(map(dataclasses.asdict, allocation.banks)),
            "superweights": [s.to_data() for s in allocation.superweights],
            "transforms": [t.to_data() for t in allocation.transforms],
            "budget_params": allocation.budget_params,
            "sharing": allocation.sharing,
            "note": allocation.note,
            **({"common": allocation.common} if allocation.common else {}),
        },
        default=operator.index,  # NumPy's integers
    )


def read(text: str, make):
    """Makes an allocation of text; see `Allocation.from_json`.

    `make` is its class, whose checks refuse what does not fit together.
    """
    check_type("text", text, isinstance(text, str), "text")
    with _without_collector():
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _not_an_allocation(text, error) from error
        try:
            check_format(data.pop("format", 0), FORMAT, "allocation")
            readers = {
                "members": _member,
                "banks": lambda bank: _whole(BankSpec, bank),
                "superweights": SuperWeight.from_data,
                "transforms": Transform.from_data,
            }
            for name, read_one in readers.items():
                data[name] = _each(read_one, data[name])
            data["common"] = as_tuples(data.get("common", []))
            return _whole(make, data)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise _not_an_allocation(text, error) from error


def check_format(found, newest: int, subject: str):
    """Checks that this version reads a format, up to the one that it writes.

    The number is 0 where none was written, as before version 0.2.0. The
    message says which version reads the subject.
    """
    is_number = type(found) is int  # JSON's `true` is a bool
    if is_number and found == 0:
        raise ValueError(
            f"This {subject} has no format number: version 0.1.0 of "
            "keras_superweights, or an older one, wrote it. Use that version "
            "to read it."
        )
    if not is_number or not 1 <= found <= newest:
        raise ValueError(
            f"The format of this {subject} must be a number from 1 to "
            f"{newest}, the newest that this version of keras_superweights "
            f"reads. Received: format {quoted(found)}. Use a newer version."
        )


@contextlib.contextmanager
def _without_collector():
    """Pauses Python's search for garbage, of which reading makes none.

    It looks at all that was read again and again: half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _member_data(member) -> dict:
    """Returns a member for JSON, without vectors that it does not need."""
    data = dataclasses.asdict(member)
    return {k: v for k, v in data.items() if v or k not in _OPTIONAL}


def _member(data) -> MemberSpec:
    data = dict.fromkeys(_OPTIONAL, ()) | data
    kinds = {
        "kernels": KernelSpec,
        "unshared": UnsharedKernel,
        "heads": KernelSpec,
        "vectors": VectorSpec,
    }
    kernels = {
        name: _each(
            lambda kernel, kind=kind: _whole(
                kind, kernel | {"shape": as_tuples(kernel["shape"])}
            ),
            data[name],
        )
        for name, kind in kinds.items()
    }
    return _whole(MemberSpec, data | kernels)


def _whole(kind, data):
    """Makes a dataclass of all its fields: a lost one has no default."""
    lost = kind.__dataclass_fields__.keys() - data.keys()
    if lost:
        raise KeyError(*sorted(lost))
    return kind(**data)


def _each(read, values):
    """Reads each of a list; anything else is left for checks to refuse."""
    return tuple(map(read, values)) if type(values) is list else values


def _not_an_allocation(text, error) -> ValueError:
    return ValueError(
        "This is not an allocation as `Allocation.to_json` writes it: "
        f"{type(error).__name__}: {error}. It starts with: "
        f"{text[:60]!r}."
    )
