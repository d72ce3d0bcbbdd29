"""The interfaces of the parts of a generated kernel.

A SuperWeight has a geometry (where it lies) and a mixing (how templates become
one vector); kernels may have transforms (from the vector to the kernel). Each
part is a small frozen dataclass in its own file in `keras_superweights.parts`:
its arguments and their checks, the scalars that it needs, and the Keras layer
that it builds. No code asks for the class of a part; it asks a question that
all parts of the family answer.

`Allocation.from_json` finds a part of any module by its class name, once the
class is defined.
"""

import dataclasses
from dataclasses import dataclass
from dataclasses import field

from keras_superweights.arguments import check_fields
from keras_superweights.arguments import quoted

_CLASSES = {}


class Part:
    """Base of all parts: registers subclasses, checks types, writes JSON."""

    def __init_subclass__(cls):
        super().__init_subclass__()
        known = _CLASSES.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise TypeError(
                "A part must have a name of its own, by which allocations are "
                f"read. Received: {cls.__module__}.{cls.__name__}, and "
                f"{known.__module__} has a class of that name."
            )
        _CLASSES[cls.__name__] = cls

    def __post_init__(self):
        check_fields(self)

    def to_data(self) -> dict:
        """Returns the part as a dict, ready for JSON."""
        return {"class": type(self).__name__, **dataclasses.asdict(self)}

    @classmethod
    def from_data(cls, data: dict):
        """Reads what `to_data` returned, after JSON.

        Raises:
            ValueError: If the class is unknown, or of another family.
        """
        arguments = {name: as_tuples(value) for name, value in data.items()}
        name = arguments.pop("class")
        part = _CLASSES.get(name)
        if part in (None, cls) or not issubclass(part, cls):
            known = [n for n, c in _CLASSES.items() if issubclass(c, cls)]
            raise ValueError(
                f"`class` must name a {cls.__name__.lower()}: one of "
                f"{sorted(set(known) - {cls.__name__})}, or one of your own "
                f"whose file is imported before. Received: {quoted(name)}."
            )
        return part(**arguments)


class Geometry(Part):
    """Where a SuperWeight lies in the kernels that it serves (`KernelSpec`s).

    Attributes:
        serves_any_shape: Class attribute: whether the kernels served may
            differ in shape and kind, and so need initial scales of their own.
    """

    serves_any_shape = False

    @property
    def size(self) -> int:
        """Scalars in the SuperWeight, and in each of its templates."""
        raise NotImplementedError

    def check(self, kernels):
        """Raises an error if these kernels cannot be served."""

    def covers(self, kernel, geometries, size) -> bool:
        """Whether geometries, this one first, make up a kernel.

        Args:
            kernel: The kernel.
            geometries: Those of all SuperWeights that serve it.
            size: Scalars that they must make: those of the kernel, or what
                its first transform takes.
        """
        raise NotImplementedError

    def assembler(self, kernel, geometries):
        """Returns a function from a list of vectors, by geometry, to a tensor.

        Its arguments are those of `covers`.
        """
        raise NotImplementedError

    def boxes(self, kernels) -> list:
        """Returns the boxes in which any two kernels served overlap here."""
        return [None]

    def common_box(self, one, other):
        """Returns the box common to two kernels, one of `boxes`."""
        return None

    def clip(self, box):
        """Returns the part inside a box; equal for boxes that clip alike."""
        return None

    def crop(self, rows, box):
        """Returns the scalars of vectors `(n, size)` inside a box."""
        return rows


class Mixing(Part):
    """How the templates of a SuperWeight become one vector per kernel.

    Attributes:
        mixes: Class attribute: whether each kernel has a vector of its own.
        ties: For each kernel, the row of coefficients that it uses, as a
            position among the kernels; empty where nothing can be tied.
    """

    mixes = True
    ties = ()

    @classmethod
    def untied(cls, num_kernels) -> "Mixing":
        """Returns the mixing for so many kernels, none of them tied."""
        return cls()

    def with_ties(self, ties) -> "Mixing":
        """Returns the mixing with other ties."""
        if tuple(ties):
            raise ValueError(
                f"{type(self).__name__} has no coefficients to tie. Received: "
                f"ties={tuple(ties)}."
            )
        return self

    def check(self, num_kernels, num_templates):
        """Raises an error if it does not fit these numbers."""

    def num_scalars(self, num_kernels, num_templates) -> int:
        """Trainable scalars of the mixing, for all kernels, tied or not."""
        return 0

    def templates_of(self, row, num_templates) -> tuple[int, ...]:
        """The templates that a row of coefficients mixes."""
        return tuple(range(num_templates))

    def layer(self, norms, num_templates, **kwargs):
        """Returns the Keras layer that mixes; None if nothing is mixed.

        Args:
            norms: For each kernel, the ratio of its standard deviation to
                that of the templates.
            num_templates: Templates to mix.
            **kwargs: `name` and `dtype` of the layer.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Transform(Part):
    """A change of the mixed vector, or kernel, before its layer reads it.

    Args:
        kernels: Indices of the kernels transformed. Empty for a transform
            given to a rule, which fills them in.

    Attributes:
        noun: Class attribute: name of its scalars in tables and figures.
        is_linear: Class attribute: whether its output is linear in its input,
            so that kernels can begin as given ones.
        rate: Factor of every update of its scalars.
    """

    noun = "scalars of transforms"
    is_linear = True
    rate = 1.0

    kernels: tuple[int, ...] = field(default=(), repr=False)

    def check(self, kernels):
        """Raises an error if it does not fit these `KernelSpec`s."""

    def input_size(self, kernel) -> int:
        """Scalars of the input from which it makes a kernel."""
        return kernel.size

    def num_scalars(self, kernel) -> int:
        """Trainable scalars that it has for one kernel."""
        return 0

    def variance_kept(self, kernel) -> float:
        """Ratio of the variance of its output to that of its input."""
        return 1.0

    def num_kept(self, kernel) -> int:
        """Scalars that a training step stores for its gradients."""
        return 0

    def label(self, kernel) -> str:
        """Its name in figures, such as `"upsampled"`; empty if not shown."""
        return ""

    def layer(self, kernel, **kwargs):
        """Returns the Keras layer whose `transform` makes the kernel.

        Its `name` and `dtype` are in `kwargs`. If it has `linear_variables`,
        lists of variables in each of which the kernel is linear, they are
        fitted when members start from given kernels.
        """
        raise NotImplementedError


def as_tuples(value):
    """Converts nested lists to tuples: JSON has no tuples."""
    if type(value) is not list:
        return value
    return tuple(
        [as_tuples(each) if type(each) is list else each for each in value]
    )
