"""All banks of a network, and the kernels generated from them."""

import contextlib
import math
import threading

import keras
from keras import ops

from keras_superweights.banks.assembly import assemble
from keras_superweights.banks.assembly import plan_assembly
from keras_superweights.banks.bank import Bank
from keras_superweights.banks.mixture import Mixture


class KernelGenerator(keras.layers.Layer):
    """Makes the kernels of an allocation from its banks.

    Generation has two stages, so that a training step can differentiate them
    apart: `superweights()` makes every piece of every kernel, one matrix
    product a bank; `kernels_from` puts the pieces together. Inside `using`,
    generated layers find the kernels made there; outside, each asks for its
    own through `kernel`.

    Args:
        allocation: The `Allocation` to build. No variable is made for kernels
            that it leaves to their layers.
        name: Name of the layer.
    """

    def __init__(self, allocation, name="generator"):
        super().__init__(name=name)
        self._allocation = allocation
        kernels = allocation.kernels
        variance = [kernel.variance for kernel in kernels]
        served = [
            [variance[k] for piece in readers for k in piece.kernels]
            for readers in allocation.readers
        ]
        self.banks = [
            Bank(bank.size, sum(v) / len(v), name=f"bank_{index}")
            for index, (bank, v) in enumerate(
                zip(allocation.banks, served, strict=True)
            )
        ]
        self.mixtures = [
            self._mixture(index, piece, variance, served[piece.bank])
            for index, piece in enumerate(allocation.superweights)
        ]
        self._plans = {
            index: plan_assembly(
                kernels[index].box,
                [allocation.superweights[s].region for s, _ in pieces],
            )
            for index, pieces in enumerate(allocation.pieces)
            if pieces
        }
        self._scope = threading.local()
        self.built = True

    @property
    def allocation(self):
        """The `Allocation`, with the ties that the variables have now."""
        return self._allocation.with_ties(
            () if mixture is None else mixture.ties.numpy()
            for mixture in self.mixtures
        )

    def set_ties(self, ties):
        """Changes the ties of all mixtures.

        Returns:
            `(mixture, rows that its rows were copied from)` of each changed.
        """
        self._allocation.with_ties(ties)  # refuses what does not fit
        return [
            (mixture, mixture.set_ties(rows))
            for mixture, rows in zip(self.mixtures, ties, strict=True)
            if mixture is not None
        ]

    def _mixture(self, index, piece, variance, bank_variances):
        """The mixture of a SuperWeight, None where there is nothing to mix.

        A row's norm turns the bank's variance into that of its kernel; tied
        kernels share a row, whose scale is the mean of theirs.
        """
        if not piece.ties:
            return None
        users = {}
        for kernel, tie in zip(piece.kernels, piece.ties, strict=True):
            users.setdefault(tie, []).append(variance[kernel])
        of_bank = sum(bank_variances) / len(bank_variances)
        norms = [
            math.sqrt(sum(users[tie]) / len(users[tie]) / of_bank)
            for tie in piece.ties
        ]
        return Mixture(
            norms=norms,
            num_templates=piece.num_templates,
            ties=piece.ties,
            choices=piece.choices,
            name=f"mixture_{index}",
        )

    def superweights(self):
        """The pieces of all kernels, bank by bank.

        Returns:
            For each SuperWeight a tensor `(kernels, size)`, or `(1, size)`
            where all its kernels use the single template as it is.
        """
        return [self._superweight(i) for i in range(len(self.mixtures))]

    def templates(self, index):
        """The templates that one SuperWeight mixes, `(templates, size)`."""
        piece = self._allocation.superweights[index]
        return self.banks[piece.bank].templates(
            piece.num_templates, piece.size, piece.offset
        )

    def _superweight(self, index):
        templates = self.templates(index)
        mixture = self.mixtures[index]
        return templates if mixture is None else mixture.mix(templates)

    def _row(self, index, row):
        templates = self.templates(index)
        mixture = self.mixtures[index]
        if mixture is None:
            return templates[row]
        return mixture.mix_row(templates, row)

    def kernels_from(self, superweights):
        """Puts the generated kernels together from all pieces.

        Args:
            superweights: What `superweights()` returned.

        Returns:
            A dict from the index of a kernel to its tensor, of the shape that
            Keras gives the kernel.
        """
        # Unstacked, not indexed: the gradient of an index is a zero-padded
        # copy of the whole tensor.
        rows = [ops.unstack(pieces, axis=0) for pieces in superweights]
        return {
            index: self._assemble(index, lambda s, row: rows[s][row])
            for index in self._plans
        }

    def kernel(self, index):
        """One kernel: from the innermost `using`, else generated now."""
        current = getattr(self._scope, "kernels", None)
        if current is not None:
            return current[index]
        return self._assemble(index, self._row)

    def _assemble(self, index, vector):
        rectangles = []
        for s, row in self._allocation.pieces[index]:
            piece = self._allocation.superweights[s]
            row = row if piece.ties else 0
            rectangles.append(_split(vector(s, row), piece))
        return assemble(self._plans[index], rectangles)

    @contextlib.contextmanager
    def using(self, superweights):
        """Lets generated layers read their kernels from these pieces.

        The scope belongs to the thread: MirroredStrategy traces each replica
        in a thread of its own.
        """
        outer = getattr(self._scope, "kernels", None)
        self._scope.kernels = self.kernels_from(superweights)
        try:
            yield
        finally:
            self._scope.kernels = outer

    @property
    def is_in_use(self):
        """Whether this thread is inside `using`."""
        return getattr(self._scope, "kernels", None) is not None


def _split(vector, piece):
    """A SuperWeight's vector as the tensors of its rectangles."""
    window = math.prod(piece.window)
    sizes = [window * rectangle.area for rectangle in piece.region]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    vectors = ops.split(vector, ends) if ends else [vector]
    return [
        ops.reshape(
            vector,
            (
                *piece.window,
                rectangle.in_stop - rectangle.in_start,
                rectangle.out_stop - rectangle.out_start,
            ),
        )
        for vector, rectangle in zip(vectors, piece.region, strict=True)
    ]
