"""The method on one page (SWN): two networks share kernels inside one budget,
in plain Keras, TensorFlow and NumPy. At the end the library does the same."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
batches = tf.data.Dataset.from_tensor_slices((x / 16, y)).batch(64)
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
members, kernels, heads = [], [], []
for widths in [(16, 16, 16), (16, 32, 32, 32)]:
    layers = [keras.layers.Dense(w, "relu", use_bias=False) for w in widths]
    head = keras.layers.Dense(10)
    members.append(keras.Sequential([keras.Input((64,)), *layers, head]))
    kernels += [layer.kernel for layer in layers]
    heads += head.weights

# 1. Nested boxes: each adds a SuperWeight for what smaller ones do not cover.
boxes = [tuple(kernel.shape) for kernel in kernels]
owner = np.full(np.max(boxes, axis=0), -1)
for a, b in sorted(boxes, key=lambda box: (np.prod(box), box)):
    owner[:a, :b][owner[:a, :b] < 0] = owner.max() + 1

# 2. Its bank has half as many templates T as users, who mix them: S = C @ T.
places, users, T, C = [], [], [], []
for s in range(owner.max() + 1):
    places.append(np.argwhere(owner == s))
    users.append([k for k, (a, b) in enumerate(boxes) if s in owner[:a, :b]])
    half = (len(users[s]) + 1) // 2
    T.append(tf.Variable(tf.random.normal((half, len(places[s]))) / 4))
    C.append(tf.Variable(tf.random.normal((len(users[s]), half)) / half**0.5))
start = [w.numpy() for w in T + C + heads]

# 3. One tape from banks to kernels W, one from kernels to loss: dW for free.
sums = [0.0] * len(kernels)
for images, labels in batches:  # one epoch
    with tf.GradientTape() as generation_tape:
        W = [tf.zeros(owner.shape)] * len(kernels)
        for s, place in enumerate(places):  # one matrix product per bank
            for k, vector in zip(users[s], tf.unstack(C[s] @ T[s])):
                W[k] += tf.scatter_nd(place, vector, owner.shape)
        W = [w[:a, :b] for w, (a, b) in zip(W, boxes)]
    with tf.GradientTape() as loss_tape, keras.StatelessScope(zip(kernels, W)):
        loss_tape.watch(W)
        loss = sum(cross_entropy(labels, member(images)) for member in members)
    dW, d_heads = loss_tape.gradient(loss, (W, heads))
    d_banks = generation_tape.gradient(W, T + C, output_gradients=dW)
    for w, dw in zip(T + C + heads, d_banks + d_heads):
        w.assign_sub(0.1 * dw)
    sums = [total + dw for total, dw in zip(sums, dW)]

# 4. Kernels whose summed gradients point the same way share; others part.
psi, leader = np.eye(len(kernels)), np.arange(len(kernels))
for i, j in np.ndindex(psi.shape):
    a, b = np.minimum(boxes[i], boxes[j])  # the box that both cover
    di, dj = (np.ravel(sums[k][:a, :b]) for k in (i, j))
    psi[i, j] = di @ dj / np.linalg.norm(di) / np.linalg.norm(dj)
    if psi[i, j] > 0.1:  # tau; the union-find of Algorithm 1
        leader[leader == leader[j]] = leader[i]
groups = sorted(tuple(np.flatnonzero(leader == g)) for g in set(leader))

import keras_superweights as ksw  # from the same start, on the same batches

rule = ksw.sharing.SuperWeights(depth_bins=1)
net = ksw.SuperWeightNetwork(members, sum(map(np.size, start)), rule)
for w, value in zip(net.trainable_variables, start):
    w.assign(np.reshape(value, w.shape))
net.record_gradients(recorder := ksw.search.GradientRecorder(net.generator))
net.compile(keras.optimizers.SGD(0.1), cross_entropy)
net.fit(batches, shuffle=False, verbose=0)
psi_of = ksw.search.similarity.weight_similarity
theirs = psi_of(net.allocation, range(len(psi)), recorder.grams())
for s, region in enumerate(ksw.allocation.regions.nested_regions(boxes)):
    assert all((owner[a:b, c:d] == s).all() for a, b, c, d in region)
np.testing.assert_allclose(psi, theirs, atol=1e-4)
assert groups == ksw.search.grouping.group_above(theirs, 0.1)
print("regions, psi_W and groups agree:", psi.round(2), leader, sep="\n")
