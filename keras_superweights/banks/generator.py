"""All banks of a network, and the kernels generated from them."""

import contextlib
import math
import threading

import keras
from keras import ops

from keras_superweights.banks.assembly import assemble
from keras_superweights.banks.assembly import plan_assembly
from keras_superweights.banks.bank import Bank
from keras_superweights.banks.mixture import AveragedMixture
from keras_superweights.banks.mixture import EmbeddedMixture
from keras_superweights.banks.mixture import Mixture
from keras_superweights.banks.upsampling import REPETITIONS
from keras_superweights.banks.upsampling import interpolate
from keras_superweights.banks.upsampling import variance_kept


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
        dtype: Dtype of banks, of all that mixes them, and of what is
            generated. Defaults to `"float32"`, whatever the global policy.
    """

    def __init__(self, allocation, name="generator", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self._allocation = allocation
        kernels = allocation.kernels
        variance = [kernel.variance for kernel in kernels]
        served = [
            [variance[k] for piece in readers for k in piece.kernels]
            for readers in allocation.readers
        ]
        self.banks = [
            Bank(bank.size, sum(v) / len(v), name=f"bank_{index}", dtype=dtype)
            for index, (bank, v) in enumerate(
                zip(allocation.banks, served, strict=True)
            )
        ]
        self.mixtures = [
            self._mixture(index, piece, variance, served[piece.bank])
            for index, piece in enumerate(allocation.superweights)
        ]
        self._plans = {}
        self.upsamplers = {}
        for index, parts in enumerate(allocation.composition):
            pieces = [allocation.superweights[s] for s, _ in parts]
            if pieces and pieces[0].upsampling in REPETITIONS:
                self._add_upsampler(index, pieces[0])
            elif pieces and not pieces[0].length:
                regions = [piece.region for piece in pieces]
                self._plans[index] = plan_assembly(kernels[index].box, regions)
        self._scope = threading.local()
        self.built = True

    @property
    def allocation(self):
        """The `Allocation`, with the ties that the variables have now."""
        return self._allocation.with_ties(
            mixture.ties.numpy() if _is_learned(mixture) else ()
            for mixture in self.mixtures
        )

    @property
    def generating_variables(self):
        """Trainable variables that `superweights()` reads: all but masks."""
        return [
            variable
            for layer in (*self.banks, *filter(None, self.mixtures))
            for variable in layer.trainable_variables
        ]

    def set_ties(self, ties):
        """Changes the ties of all mixtures.

        Returns:
            `(mixture, rows that its rows were copied from)` of each changed.
        """
        self._allocation.with_ties(ties)  # refuses what does not fit
        return [
            (mixture, mixture.set_ties(rows))
            for mixture, rows in zip(self.mixtures, ties, strict=True)
            if _is_learned(mixture)
        ]

    def _add_upsampler(self, index, piece):
        # Keras saves a dict of layers by its keys, which must be text.
        self.upsamplers[str(index)] = REPETITIONS[piece.upsampling](
            piece.length,
            self._allocation.kernels[index].shape,
            name=f"upsampler_{index}",
            dtype=self.variable_dtype,
        )

    def _mixture(self, index, piece, variance, bank_variances):
        """The mixture of a SuperWeight, None where there is nothing to mix.

        A row's norm turns the bank's variance into that of its kernel; tied
        kernels share a row, whose scale is the mean of theirs.
        """
        if piece.is_plain:
            return None
        kernels = self._allocation.kernels
        users = {}
        ties = piece.ties or range(len(piece.kernels))
        for kernel, tie in zip(piece.kernels, ties, strict=True):
            kept = 1.0
            if piece.upsampling == "bilinear":
                kept = variance_kept(piece.length, kernels[kernel].shape)
            users.setdefault(tie, []).append(variance[kernel] / kept)
        of_bank = sum(bank_variances) / len(bank_variances)
        norms = [
            math.sqrt(sum(users[tie]) / len(users[tie]) / of_bank)
            for tie in ties
        ]
        layer = {"name": f"mixture_{index}", "dtype": self.variable_dtype}
        if piece.mixing == "avg":
            return AveragedMixture(norms, piece.num_templates, **layer)
        if piece.mixing == "emb":
            return EmbeddedMixture(
                norms, piece.num_templates, piece.ties, **layer
            )
        return Mixture(
            norms, piece.num_templates, piece.ties, piece.choices, **layer
        )

    def superweights(self):
        """The pieces of all kernels, bank by bank.

        Returns:
            For each SuperWeight a tensor `(kernels, size)`, or `(1, size)`
            where all its kernels use the single template as it is.
        """
        indices = range(len(self.mixtures))
        return [
            self._mixed(index, templates)
            for index, templates in zip(
                indices, self._views(indices), strict=True
            )
        ]

    def all_templates(self):
        """The templates that each SuperWeight mixes, `(templates, size)`."""
        indices = range(len(self.mixtures))
        return [
            self._resized(index, templates)
            for index, templates in zip(
                indices, self._views(indices), strict=True
            )
        ]

    def _views(self, indices):
        """What some SuperWeights read, each bank read once for all."""
        pieces = self._allocation.superweights
        by_bank = {}
        for index in indices:
            by_bank.setdefault(pieces[index].bank, []).append(index)
        views = {}
        for bank, readers in by_bank.items():
            read = self.banks[bank].views(
                [
                    (piece.num_templates, piece.size, piece.first)
                    for piece in (pieces[index] for index in readers)
                ]
            )
            views.update(zip(readers, read, strict=True))
        return [views[index] for index in indices]

    def _mixed(self, index, templates):
        mixture = self.mixtures[index]
        if mixture is None:
            return self._resized(index, templates)
        # The same in either order; what is fewer is resized.
        piece = self._allocation.superweights[index]
        if len(piece.kernels) < piece.num_templates:
            return self._resized(index, mixture.mix(templates))
        return mixture.mix(self._resized(index, templates))

    def _resized(self, index, vectors):
        piece = self._allocation.superweights[index]
        if piece.upsampling != "bilinear":
            return vectors
        shape = self._allocation.kernels[piece.kernels[0]].shape
        return interpolate(vectors, shape)

    def _row(self, index, row):
        (templates,) = self._views([index])
        mixture = self.mixtures[index]
        if mixture is None:
            return self._resized(index, templates)[row]
        mixed = mixture.mix_row(templates, row)
        return self._resized(index, mixed[None])[0]

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
            for index, pieces in enumerate(self._allocation.composition)
            if pieces
        }

    def kernel(self, index):
        """One kernel: from the innermost `using`, else generated now."""
        current = getattr(self._scope, "kernels", None)
        if current is not None:
            return current[index]
        return self._assemble(index, self._row)

    def _assemble(self, index, vector):
        pieces = self._allocation.composition[index]
        if index in self._plans:
            rectangles = []
            for s, row in pieces:
                piece = self._allocation.superweights[s]
                row = 0 if piece.is_plain else row
                rectangles.append(_split(vector(s, row), piece))
            return assemble(self._plans[index], rectangles)
        ((s, row),) = pieces  # a flat one
        row = 0 if self._allocation.superweights[s].is_plain else row
        if str(index) in self.upsamplers:
            return self.upsamplers[str(index)].upsample(vector(s, row))
        return ops.reshape(
            vector(s, row), self._allocation.kernels[index].shape
        )

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


def _is_learned(mixture):
    """Whether it has coefficients, which can be tied."""
    return mixture is not None and mixture.ties is not None


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
