"""Gradients of a network as one tape gives them, without the library."""

import math

import numpy as np
import tensorflow as tf


def generated_by_gathering(network):
    """Every generated kernel as plain TensorFlow, without the library's code.

    Paints which scalar of which SuperWeight lies where, then gathers.
    """
    allocation = network.allocation
    kernels = {}
    for index, spec in enumerate(allocation.kernels):
        vectors = []
        places = np.full(spec.shape, -1)
        begin = 0
        for number, piece in enumerate(allocation.superweights):
            if index not in piece.kernels:
                continue
            store = network.generator.banks[piece.bank].store.value
            row = piece.kernels.index(index)
            size = piece.size
            stored = store.shape[0] // size
            templates = [
                store[t * size : (t + 1) * size]
                for t in (piece.first + np.arange(piece.num_templates)) % stored
            ]
            if piece.mixing == "avg":
                served = [
                    allocation.kernels[k].variance
                    for reader in allocation.readers[piece.bank]
                    for k in reader.kernels
                ]
                scale = math.sqrt(spec.variance / np.mean(served))
                scale /= math.sqrt(piece.num_templates)
                vectors.append(scale * tf.add_n(templates))
            elif piece.ties:
                used = piece.ties[row]
                mixture = network.generator.mixtures[number].coefficients.value
                chosen = (
                    piece.choices[used]
                    if piece.choices
                    else range(piece.num_templates)
                )
                vectors.append(
                    tf.add_n(
                        [
                            mixture[used, i] * templates[t]
                            for i, t in enumerate(chosen)
                        ]
                    )
                )
            else:
                vectors.append(templates[0])
            if piece.length:  # of any shape: the scalars, one after the other
                places = np.arange(size).reshape(spec.shape)
            for a, b, c, d in piece.region:
                block = np.arange(begin, begin + size)
                length = math.prod(piece.window) * (b - a) * (d - c)
                block = block[:length].reshape(*piece.window, b - a, d - c)
                begin += length
                inputs, outputs = spec.shape[-2:]
                inside = block[..., : max(inputs - a, 0), : max(outputs - c, 0)]
                places[..., a:b, c:d][
                    ..., : inside.shape[-2], : inside.shape[-1]
                ] = inside
        if vectors:
            assert (places >= 0).all()
            kernels[spec.member, spec.layer] = tf.gather(
                tf.concat(vectors, axis=0), places
            )
    return kernels


def single_tape_gradients(network, x, y, sample_weight=None, frozen=()):
    """Loss and gradients as one tape over plain Keras models gives them.

    Kernels in `frozen`, `(member, layer)`, are constants.
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
    # Of a bank whose readers are all frozen there is none.
    unconnected = "zero" if frozen else "none"
    gradients = tape.gradient(total, variables, None, unconnected)
    return float(total), [np.array(g) for g in gradients]


def step(network, x, y, sample_weight=None):
    """What one step of SGD of rate 1 takes off every variable, and its logs."""
    before = [np.array(v) for v in network.trainable_variables]
    logs = network.train_on_batch(x, y, sample_weight, return_dict=True)
    after = [np.array(v) for v in network.trainable_variables]
    return logs, [b - a for b, a in zip(before, after, strict=True)]
