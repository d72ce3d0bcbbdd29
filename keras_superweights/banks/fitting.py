"""Fits stores, coefficients and transforms to kernels that are given.

For kernels `W_k` that are given and generated ones `K_k`, it minimises

    sum_k |W_k - K_k|^2 / |W_k|^2

Each kernel counts by its relative error: what it does in its network depends
on its direction more than on its scale, which batch normalization removes, and
kernels of a network differ in size by orders of magnitude. On digits, a
WRN-10-2 that began inside 10 to 80 % of its parameters so predicted and learned
better than where every scalar counts, by its square or relative to its kernel.

`K_k` is linear in the stores while all else is held, and so it is in the
coefficients, and in the masks. Each of these is a linear least-squares
problem, solved by conjugate gradients, in turn: no step can add to the error.
Nothing is known here of how kernels are made: the matrix `A` of a problem is
the generator, and its transpose the generator's gradient.

Embeddings (`parts.Embedded`) are not linear and keep their values.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

# Steps of conjugate gradients on one problem, and rounds over all problems.
# Both end before, when the last `WINDOW` steps, or the last round, have lowered
# the error by less than `GAIN` of it.
STEPS, WINDOW = 50, 10
ROUNDS = 10
GAIN = 0.01

# The norm of a kernel that does nothing, relative to that at a fresh start.
NOTHING = 1e-3

# Mean error of a kernel that is as good as none, in single precision.
EXACT = 1e-11


def fit_banks(generator, kernels):
    """Sets a generator's variables so that it makes given kernels.

    Args:
        generator: A `KernelGenerator`.
        kernels: Dict from the index of every kernel that it makes to an array
            of its shape, finite.

    Returns:
        A dict from the index of each kernel to its relative error,
        `|W - K|^2 / |W|^2`: 0 where it is met, 1 where nothing of it is. For
        a kernel next to zero it is relative to the norm at a fresh start.
    """
    dtype = generator.banks[0].store.dtype
    kernels = {index: np.asarray(k, dtype) for index, k in kernels.items()}
    weights = _weights(generator.allocation, kernels)
    target = _flat(kernels, weights)
    _begin_with_coefficients(generator, kernels, weights)
    problems = [
        _Problem(generator, variables, weights, target)
        for variables in _linear_variables(generator)
    ]
    error = np.inf
    for _ in range(ROUNDS):
        before = error
        for problem in problems:
            error = problem.solve()
        if error < EXACT * len(kernels) or error > (1 - GAIN) * before:
            break
    left = np.split(
        problems[0].residual().numpy(),
        np.cumsum([kernels[index].size for index in weights])[:-1],
    )
    return {
        index: float(np.square(part).sum())
        for index, part in zip(weights, left, strict=True)
    }


def _weights(allocation, kernels):
    """For each kernel, in order, what makes its norm one.

    One that is next to nothing is not to be met at any price.
    """
    weights = {}
    for index in sorted(kernels):
        spec = allocation.kernels[index]
        norm = float(np.linalg.norm(kernels[index]))
        fresh = (spec.size * spec.variance) ** 0.5
        weights[index] = 1 / (norm if norm > NOTHING * fresh else fresh)
    return weights


def _flat(kernels, weights):
    """All kernels in one vector, each times its weight."""
    return tf.concat(
        [tf.reshape(kernels[i] * weights[i], [-1]) for i in weights], 0
    )


def _linear_variables(generator):
    """Lists of variables: kernels are linear in each list."""
    mixtures = filter(None, generator.mixtures)
    of_transforms = itertools.zip_longest(
        *(layer.linear_variables() for layer in generator.transforms),
        fillvalue=(),
    )
    lists = (
        [bank.store for bank in generator.banks],
        [v for mixture in mixtures for v in mixture.linear_variables()],
        *map(list, map(itertools.chain.from_iterable, of_transforms)),
    )
    return [variables for variables in lists if variables]


class _Problem:
    """Linear least squares: some variables, while all others are held."""

    def __init__(self, generator, variables, weights, target):
        self.variables = variables
        self.target = target
        sizes = [int(np.prod(variable.shape)) for variable in variables]

        def generate(values):
            parts = tf.split(values, sizes)
            state = [
                (variable, tf.reshape(part, variable.shape))
                for variable, part in zip(variables, parts, strict=True)
            ]
            with keras.StatelessScope(state, initialize_variables=False):
                vectors = generator.superweights()
                return _flat(generator.kernels_from(vectors), weights)

        def transposed(values, vector):
            with tf.GradientTape() as tape:
                tape.watch(values)
                kernels = generate(values)
            return tape.gradient(kernels, values, output_gradients=vector)

        self._sizes = sizes
        self._generate = tf.function(generate)
        self._transposed = tf.function(transposed)

    def values(self):
        """What the variables are now, as one vector."""
        return tf.concat([tf.reshape(v.value, [-1]) for v in self.variables], 0)

    def assign(self, values):
        parts = tf.split(values, self._sizes)
        for variable, part in zip(self.variables, parts, strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    def residual(self):
        return self.target - self._generate(self.values())

    def solve(self):
        """Takes steps of conjugate gradients; returns the squared error.

        The change `x` of the variables minimises `|r - A x|^2`. What does not
        depend on them, of kernels without coefficients, say, cancels out.
        """
        values = self.values()
        rest = self._generate(tf.zeros_like(values))
        residual = self.residual()
        errors = [_square(residual)]
        change = tf.zeros_like(values)
        direction = gradient = self._transposed(values, residual)
        slope = _square(gradient)
        while slope > 0 and len(errors) <= STEPS:
            moved = self._generate(direction) - rest
            length = _square(moved)
            if length == 0:
                break
            step = slope / length
            change += step * direction
            residual -= step * moved
            errors.append(_square(residual))
            window = errors[-1 - WINDOW :]
            if len(window) > WINDOW and window[-1] > (1 - GAIN) * window[0]:
                break
            gradient = self._transposed(values, residual)
            before, slope = slope, _square(gradient)
            direction = gradient + slope / before * direction
        self.assign(values + change)
        return _square(self.residual())


def _square(vector):
    return 2 * float(tf.nn.l2_loss(vector))


def _begin_with_coefficients(generator, kernels, weights):
    """Sets coefficients at the scales of the kernels, the best where known."""
    with tf.GradientTape() as tape:
        vectors = generator.superweights()
        tape.watch(vectors)
        made = generator.kernels_from(vectors)
    # Vectors are put together to kernels; the transpose takes these apart.
    given = {index: tf.constant(kernels[index]) for index in made}
    parts = tape.gradient(made, vectors, output_gradients=given)
    for superweight, mixture, part in zip(
        generator.allocation.superweights,
        generator.mixtures,
        parts,
        strict=True,
    ):
        if mixture is None:
            continue
        store = generator.banks[superweight.bank].store.numpy()
        sizes = [kernels[kernel].size for kernel in superweight.kernels]
        mixture.fit(
            superweight.mixing,
            part.numpy(),
            np.array([weights[kernel] for kernel in superweight.kernels]),
            np.sqrt(np.mean(sizes) * np.mean(store**2)),
        )
