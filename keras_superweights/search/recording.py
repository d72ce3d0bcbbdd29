"""Sums the gradients of each kernel while a network trains."""

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_bool
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.banks import KernelGenerator
from keras_superweights.search.sketch import CountSketch
from keras_superweights.search.sketch import largest_prime


class GradientRecorder:
    """Sums the gradients of every kernel, over steps and replicas.

    A training step knows the gradient of each kernel's vectors, `dS`, which
    goes back into the banks. Recording adds it to accumulators, and projects
    it on the templates: the gradient that each kernel, tied or not, has for
    coefficients of its own. No second backward pass is needed. Accumulators
    are float32, one per replica, and summed when read: steps communicate
    nothing. Kernels that use one plain SuperWeight have one gradient, the sum
    of theirs, and are recorded as one.

    Memory, per replica: `weights` takes as many scalars as are generated; with
    `sketch_size`, kernels x SuperWeights x that many, times the number of
    parts that common boxes with narrower kernels cut from a SuperWeight, and
    once for all replicas a byte per scalar of a SuperWeight and part.
    Coefficient gradients take kernels x templates.

    A sketch is a seeded random projection of a vector's gradient, see
    `sketch.CountSketch`. Inner products stay unbiased; for gradients x and y
    their standard deviation is at most `sqrt(2 / sketch_size) |x| |y|`, so
    similarities are off by about that root: 0.044 at 1024.

    Args:
        generator: The `KernelGenerator` of the network.
        weights: Whether to record gradients of kernels; those of coefficients
            always are.
        sketch_size: Scalars kept of each vector's gradient, rounded down to a
            prime number; all by default. Smaller vectors are kept whole.
        seed: Seed of the sketch.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If `sketch_size` is not an integer from 2 on, or not
            smaller than the largest vector, so that nothing would be saved.
    """

    def __init__(self, generator, weights=True, sketch_size=None, seed=0):
        is_generator = isinstance(generator, KernelGenerator)
        check_type("generator", generator, is_generator, "a KernelGenerator")
        check_bool("weights", weights)
        check_integer("seed", seed, least=0)
        self._generator = generator
        self._superweights = generator.allocation.superweights
        check_sketch_size(generator.allocation, sketch_size)
        size = None if sketch_size is None else largest_prime(sketch_size)
        self._coefficients = [
            _accumulator((each.num_rows, each.num_templates))
            for each in self._superweights
        ]
        # Per SuperWeight the sum of its gradients, or a dict from common box
        # to the sketch of the part inside and the sum of these sketches.
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
        """Maps each common box to the first one that clips alike."""
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
            gradients: For each SuperWeight, the gradient of its vectors.
            loss_scale: Factor of the loss, if any. Steps whose gradients then
                overflow are left out, as loss scaling does not apply them.
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
        # Products with infinities are never finite, and are far smaller to
        # check than the gradients.
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
        """Returns inner products of the kernels' summed gradients, in NumPy.

        Returns:
            For each SuperWeight a dict from common box to a Gram matrix, as
            `weight_similarity` takes them.
        """
        return [self._grams(index) for index in range(len(self._superweights))]

    def whole_grams(self):
        """Returns the inner products over whole vectors, in NumPy.

        Returns:
            For each SuperWeight `(kernels served, kernels served)`, or `None`
            where only sketches are kept.
        """
        return [
            None if total is None else (rows := _read(total)) @ rows.T
            for total in self._whole
        ]

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
        """Returns summed gradients of every kernel's coefficients, in NumPy.

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
    check_integer("sketch_size", sketch_size, least=2)
    if sketch_size >= largest:
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
    # In place; Keras' `assign_add` would make a copy.
    total.value.assign_add(value)


def _read(total):
    return np.asarray(total.value, "float64")


def _inside(superweight, box):
    """Returns which scalars of a SuperWeight lie inside a box, as a mask."""
    places = np.arange(superweight.size)
    inside = np.zeros(superweight.size, bool)
    inside[superweight.geometry.crop(places[None], box)[0]] = True
    return inside
