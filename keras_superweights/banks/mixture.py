"""The coefficients that mix a bank's templates into one SuperWeight."""

import keras
import numpy as np
from keras import ops


class Mixture(keras.layers.Layer):
    """Mixes templates into one piece of each of several kernels.

    All pieces are one matrix product, `S = C @ T`, with templates `T` of shape
    `(num_templates, size)` and one row of `C` a kernel. The variable holds one
    row per kernel, always; `ties` says which row each kernel uses, so that
    tying and untying change no shape. Where a
    kernel mixes only some of the templates, its row of `C` is zero elsewhere.

    At the start rows are orthogonal where there are no more rows than
    templates, and have the given norms.

    Args:
        norms: Norm of each row at the start, one per kernel.
        num_templates: Templates in `T`.
        ties: For each kernel, the row that it uses.
        choices: For each row, the templates that it mixes, equally many. All
            of them by default.
        name: Name of the layer.

    Example:

    >>> mixture = Mixture(norms=[1.0, 1.0], num_templates=3, ties=[0, 0])
    >>> mixture.mix(keras.ops.ones((3, 5))).shape
    TensorShape([2, 5])
    """

    def __init__(self, norms, num_templates, ties, choices=(), name=None):
        super().__init__(name=name)
        self.num_templates = num_templates
        num_rows = len(norms)
        num_mixed = len(choices[0]) if choices else num_templates

        def rows_of_given_norm(shape, dtype=None):
            rows = keras.initializers.Orthogonal()(shape, dtype=dtype)
            scale = ops.convert_to_tensor(norms, dtype=dtype)
            return rows * ops.expand_dims(scale / ops.norm(rows, axis=1), 1)

        self.coefficients = self.add_weight(
            name="coefficients",
            shape=(num_rows, num_mixed),
            initializer=rows_of_given_norm,
            autocast=False,
        )
        self.ties = self.add_weight(
            name="ties",
            shape=(num_rows,),
            dtype="int32",
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                ties, dtype=dtype
            ),
            trainable=False,
        )
        self._choices = tuple(choices)
        self.built = True

    def matrix(self):
        """`C`, of shape `(num_kernels, num_templates)`.

        Products with one-hot rows instead of a gather and a scatter: the
        matrices are tiny, and gradients stay dense.
        """
        rows = ops.convert_to_tensor(self.coefficients)
        if self._choices:
            places = ops.one_hot(
                self._choices, self.num_templates, dtype=rows.dtype
            )  # (rows, mixed, templates)
            rows = ops.einsum("rm,rmt->rt", rows, places)
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

    def mix(self, templates):
        """The pieces of all kernels, `(num_kernels, size)`."""
        return ops.matmul(self.matrix(), templates)

    def mix_row(self, templates, row):
        """The piece of one kernel, `(size,)`."""
        return ops.matmul(self.matrix()[row], templates)
