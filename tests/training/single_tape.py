"""Loss and gradients of a network from one tape, without the library."""

import math

import numpy as np
import tensorflow as tf

from keras_superweights import parts
from tests.builders import paint


def generated_by_gathering(network):
    """Maps `(member, layer)` to its kernel, generated in plain TensorFlow.

    Paints which scalar of which SuperWeight lies where, then gathers.
    """
    allocation = network.allocation
    kernels = {}
    for index, spec in enumerate(allocation.kernels):
        vectors = []
        places = np.full(spec.shape, np.nan)
        begin = 0
        for number, superweight in enumerate(allocation.superweights):
            if index not in superweight.kernels:
                continue
            vectors.append(mixed(network, number, index))
            size = superweight.size
            scalars = np.arange(begin, begin + size)
            begin += size
            if isinstance(superweight.geometry, parts.Flat):
                places = scalars.reshape(spec.shape)
            else:
                paint(places, superweight.geometry, scalars)
        if vectors:
            assert not np.isnan(places).any()
            kernels[spec.member, spec.layer] = tf.gather(
                tf.concat(vectors, axis=0), places.astype(int)
            )
    return kernels


def mixed(network, number, index):
    """Mixes the vector of SuperWeight `number` for kernel `index`."""
    allocation = network.allocation
    superweight = allocation.superweights[number]
    store = network.generator.banks[superweight.bank].store.value
    size, count = superweight.size, superweight.num_templates
    templates = [
        store[t * size : (t + 1) * size]
        for t in (superweight.first + np.arange(count))
        % (store.shape[0] // size)
    ]
    mixing = superweight.mixing
    if isinstance(mixing, parts.Plain):
        return templates[0]
    if isinstance(mixing, parts.Average):
        served = [
            allocation.kernels[k].variance
            for reader in allocation.readers[superweight.bank]
            for k in reader.kernels
        ]
        ratio = allocation.kernels[index].variance / np.mean(served)
        return math.sqrt(ratio / count) * tf.add_n(templates)
    assert isinstance(mixing, parts.WeightedSum)
    row = mixing.ties[superweight.kernels.index(index)]
    coefficients = network.generator.mixtures[number].coefficients.value[row]
    chosen = mixing.choices[row] if mixing.choices else range(count)
    return tf.add_n(
        [coefficients[i] * templates[t] for i, t in enumerate(chosen)]
    )


def single_tape_gradients(network, x, y, sample_weight=None, frozen=()):
    """Differentiates the loss of plain Keras models under one tape.

    Kernels in `frozen`, pairs `(member, layer)`, are constants.
    """
    plain = network.materialize()
    variables = [v.value for v in network.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        kernels = generated_by_gathering(network)
        for key in frozen:
            kernels[key] = tf.stop_gradient(kernels[key])
        total = 0.0
        for index, model in enumerate(plain):
            values = {}
            for layer in model.layers:
                if not layer.weights:
                    continue
                own = iter(network.members[index].get_layer(layer.name).weights)
                for variable in layer.weights:
                    kernel = kernels.get((index, layer.name))
                    is_kernel = variable is getattr(layer, "kernel", None)
                    values[id(variable)] = (
                        kernel
                        if is_kernel and kernel is not None
                        else next(own).value
                    )
            logits, _ = model.stateless_call(
                [values[id(v)] for v in model.trainable_variables],
                [values[id(v)] for v in model.non_trainable_variables],
                x,
                training=True,
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            if sample_weight is not None:
                losses = losses * sample_weight
            total += tf.reduce_mean(losses)
    # A bank whose readers are all frozen has no gradient.
    unconnected = "zero" if frozen else "none"
    gradients = tape.gradient(total, variables, None, unconnected)
    return float(total), [np.array(g) for g in gradients]


def step(network, x, y, sample_weight=None):
    """Returns the logs of a step of SGD(1.0), and each variable's decrease."""
    before = [np.array(v) for v in network.trainable_variables]
    logs = network.train_on_batch(x, y, sample_weight, return_dict=True)
    after = [np.array(v) for v in network.trainable_variables]
    return logs, [b - a for b, a in zip(before, after, strict=True)]
