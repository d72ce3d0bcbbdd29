"""Fits stores, coefficients and transforms to given kernels.

For given kernels `W_k` and generated ones `K_k`, it minimises

    sum_k |W_k - K_k|^2 / |W_k|^2

Each kernel counts by its relative error: its effect depends on its direction
more than on its scale, which batch normalization removes, and kernels of a
network differ in size by orders of magnitude. On digits, a WRN-10-2 fitted
into 10 to 80 % of its parameters so predicted and learned better than with
absolute errors per scalar, or errors relative to the kernel per scalar.

`K_k` is linear in the stores, in the coefficients and in the masks, each while
the others are fixed. Each of these is a linear least-squares problem, solved
in turn by conjugate gradients: no step can increase the error. The matrix `A`
of a problem is the generator, and its transpose the generator's gradient, so
nothing here depends on how kernels are made.

Embeddings (`parts.Embedded`) are not linear and keep their values.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

# Conjugate-gradient steps on one problem, and rounds over all problems. Both
# end early when the last `WINDOW` steps, or the last round, have lowered the
# error by less than `GAIN` of it.
STEPS, WINDOW = 50, 10
ROUNDS = 10
GAIN = 0.01

# Norm of a negligible kernel, relative to its initial norm.
NOTHING = 1e-3

# Mean error of a kernel that counts as exact, in single precision.
EXACT = 1e-11


def fit_banks(generator, kernels):
    """Fits a generator's variables to given kernels.

    Args:
        generator: A `KernelGenerator`.
        kernels: Dict from the index of every kernel that it makes to an array
            of its shape, finite.

    Returns:
        A dict from the index of each kernel to its relative error,
        `|W - K|^2 / |W|^2`: 0 for an exact fit, 1 for none. That of a kernel
        close to zero is relative to its initial norm.
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
    ends = np.cumsum([kernels[index].size for index in weights])
    left = np.split(problems[0].residual().numpy(), ends[:-1])
    errors = [float(np.square(part).sum()) for part in left]
    return dict(zip(weights, errors, strict=True))


def _weights(allocation, kernels):
    """Returns the factor that makes the norm of each kernel one, in order.

    A kernel close to zero gets that of its initial norm, or it would dominate.
    """
    weights = {}
    for index in sorted(kernels):
        spec = allocation.kernels[index]
        norm = float(np.linalg.norm(kernels[index]))
        fresh = (spec.size * spec.variance) ** 0.5
        weights[index] = 1 / (norm if norm > NOTHING * fresh else fresh)
    return weights


def _flat(kernels, weights):
    """Concatenates all kernels, each times its weight."""
    return tf.concat(
        [tf.reshape(kernels[i] * weights[i], [-1]) for i in weights], 0
    )


def _linear_variables(generator):
    """Returns lists of variables; kernels are linear in each list."""
    mixtures = filter(None, generator.mixtures)
    of_transforms = itertools.zip_longest(
        *(
            layer.linear_variables()
            for layer in generator.transforms
            if hasattr(layer, "linear_variables")
        ),
        fillvalue=(),
    )
    lists = (
        [bank.store for bank in generator.banks],
        [v for mixture in mixtures for v in mixture.linear_variables()],
        *map(list, map(itertools.chain.from_iterable, of_transforms)),
    )
    return [variables for variables in lists if variables]


class _Problem:
    """Linear least squares over some variables, with all others fixed."""

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
        self._generate = tf.function(generate, autograph=False)
        self._transposed = tf.function(transposed, autograph=False)

    def values(self):
        """Returns the variables as one vector."""
        return tf.concat([tf.reshape(v.value, [-1]) for v in self.variables], 0)

    def assign(self, values):
        parts = tf.split(values, self._sizes)
        for variable, part in zip(self.variables, parts, strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    def residual(self):
        return self.target - self._generate(self.values())

    def solve(self):
        """Takes steps of conjugate gradients; returns the squared error.

        The change `x` of the variables minimises `|r - A x|^2`. Parts of
        kernels that do not depend on them cancel out.
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
    """Sets initial coefficients for the kernels; see `Mixing` layers' `fit`."""
    with tf.GradientTape() as tape:
        vectors = generator.superweights()
        tape.watch(vectors)
        made = generator.kernels_from(vectors)
    # The transpose of the assembly takes kernels apart into vectors.
    given = {index: tf.constant(kernels[index]) for index in made}
    parts = tape.gradient(made, vectors, output_gradients=given)
    superweights = generator.allocation.superweights
    for superweight, mixture, part in zip(
        superweights, generator.mixtures, parts, strict=True
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
