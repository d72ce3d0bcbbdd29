"""All banks of a network, and the kernels generated from them."""

import contextlib
import itertools
import math
import threading

import keras
from keras import ops

from keras_superweights.banks.bank import Bank


class KernelGenerator(keras.layers.Layer):
    """Makes the kernels of an allocation from its banks.

    Generation has two stages, so that a training step can differentiate them
    separately: `superweights()` mixes the vectors of all kernels, one matrix
    product per bank; `kernels_from` assembles and transforms them. Inside
    `using`, generated layers read the kernels made there; outside, each asks
    for its own through `kernel`.

    Args:
        allocation: The `Allocation` to build. Private kernels stay variables
            of their layers.
        name: Name of the layer.
        dtype: Dtype of banks, mixings, transforms and generated kernels.
            Defaults to `"float32"`, whatever the global policy.
    """

    def __init__(self, allocation, name="generator", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self._allocation = allocation
        kernels = allocation.kernels
        variance = [kernel.variance for kernel in kernels]
        served = [
            [variance[k] for reader in readers for k in reader.kernels]
            for readers in allocation.readers
        ]
        self.banks = [
            Bank(bank.size, sum(v) / len(v), name=f"bank_{index}", dtype=dtype)
            for index, (bank, v) in enumerate(
                zip(allocation.banks, served, strict=True)
            )
        ]
        self.mixtures = [
            superweight.mixing.layer(
                self._norms(superweight, served[superweight.bank]),
                superweight.num_templates,
                name=f"mixture_{index}",
                dtype=dtype,
            )
            for index, superweight in enumerate(allocation.superweights)
        ]
        # A flat list, which Keras saves.
        self.transforms = []
        self._makers = {}
        for index, parts in enumerate(allocation.composition):
            if parts:
                self._makers[index] = self._maker(index, parts, dtype)
        self._scope = threading.local()
        self.built = True

    @property
    def allocation(self):
        """The `Allocation`, with the current ties."""
        return self._allocation.with_ties(
            mixture.ties.numpy().tolist() if _is_learned(mixture) else ()
            for mixture in self.mixtures
        )

    @property
    def generating_variables(self):
        """Trainable variables that `superweights()` reads, no transforms'.

        Two lists: those of banks, in their order, and those of mixtures.
        """
        return tuple(
            [v for layer in layers for v in layer.trainable_variables]
            for layers in (self.banks, filter(None, self.mixtures))
        )

    @property
    def rates(self):
        """Trainable variables whose updates have a factor: `(it, factor)`."""
        transforms = itertools.chain(*self._allocation.transforms_of)
        return [
            (variable, transform.rate)
            for transform, layer in zip(
                transforms, self.transforms, strict=True
            )
            if transform.rate != 1
            for variable in layer.trainable_variables
        ]

    def set_ties(self, ties):
        """Changes the ties of all mixtures.

        Returns:
            `(mixture, result of its set_ties)` of each changed mixture.
        """
        tied = self._allocation.with_ties(ties)  # refuses what does not fit
        return [
            (mixture, mixture.set_ties(superweight.ties))
            for mixture, superweight in zip(
                self.mixtures, tied.superweights, strict=True
            )
            if _is_learned(mixture)
        ]

    def _norms(self, superweight, bank_variances):
        """Returns the norms that scale a bank's variance to its kernels'.

        Tied kernels share a row, whose scale is the mean of theirs.
        """
        allocation = self._allocation
        users = {}
        ties = superweight.ties or range(len(superweight.kernels))
        for index, tie in zip(superweight.kernels, ties, strict=True):
            kernel = allocation.kernels[index]
            kept = math.prod(
                transform.variance_kept(kernel)
                for transform in allocation.transforms_of[index]
            )
            users.setdefault(tie, []).append(kernel.variance / kept)
        of_bank = sum(bank_variances) / len(bank_variances)
        return [
            math.sqrt(sum(users[tie]) / len(users[tie]) / of_bank)
            for tie in ties
        ]

    def _maker(self, index, parts, dtype):
        """Returns the function from a kernel's vectors to the kernel."""
        kernel = self._allocation.kernels[index]
        superweights = self._allocation.superweights
        geometries = [superweights[s].geometry for s, _ in parts]
        transforms = enumerate(self._allocation.transforms_of[index])
        chain = [
            each.layer(kernel, name=f"transform_{index}_{place}", dtype=dtype)
            for place, each in transforms
        ]
        self.transforms += chain
        assemble = geometries[0].assembler(kernel, geometries)

        def make(vectors):
            made = assemble(vectors)
            for layer in chain:
                made = layer.transform(made)
            return made

        return make

    def superweights(self, templates=None):
        """Returns the vectors of all kernels.

        Args:
            templates: The result of `all_templates()`, read now by default.

        Returns:
            For each SuperWeight a tensor `(kernels, size)`, or `(1, size)`
            where all its kernels use a single template as it is.
        """
        if templates is None:
            templates = self.all_templates()
        return [
            each if mixture is None else mixture.mix(each)
            for mixture, each in zip(self.mixtures, templates, strict=True)
        ]

    def all_templates(self):
        """Returns the templates of each SuperWeight, `(templates, size)`."""
        return self._views(range(len(self.mixtures)))

    def store_gradients(self, of_templates):
        """Returns the gradients of trainable stores from those of templates.

        In the order of `banks`; frozen ones have none.
        """
        return [
            self.banks[bank].gradient(rows, [of_templates[i] for i in readers])
            for bank, readers, rows in self._readers(range(len(self.mixtures)))
            if self.banks[bank].trainable
        ]

    def _views(self, indices):
        """Returns the templates of some SuperWeights; reads banks once."""
        views = {}
        for bank, readers, rows in self._readers(indices):
            read = self.banks[bank].views(rows)
            views.update(zip(readers, read, strict=True))
        return [views[index] for index in indices]

    def _readers(self, indices):
        """Yields each bank, the SuperWeights that read it, and their rows."""
        superweights = self._allocation.superweights
        by_bank = {}
        for index in indices:
            by_bank.setdefault(superweights[index].bank, []).append(index)
        for bank, readers in sorted(by_bank.items()):
            rows = [
                (each.num_templates, each.size, each.first)
                for each in (superweights[index] for index in readers)
            ]
            yield bank, readers, rows

    def _row(self, index, row):
        (templates,) = self._views([index])
        mixture = self.mixtures[index]
        return mixture.mix_row(templates, row) if mixture else templates[row]

    def kernels_from(self, superweights):
        """Assembles and transforms kernels from the result of `superweights()`.

        Returns:
            A dict from the index of a kernel to its tensor, in Keras' shape.
        """
        # Unstacked, not indexed: the gradient of an index is a zero-padded
        # copy of the whole tensor.
        rows = [ops.unstack(vectors, axis=0) for vectors in superweights]
        return {
            index: self._make(index, lambda s, row: rows[s][row])
            for index in self._makers
        }

    def kernel(self, index):
        """Returns one kernel, of the innermost `using` or generated now."""
        current = getattr(self._scope, "kernels", None)
        if current is not None:
            return current[index]
        return self._make(index, self._row)

    def _make(self, index, vector):
        superweights = self._allocation.superweights
        return self._makers[index](
            [
                vector(s, superweights[s].row_of(position))
                for s, position in self._allocation.composition[index]
            ]
        )

    @contextlib.contextmanager
    def using(self, superweights):
        """Lets generated layers read their kernels from these vectors.

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
    """Whether a mixture has coefficients, which can be tied."""
    return mixture is not None and mixture.ties is not None
