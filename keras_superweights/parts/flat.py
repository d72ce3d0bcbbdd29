"""The geometry of vectors that make kernels of any shape."""

from dataclasses import dataclass

from keras import ops

from keras_superweights.allocation.part import Geometry
from keras_superweights.arguments import check_integer


@dataclass(frozen=True)
class Flat(Geometry):
    """The whole of each kernel, of any shape, as a vector (NPAS, 3.1).

    Args:
        length: Scalars in the vector. Kernels of another size need a
            transform.

    Raises:
        TypeError, ValueError: If the length is not a positive integer.
    """

    length: int

    serves_any_shape = True

    def __post_init__(self):
        super().__post_init__()
        check_integer("length", self.length)

    @property
    def size(self):
        return self.length

    def covers(self, kernel, geometries, size):
        return len(geometries) == 1 and self.length == size

    def assembler(self, kernel, geometries):
        if self.length != kernel.size:  # left to the kernel's transform
            return lambda vectors: vectors[0]
        return lambda vectors: ops.reshape(vectors[0], kernel.shape)
