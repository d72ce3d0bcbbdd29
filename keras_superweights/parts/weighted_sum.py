"""The mixing of the papers: templates times learned coefficients."""

from dataclasses import dataclass
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.part import Mixing
from keras_superweights.arguments import quoted
from keras_superweights.parts.average import AverageLayer


class Tied:
    """Mixings by `ties` to rows of coefficients: what they have in common."""

    @classmethod
    def untied(cls, num_kernels, *choices):
        """Returns the mixing with a row of coefficients for each kernel."""
        return cls(tuple(range(num_kernels)), *choices)

    def with_ties(self, ties):
        return replace(self, ties=tuple(ties))

    def check(self, num_kernels, num_templates):
        if (
            len(self.ties) != num_kernels
            or not all(0 <= t < num_kernels for t in self.ties)
            or any(self.ties[t] != t for t in self.ties)
        ):
            raise ValueError(
                "`ties` must name, for each kernel, a row that uses itself. "
                f"Received: ties={quoted(self.ties)} for {num_kernels} kernels."
            )


@dataclass(frozen=True)
class WeightedSum(Tied, Mixing):
    """Coefficients times templates (NPAS, section 3.2, WAvg).

    Args:
        ties: For each kernel, the row of coefficients that it uses, as a
            position among the kernels; its own unless tied.
        choices: For each row, the templates that it mixes, in equal number;
            empty for all.
    """

    ties: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...] = ()

    def check(self, num_kernels, num_templates):
        super().check(num_kernels, num_templates)
        sizes = {len(choice) for choice in self.choices}
        named = [template for choice in self.choices for template in choice]
        if self.choices and (
            len(self.choices) != num_kernels
            or len(sizes) > 1
            or any(len(set(c)) < len(c) for c in self.choices)
            or not named
            or not all(0 <= template < num_templates for template in named)
        ):
            raise ValueError(
                "`choices` must name as many templates for each kernel, none "
                f"twice. Received: {len(self.choices)} for {num_kernels} "
                f"kernels and {num_templates} templates, of the sizes "
                f"{quoted(sorted(sizes))}."
            )

    def num_scalars(self, num_kernels, num_templates):
        mixed = len(self.choices[0]) if self.choices else num_templates
        return num_kernels * mixed

    def templates_of(self, row, num_templates):
        return (
            self.choices[row] if self.choices else tuple(range(num_templates))
        )

    def layer(self, norms, num_templates, **kwargs):
        return WeightedSumLayer(
            norms, num_templates, self.ties, self.choices, **kwargs
        )


class WeightedSumLayer(AverageLayer):
    """A weighted sum of the templates, by coefficients.

    The variable always has one row per kernel; `ties` says which row each
    kernel uses, so that tying and untying change no shape. Where a kernel
    mixes only some of the templates, its row of `C` is zero elsewhere.

    Initial rows have the given norms; those in use that mix the same templates
    are orthogonal, up to as many rows as templates. For the arguments see
    `Mixing.layer` and `WeightedSum`.

    Example:

    >>> layer = WeightedSumLayer([1.0, 1.0], num_templates=3, ties=[0, 0])
    >>> layer.mix(keras.ops.ones((3, 5))).shape
    TensorShape([2, 5])
    """

    def __init__(self, norms, num_templates, ties, choices=(), **kwargs):
        super().__init__(norms, num_templates, **kwargs)
        num_mixed = len(choices[0]) if choices else num_templates
        self.add_rows(norms, num_mixed, ties, choices)
        self.num_templates = num_templates
        self._choices = tuple(choices)

    def add_rows(self, norms, width, ties, choices=()):
        """Adds `coefficients`, one row per kernel, and `ties`."""
        # Positions of rows that mix the same templates. Rows that no kernel
        # uses must not take directions from the others.
        alike = {}
        for row, choice in enumerate(choices or [()] * len(norms)):
            key = tuple(choice), ties[row] == row
            alike.setdefault(key, []).append(row)
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
        return self.used(rows)

    def used(self, rows):
        """Returns the row that each kernel uses.

        Products with one-hot rows replace a gather and a scatter: the
        matrices are tiny, and gradients stay dense.
        """
        used = ops.one_hot(
            ops.convert_to_tensor(self.ties), rows.shape[0], dtype=rows.dtype
        )
        return ops.matmul(used, rows)

    def set_ties(self, ties):
        """Ties and unties rows.

        Separated rows start as copies of the row that they shared; joined
        rows use the first of them, scaled to the mean square of their norms.

        Returns:
            For each row, the row that it was copied from, for the same copy
            of optimizer slots.
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

    def linear_variables(self):
        return [self.coefficients]

    def fit(self, mixing, vectors, weights, rms):
        """Sets coefficients for given vectors: their scales, and directions.

        Where more kernels than templates mix the same templates, the best
        directions are the principal ones of the vectors (Eckart and Young),
        optimal if no other SuperWeight reads the bank. Other rows keep their
        initial, orthogonal directions.

        Args:
            mixing: The `WeightedSum`.
            vectors: Target vectors, one row per kernel.
            weights: Factor of each kernel's error.
            rms: Norm of a template.
        """
        drawn = self.coefficients.numpy()
        groups = {}  # of rows that mix the same templates
        for row in sorted(set(mixing.ties)):
            choice = mixing.templates_of(row, self.num_templates)
            groups.setdefault(choice, []).append(row)
        ties = np.array(mixing.ties)
        rows = drawn.copy()
        for choice, group in groups.items():
            totals = np.array(
                [np.sum(weights[ties == row] ** 2) for row in group]
            )
            directions = drawn[group]
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            if len(group) > len(choice):
                means = [
                    weights[ties == row] ** 2 @ vectors[ties == row]
                    for row in group
                ] / np.sqrt(totals)[:, None]  # of kernels that are tied
                _, principal = np.linalg.eigh(means @ means.T)
                directions = principal[:, -len(choice) :]
                directions *= np.sqrt(len(group) / len(choice))
            rows[group] = directions / np.sqrt(totals)[:, None]
        self.coefficients.assign(rows / rms)
