"""What several tests make: members of shapes, and kernels in NumPy."""

import contextlib
import math
import re
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from keras_superweights import parts
from keras_superweights import sharing
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation import Transform


def member(*shapes, index=0, other_params=0):
    """A member of kernels of these shapes, in layers "l0", "l1", ..."""
    named = {f"l{i}": shape for i, shape in enumerate(shapes)}
    return named_member(named, index, other_params)


def named_member(shapes, index=0, other_params=0):
    """A member of kernels of the shapes of these layers."""
    kernels = tuple(KernelSpec(index, *each) for each in shapes.items())
    return MemberSpec(f"net{index}", kernels, other_params)


def members(*shapes_of_members, other_params=0):
    """One member for each list of shapes."""
    return [
        member(*shapes, index=index, other_params=other_params)
        for index, shapes in enumerate(shapes_of_members)
    ]


def perceptron(width=4, depth=2, num_inputs=5, outputs=3, name=None, **kwargs):
    """A Keras model of dense layers "d0", "d1", ... and a head."""
    x = inputs = keras.Input((num_inputs,))
    kwargs = {"activation": "tanh"} | kwargs
    for index in range(depth):
        x = keras.layers.Dense(width, name=f"d{index}", **kwargs)(x)
    x = keras.layers.Dense(outputs, name="head")(x)
    return keras.Model(inputs, x, name=name)


