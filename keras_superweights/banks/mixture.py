"""The coefficients that mix a bank's templates into one SuperWeight.

Every mixture makes all of its pieces by one matrix product, `S = C @ T`, with
templates `T` of shape `(num_templates, size)` and one row of `C` a kernel.
The kinds of mixture differ in where `C` comes from.
"""

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.superweight import EMBEDDING_SIZE


class AveragedMixture(keras.layers.Layer):
    """The mean of the templates, at the scale of each kernel (NPAS, B.2).

    Nothing is learned. With a single template it is that template.

    Args:
        norms: For each kernel, what its scalars' standard deviation is to be
            divided by that of the templates'.
        num_templates: Templates in `T`.
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.
    """

    ties = None

    def __init__(self, norms, num_templates, **kwargs):
        super().__init__(**kwargs)
        # The mean of n templates varies as 1 / n of one.
        scales = np.reshape(norms, (-1, 1)) / num_templates**0.5
        self._matrix = np.repeat(scales, num_templates, axis=1)
        self.built = True

    def matrix(self):
        """`C`, of shape `(num_kernels, num_templates)`."""
        return ops.convert_to_tensor(self._matrix, self.variable_dtype)

    def mix(self, templates):
        """The pieces of all kernels, `(num_kernels, size)`."""
        return ops.matmul(self.matrix(), templates)

    def mix_row(self, templates, row):
        """The piece of one kernel, `(size,)`."""
        return ops.matmul(self.matrix()[row], templates)


class Mixture(AveragedMixture):
    """A weighted sum of the templates, by coefficients (NPAS, WAvg).

    The variable holds one row per kernel, always; `ties` says which row each
    kernel uses, so that tying and untying change no shape. Where a kernel
    mixes only some of the templates, its row of `C` is zero elsewhere.

    At the start rows have the given norms, and those that mix the same
    templates are orthogonal, where they are no more than these.

    Args:
        norms: Norm of each row at the start, one per kernel.
        num_templates: Templates in `T`.
        ties: For each kernel, the row that it uses.
        choices: For each row, the templates that it mixes, equally many. All
            of them by default.
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.

    Example:

    >>> mixture = Mixture(norms=[1.0, 1.0], num_templates=3, ties=[0, 0])
    >>> mixture.mix(keras.ops.ones((3, 5))).shape
    TensorShape([2, 5])
    """

    def __init__(self, norms, num_templates, ties, choices=(), **kwargs):
        super().__init__(norms, num_templates, **kwargs)
        num_mixed = len(choices[0]) if choices else num_templates
        self._add_rows(norms, num_mixed, ties, choices)
        self.num_templates = num_templates
        self._choices = tuple(choices)

    def _add_rows(self, norms, width, ties, choices=()):
        """Adds `coefficients`, of one row per kernel, and `ties`."""
        alike = {}  # positions of rows that mix the same templates
        for row, choice in enumerate(choices or [()] * len(norms)):
            alike.setdefault(tuple(choice), []).append(row)
        order = np.argsort(sum(alike.values(), []))

        def rows_of_given_norm(shape, dtype=None):
            draws = [
                keras.initializers.Orthogonal()((len(group), width), dtype)
                for group in alike.values()
            ]
            rows = ops.take(ops.concatenate(draws), order, axis=0)
            scale = ops.convert_to_tensor(norms, dtype=dtype)
            return rows * ops.expand_dims(scale / ops.norm(rows, axis=1), 1)

        self.coefficients = self.add_weight(
            name="coefficients",
            shape=(len(norms), width),
            initializer=rows_of_given_norm,
            autocast=False,
        )
        self.ties = self.add_weight(
            name="ties",
            shape=(len(norms),),
            dtype="int32",
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                ties, dtype=dtype
            ),
            trainable=False,
        )

    def matrix(self):
        rows = ops.convert_to_tensor(self.coefficients)
        if self._choices:
            places = ops.one_hot(
                self._choices, self.num_templates, dtype=rows.dtype
            )  # (rows, mixed, templates)
            rows = ops.einsum("rm,rmt->rt", rows, places)
        return self._used(rows)

    def _used(self, rows):
        """The row that each kernel uses.

        Products with one-hot rows instead of a gather and a scatter: the
        matrices are tiny, and gradients stay dense.
        """
        used = ops.one_hot(
            ops.convert_to_tensor(self.ties), rows.shape[0], dtype=rows.dtype
        )
        return ops.matmul(used, rows)

    def set_ties(self, ties):
        """Ties and unties rows; parting rows start as copies of their shared
        one, joining rows as the first of them at the norm of their mean square.

        Returns:
            For each row, the row whose values it had a claim to before: where
            the rows of optimizer slots have to be copied from.
        """
        ties = np.asarray(ties)
        before = self.ties.numpy()
        rows = self.coefficients.numpy()
        used = rows[before]
        norms = np.linalg.norm(used, axis=1)
        sources = np.arange(len(ties))
        for owner in np.unique(ties):
            group = ties == owner
            sources[owner] = before[owner]
            rows[owner] = used[owner]
            if len(set(before[group])) > 1:
                mean_norm = np.sqrt(np.mean(norms[group] ** 2))
                rows[owner] *= mean_norm / norms[owner]
        self.coefficients.assign(rows)
        self.ties.assign(ties)
        return sources


class EmbeddedMixture(Mixture):
    """A weighted mean, its weights read off an embedding (NPAS, Emb).

    Each kernel has a learned embedding of `EMBEDDING_SIZE`, the coefficients
    of this mixture; one projection, shared by the kernels that mix the same
    templates, and a softmax make the weights of it. A mean of templates
    varies less than each of them, so that it is scaled by a constant to what
    the kernel has to have at the start.

    Args:
        norms: For each kernel, what its scalars' standard deviation is to be
            divided by that of the templates'.
        num_templates: Templates in `T`.
        ties: For each kernel, the embedding that it uses.
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.
    """

    def __init__(self, norms, num_templates, ties, **kwargs):
        keras.layers.Layer.__init__(self, **kwargs)
        self._add_rows([1.0] * len(norms), EMBEDDING_SIZE, ties)
        self.projection = self.add_weight(
            name="projection",
            shape=(EMBEDDING_SIZE, num_templates),
            initializer="glorot_uniform",
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(num_templates,),
            initializer="zeros",
            autocast=False,
        )
        self._scales = np.reshape(norms, (-1, 1)) * num_templates**0.5
        self.built = True

    def matrix(self):
        embeddings = ops.convert_to_tensor(self.coefficients)
        logits = ops.matmul(embeddings, self.projection) + self.bias
        weights = self._used(ops.softmax(logits))
        return ops.convert_to_tensor(self._scales, weights.dtype) * weights
