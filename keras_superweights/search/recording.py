"""Adds up gradients per kernel while a network trains."""

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.search.sketch import CountSketch
from keras_superweights.search.sketch import largest_prime


class GradientRecorder:
    """Sums of the gradients of every kernel, over steps and replicas.

    A training step knows the gradient of each kernel's pieces, `dS`: it is
    what goes back into the banks. Recording adds it to accumulators, and
    projects it on the templates for the gradient that each kernel, tied or
    not, has for coefficients of its own. No second backward pass is needed.
    Accumulators are float32, one for each replica, and summed when read:
    nothing is communicated in a step.

    Where several kernels use one piece as it is, nothing mixed, they have one
    gradient, the sum of theirs, and are recorded as one.

    Memory, per replica: `weights` takes as many scalars as are generated; with
    `sketch_size`, kernels x pieces x that many, times the number of parts that
    common boxes with narrower kernels cut from a piece, and once for all
    replicas a byte for each scalar of a piece and part. Coefficient gradients
    take kernels x templates.

    A sketch is a seeded random projection of a piece's gradient, see
    `sketch.CountSketch`. Inner products stay unbiased; for gradients x and y
    their standard deviation is at most `sqrt(2 / sketch_size) |x| |y|`, so
    that similarities are off by about that root: 0.044 at 1024.

    Args:
        generator: The `KernelGenerator` of the network.
        weights: Whether to record gradients of kernels; those of coefficients
            always are.
        sketch_size: Scalars kept of each piece's gradient, rounded down to a
            prime number; all by default. Smaller pieces are kept whole.
        seed: Seed of the sketch.

    Raises:
        ValueError: If the sketch is not an integer from 2 on, or not smaller
            than the largest piece, so that nothing would be saved.
    """

    def __init__(self, generator, weights=True, sketch_size=None, seed=0):
        self._generator = generator
        self._superweights = generator.allocation.superweights
        check_sketch_size(generator.allocation, sketch_size)
        size = None if sketch_size is None else largest_prime(sketch_size)
        self._coefficients = [
            _accumulator((each.num_rows, each.num_templates))
            for each in self._superweights
        ]
        # For each SuperWeight, the sum of its gradients, or a dict from common
        # box to the sketch of what is inside and the sum of these.
        self._whole = [None] * len(self._superweights)
        self._sketched = [{} for _ in self._superweights]
        for index, each in enumerate(self._superweights if weights else ()):
            if sketch_size is None or each.size <= sketch_size:
                shape = (each.num_rows, each.size)
                self._whole[index] = _accumulator(shape)
                continue
            for box in sorted(set(self._firsts(index).values())):
                inside = _inside(each, box)
                self._sketched[index][box] = (
                    CountSketch(each.size, size, (seed, index), inside),
                    _accumulator((each.num_rows, size)),
                )

    def _firsts(self, index):
        """Dict from each common box to the first that clips alike."""
        firsts = {}
        geometry = self._superweights[index].geometry
        kernels = self._generator.allocation.kernels
        served = [kernels[k] for k in self._superweights[index].kernels]
        return {
            box: firsts.setdefault(geometry.clip(box), box)
            for box in geometry.boxes(served)
        }

    def update(self, gradients, loss_scale=None):
        """Adds one step.

        Args:
            gradients: For each SuperWeight, the gradient of its pieces.
            loss_scale: What the loss was multiplied by before, if anything.
                A step whose gradients then overflow is left out: loss scaling
                tries such steps, and does not apply them.
        """
        gradients = [tf.cast(each, "float32") for each in gradients]
        if loss_scale is not None:
            gradients = [gradient / loss_scale for gradient in gradients]
        projected = [
            tf.matmul(gradient, tf.cast(templates, "float32"), transpose_b=True)
            for gradient, templates in zip(
                gradients, self._generator.all_templates(), strict=True
            )
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
            if self._whole[index] is not None:
                _add_to(self._whole[index], gradient)
            for sketch, total in self._sketched[index].values():
                _add_to(total, sketch(gradient))

    def grams(self):
        """Inner products of the summed gradients of kernels, as NumPy arrays.

        Returns:
            For each SuperWeight a dict from common box to a Gram matrix, as
            `weight_similarity` takes them.
        """
        return [self._grams(index) for index in range(len(self._superweights))]

    def _grams(self, index):
        firsts = self._firsts(index)
        rows = {
            box: _read(total)
            for box, (_, total) in self._sketched[index].items()
        }
        if self._whole[index] is not None:
            whole = _read(self._whole[index])
            rows = {
                box: self._superweights[index].geometry.crop(whole, box)
                for box in set(firsts.values())
            }
        products = {box: r @ r.T for box, r in rows.items()}
        return {
            box: products[first]
            for box, first in firsts.items()
            if first in products
        }

    def coefficient_gradients(self):
        """Summed gradients of every kernel's coefficients, as NumPy arrays.

        Returns:
            For each SuperWeight `(kernels served, templates)`, zero at
            templates that a kernel does not mix.
        """
        totals = [_read(total) for total in self._coefficients]
        for superweight, total in zip(self._superweights, totals, strict=True):
            for position, row in enumerate(total):
                others = np.ones(len(row), bool)
                others[list(superweight.templates_of(position))] = False
                row[others] = 0.0
        return totals


def check_sketch_size(allocation, sketch_size):
    """Raises an error for a sketch that saves nothing in this allocation."""
    if sketch_size is None:
        return
    largest = max((s.size for s in allocation.superweights), default=0)
    if not isinstance(sketch_size, int) or not 2 <= sketch_size < largest:
        raise ValueError(
            "`sketch_size` must be an integer from 2 on, smaller than the "
            f"largest gradient it replaces, {largest} scalars. "
            f"Received: sketch_size={sketch_size!r}."
        )


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


def _inside(superweight, box):
    """Which scalars of a SuperWeight lie inside a box, `(size,)` of bool."""
    places = np.arange(superweight.size)
    inside = np.zeros(superweight.size, bool)
    inside[superweight.geometry.crop(places[None], box)[0]] = True
    return inside
