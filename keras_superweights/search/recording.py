"""Adds up gradients per kernel while a network trains."""

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.search.similarity import common_boxes
from keras_superweights.search.similarity import crop_rows


class GradientRecorder:
    """Sums of the gradients of every kernel, over steps and replicas.

    A training step knows the gradient of each kernel's pieces, `dS`: it is
    what goes back into the banks. Recording adds it to accumulators, and
    projects it on the templates for the gradient that each kernel, tied or
    not, has for coefficients of its own. No second backward pass is needed.
    Accumulators are per replica and summed when read: nothing is communicated
    in a step.

    Memory, per replica: `weights` takes as many scalars as the generated
    kernels have; with `sketch_size`, kernels x pieces x that many, times the
    number of parts that common boxes with narrower kernels cut from a piece.
    Coefficient gradients take kernels x templates.

    A sketch is a seeded random projection of a piece's gradient (a count
    sketch, Charikar et al. 2002): signs are random, and scalar `i` goes to
    place `(i + shift) mod sketch_size`, with a random shift for every run of
    `sketch_size` scalars. Inner products stay unbiased; for gradients x and y
    their standard deviation is at most `sqrt(2 / sketch_size) |x| |y|`, so
    that similarities are off by about that root: 0.044 at 1024.

    Args:
        generator: The `KernelGenerator` of the network.
        weights: Whether to record gradients of kernels; those of coefficients
            always are.
        sketch_size: Scalars kept of each piece's gradient; all by default.
            Smaller pieces are kept whole.
        seed: Seed of the sketch.

    Raises:
        ValueError: If the sketch is not a positive integer, or not smaller
            than the largest piece, so that nothing would be saved.
    """

    def __init__(self, generator, weights=True, sketch_size=None, seed=0):
        self._generator = generator
        self._pieces = generator.allocation.superweights
        check_sketch_size(generator.allocation, sketch_size)
        self._sketch_size = sketch_size
        self._seed = seed
        self._coefficients = [
            _accumulator((_num_rows(p), p.num_templates)) for p in self._pieces
        ]
        self._weights = [
            self._weight_accumulators(p) if weights else {}
            for p in self._pieces
        ]

    def _weight_accumulators(self, piece):
        """Dict from a common box, or None for the whole piece, to a sum."""
        rows = _num_rows(piece)
        if self._sketch_size is None or piece.size <= self._sketch_size:
            return {None: _accumulator((rows, piece.size))}
        firsts = _first_alike(self._generator.allocation, piece)
        return {
            box: _accumulator((rows, self._sketch_size))
            for box in sorted(set(firsts.values()))
        }

    def update(self, gradients, loss_scale=None):
        """Adds one step.

        Args:
            gradients: For each SuperWeight, the gradient of its pieces.
            loss_scale: What the loss was multiplied by before, if anything.
                A step whose gradients then overflow is left out: loss scaling
                tries such steps, and does not apply them.
        """
        if loss_scale is not None:
            gradients = [gradient / loss_scale for gradient in gradients]
        projected = [
            tf.matmul(
                gradient, self._generator.templates(index), transpose_b=True
            )
            for index, gradient in enumerate(gradients)
        ]
        if loss_scale is None:
            self._add(gradients, projected)
            return
        # A product with an infinity is never finite, and far smaller to look
        # through than the gradient.
        finite = [tf.reduce_all(tf.math.is_finite(p)) for p in projected]
        tf.cond(
            tf.reduce_all(finite),
            lambda: self._add(gradients, projected),
            lambda: None,
        )

    def _add(self, gradients, projected):
        for index, gradient in enumerate(gradients):
            _add_to(self._coefficients[index], projected[index])
            for box, total in self._weights[index].items():
                if box is None:
                    _add_to(total, gradient)
                else:
                    _add_to(total, self._sketch(index, gradient, box))

    def grams(self):
        """Inner products of the summed gradients of kernels, as NumPy arrays.

        Returns:
            For each SuperWeight a dict from common box to a Gram matrix, as
            `weight_similarity` takes them.
        """
        allocation = self._generator.allocation
        grams = []
        for piece, totals in zip(self._pieces, self._weights, strict=True):
            if not totals:
                grams.append({})
                continue
            firsts = _first_alike(allocation, piece)
            rows = {box: _read(total) for box, total in totals.items()}
            if None in rows:
                whole = rows.pop(None)
                rows = {
                    box: crop_rows(piece, whole, box)
                    for box in set(firsts.values())
                }
            products = {box: r @ r.T for box, r in rows.items()}
            grams.append({b: products[first] for b, first in firsts.items()})
        return grams

    def coefficient_gradients(self):
        """Summed gradients of every kernel's coefficients, as NumPy arrays.

        Returns:
            For each SuperWeight `(kernels served, templates)`, zero at
            templates that a kernel does not mix.
        """
        totals = [_read(total) for total in self._coefficients]
        for piece, total in zip(self._pieces, totals, strict=True):
            if piece.choices:
                mixed = np.zeros_like(total)
                used = [piece.choices[tie] for tie in piece.ties]
                np.put_along_axis(mixed, np.array(used), 1.0, axis=1)
                total *= mixed
        return totals

    def _sketch(self, index, gradient, box):
        """Projects each row, inside a box, to `(n, sketch_size)`."""
        piece, size = self._pieces[index], self._sketch_size
        runs = -(-piece.size // size)
        signs = tf.random.stateless_uniform(
            (piece.size,), (self._seed, 2 * index), 0, 2, tf.int32
        )
        signs = tf.cast(2 * signs - 1, gradient.dtype)
        inside = _inside(piece, box)
        if not inside.all():
            signs *= tf.constant(inside, gradient.dtype)
        padding = [[0, 0], [0, runs * size - piece.size]]
        signed = tf.reshape(tf.pad(gradient * signs, padding), (-1, runs, size))
        shifts = tf.random.stateless_uniform(
            (runs, 1), (self._seed, 2 * index + 1), 0, size, tf.int32
        )
        sources = (tf.range(size) - shifts) % size  # (runs, size)
        sources += tf.range(runs)[:, None] * size
        moved = tf.gather(
            tf.reshape(signed, (-1, runs * size)), sources, axis=1
        )
        return tf.reduce_sum(moved, axis=1)


def check_sketch_size(allocation, sketch_size):
    """Raises an error for a sketch that saves nothing in this allocation."""
    if sketch_size is None:
        return
    largest = max((piece.size for piece in allocation.superweights), default=0)
    if not isinstance(sketch_size, int) or not 1 <= sketch_size < largest:
        raise ValueError(
            "`sketch_size` must be a positive integer, smaller than the "
            f"largest gradient it replaces, {largest} scalars. "
            f"Received: sketch_size={sketch_size!r}."
        )


def _num_rows(piece):
    """Rows that are generated: one where nothing is mixed."""
    return len(piece.ties) or 1


def _accumulator(shape):
    # `add_weight` has no `synchronization`; metrics make theirs like this.
    return keras.Variable(
        "zeros",
        shape=shape,
        dtype="float32",
        trainable=False,
        aggregation="sum",
        synchronization="on_read",
    )


def _add_to(total, value):
    # In place; Keras' own `assign_add` makes the sum first and copies it.
    total.value.assign_add(value)


def _read(total):
    return np.asarray(total.value, "float64")


def _first_alike(allocation, piece):
    """Dict from each common box to the first that cuts the piece alike."""
    firsts = {}
    return {
        box: firsts.setdefault(tuple(r.crop(box) for r in piece.region), box)
        for box in common_boxes(allocation, piece)
    }


def _inside(piece, box):
    """Which scalars of a piece lie inside a box, `(size,)` of bool."""
    places = np.arange(piece.size)
    inside = np.zeros(piece.size, bool)
    inside[crop_rows(piece, places[None], box)[0]] = True
    return inside