def wide_resnet(index, depth, width, classes=10, channels=3):
    """The kernels of WRN-depth-width, written down from the paper."""
    shapes = [(3, 3, channels, 16)]
    channels = 16
    norms = 0
    for stage in range(3):
        filters = 16 * 2**stage * width
        for block in range((depth - 4) // 6):
            norms += 2 * channels + 2 * filters
            if block == 0 and (channels != filters or stage):
                shapes.append((1, 1, channels, filters))
            shapes.append((3, 3, channels, filters))
            shapes.append((3, 3, filters, filters))
            channels = filters
    others = norms + 2 * channels + (channels + 1) * classes
    return member(*shapes, index=index, other_params=others)


def conv_member(width):
    """A network for digits of 8 x 8 pixels, of three convolutions."""
    inputs = x = keras.Input((8, 8, 1))
    for index in range(3):
        x = keras.layers.Conv2D(
            width, 3, 2, padding="same", activation="relu", name=f"conv{index}"
        )(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(x))


@contextlib.contextmanager
def dtype_policy(name):
    """Sets the global dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Interrupted(Exception):
    """What `Interrupt` raises."""


class Interrupt(keras.callbacks.Callback):
    """Interrupts training after a step of an epoch."""

    def __init__(self, epoch, step=1):
        super().__init__()
        self._at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == self._at:
            raise Interrupted


def any_member(draw, index=0):
    """Convolutions and dense layers of any shape, with nothing in common."""
    kernels = []
    for number in range(draw.randint(1, 12)):
        window = draw.choice([(), (1, 1), (3, 3), (3,), (2, 2, 2)])
        box = (draw.randint(1, 12), draw.randint(1, 12))
        if draw.random() < 0.3:
            window, box = (3, 3), (4, 4)  # else few would be alike
        kind = draw.choice(["conv", "depthwise"] if window else ["dense"])
        kernels.append(
            KernelSpec(index, f"l{number}", (*window, *box), kind=kind)
        )
    return MemberSpec(f"net{index}", tuple(kernels), draw.randint(0, 50))


def any_members(draw):
    """One to four members: wide residual networks, or of any layers."""
    count = range(draw.randint(1, 4))
    if draw.random() < 0.6:
        return [
            wide_resnet(m, draw.choice([10, 16, 22, 28]), draw.randint(1, 6))
            for m in count
        ]
    return [any_member(draw, m) for m in count]


def alike_members(draw):
    """Members of few shapes and kinds; some layers have two kernels."""
    result = []
    for member in range(draw.randint(1, 4)):
        kernels = []
        for number in range(draw.randint(1, 12)):
            layer = f"l{number}"
            shape = draw.choice([(3, 3, 2, 4), (3, 3, 4, 4), (4, 4)])
            kind = draw.choice(["conv", "depthwise"]) if shape[2:] else ""
            kernels.append(KernelSpec(member, layer, shape, kind=kind))
            if draw.random() < 0.3:
                kernels.append(
                    KernelSpec(member, layer, (4, 4), "other", "recurrent")
                )
        others = draw.randint(0, 9)
        result.append(MemberSpec(f"net{member}", tuple(kernels), others))
    return result


def smallest_budget(rule, members):
    """The smallest budget, as the error for a budget of 0 names it."""
    with pytest.raises(ValueError, match="budget that works is") as error:
        rule.allocate(members, 0)
    return int(re.search(r"budget that works is (\d+)", str(error.value))[1])


def refuses_less(rule, members, smallest):
    """Asserts that one scalar less is refused, by the same number."""
    with pytest.raises(ValueError, match=f"works is {smallest}. Received"):
        rule.allocate(members, smallest - 1)


def made(generator):
    """What a generator makes: arrays by the indices of kernels."""
    kernels = generator.kernels_from(generator.superweights())
    return {index: np.array(kernel) for index, kernel in kernels.items()}


def vector_of(superweight, generator, number, position):
    """A SuperWeight's vector for a kernel; of means, up to a factor."""
    size = superweight.size
    store = np.array(generator.banks[superweight.bank].store, "float64")
    rows = store[: len(store) // size * size].reshape(-1, size)
    templates = [
        rows[(superweight.first + t) % len(rows)]
        for t in range(superweight.num_templates)
    ]
    mixing = superweight.mixing
    if isinstance(mixing, (parts.Plain, parts.Average)):
        return np.mean(templates, axis=0)
    layer = generator.mixtures[number]
    used = mixing.ties[position]
    weights = np.array(layer.coefficients)[used]
    if isinstance(mixing, parts.Embedded):
        weights = softmax(weights @ layer.projection.numpy() + layer.bias)
    elif mixing.choices:
        templates = [templates[t] for t in mixing.choices[used]]
    return sum(w * t for w, t in zip(weights, templates, strict=True))


def kernel_of(allocation, generator, index):
    """A kernel of the variables, scalar by scalar; of means up to a factor."""
    shape = allocation.kernels[index].shape
    kernel = np.full(shape, np.nan)
    for number, position in allocation.composition[index]:
        superweight = allocation.superweights[number]
        vector = vector_of(superweight, generator, number, position)
        if isinstance(superweight.geometry, parts.Flat):
            kernel = vector
        else:
            paint(kernel, superweight.geometry, vector)
    assert not np.isnan(kernel).any(), "a scalar of no SuperWeight"
    layers = {layer.name: layer for layer in generator.transforms}
    for place, transform in enumerate(allocation.transforms_of[index]):
        kernel = np.ravel(kernel)
        layer = layers[f"transform_{index}_{place}"]
        if isinstance(transform, parts.Mask):
            kernel = masked(kernel, layer.masks.numpy(), shape)
        elif isinstance(transform, parts.Repeat):
            kernel = np.resize(kernel, shape)
        else:
            kernel = interpolated(kernel, shape)
    return np.reshape(kernel, shape)


def paint(kernel, region, vector):
    """Writes the scalars of a region into a kernel, point by point."""
    inputs, outputs = kernel.shape[-2:]
    scalars = iter(vector)
    for a, b, c, d in region.rectangles:
        for place in np.ndindex(*region.window):
            for i in range(a, b):
                for j in range(c, d):
                    scalar = next(scalars)
                    if i < inputs and j < outputs:
                        point = (*place, i, j)
                        assert np.isnan(kernel[point]), "of two SuperWeights"
                        kernel[point] = scalar
    assert not list(scalars)


def softmax(logits):
    weights = np.exp(logits - np.max(logits))
    return weights / weights.sum()


def masked(template, masks, shape):
    """A template repeated, each further copy times its mask (NPAS, 3.3)."""
    scalars = []
    for place in range(math.prod(shape)):
        copy, within = divmod(place, len(template))
        factor = 1.0 if copy == 0 else masks[copy - 1, within % 9]
        scalars.append(factor * template[within])
    return np.reshape(scalars, shape)


def interpolated(template, shape):
    """A template laid out as a matrix and resized, pixel by pixel."""
    length = len(template)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    across = min(max(1, round((length * columns / rows) ** 0.5)), length)
    down = length // across
    grid = np.array(template[: down * across], float).reshape(down, across)
    scalars = [
        _at(
            grid,
            (i + 0.5) * down / rows - 0.5,
            (j + 0.5) * across / columns - 0.5,
        )
        for i in range(rows)
        for j in range(columns)
    ]
    return np.reshape(scalars, shape)


def _at(grid, y, x):
    """Bilinear interpolation at one point, pixel centres at integers."""
    y = min(max(y, 0), grid.shape[0] - 1)
    x = min(max(x, 0), grid.shape[1] - 1)
    top, left = math.floor(y), math.floor(x)
    bottom = min(top + 1, grid.shape[0] - 1)
    right = min(left + 1, grid.shape[1] - 1)
    y, x = y - top, x - left
    above = grid[top, left] * (1 - x) + grid[top, right] * x
    below = grid[bottom, left] * (1 - x) + grid[bottom, right] * x
    return above * (1 - y) + below * y


def lengths_and_shapes(draw, count, smaller=False):
    """Lengths of templates and shapes of kernels, also one scalar apart.

    Kernels are larger than templates; some are not if `smaller`.
    """
    for _ in range(count):
        shape = tuple(draw.randint(1, 6) for _ in range(draw.randint(2, 4)))
        size = math.prod(shape)
        lengths = [size - 1, size // 2, size // 2 + 1, draw.randint(1, size)]
        lengths = [length for length in lengths if 0 < length < size]
        if smaller:
            lengths += [size, size + 1, 3 * size + 2]
        for length in lengths:
            yield length, shape


def template_of(length):
    """A template of normal scalars, the same for the same length."""
    values = np.random.default_rng(length).normal(size=length)
    return values.astype("float32")


@dataclass(frozen=True)
class OneKernel(sharing.Rule):
    """All layers of equal kind and shape share one kernel."""

    def plan(self, kernels, scalars):
        plan = sharing.Plan()
        groups = {}
        for index, kernel in enumerate(kernels):
            groups.setdefault((kernel.kind, kernel.shape), []).append(index)
        for (kind, shape), users in groups.items():
            plan.add(
                name=f"{kind} {shape}",
                kernels=users,
                geometry=parts.Region.of(kernels[users[0]]),
                mixing=parts.Plain(),
            )
        return plan


@dataclass(frozen=True)
class Scale(Transform):
    """A kernel times a vector for its outputs, which starts at `by`."""

    noun = "scales"
    by: float = 1.0

    def num_scalars(self, kernel):
        return kernel.shape[-1]

    def layer(self, kernel, **kwargs):
        return ScaleLayer(kernel.shape[-1], self.by, **kwargs)


class ScaleLayer(keras.layers.Layer):
    def __init__(self, outputs, by, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.Constant(by)
        self.scales = self.add_weight(shape=(outputs,), initializer=start)
        self.built = True

    def transform(self, kernel):
        return kernel * self.scales
