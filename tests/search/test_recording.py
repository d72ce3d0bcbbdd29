"""Recorded gradients against gradients of plain Keras models."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.banks import KernelGenerator
from keras_superweights.parts import Flat
from keras_superweights.parts.bilinear import interpolate
from keras_superweights.search import GradientRecorder
from keras_superweights.search.similarity import unused_kernels
from keras_superweights.search.similarity import weight_similarity
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights

TIED = SuperWeights(depth_bins=1, tied=True)


def dense_net(width, unused=False):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, activation="tanh", name="one")(inputs)
    x = keras.layers.Dense(width, activation="tanh", name="two")(x)
    if unused:
        branch = keras.layers.Dense(width, name="unused")(x)
        x = keras.layers.Add()([x, keras.layers.Rescaling(0.0)(branch)])
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def conv_net(width):
    """Convolutions of nested and of partly overlapping boxes."""
    inputs = keras.Input((4, 4, 2))
    x = inputs
    for index, filters in enumerate((width, 2 * width, width)):
        x = keras.layers.Conv2D(
            filters, 3, padding="same", activation="tanh", name=f"conv{index}"
        )(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def batches(shape, count=3, size=8):
    draw = np.random.default_rng(0)
    return [
        (
            draw.normal(size=(size, *shape)).astype("float32"),
            draw.integers(0, 3, size),
        )
        for _ in range(count)
    ]


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network_of(members, sharing=TIED, optimizer=None, budget=1.5, **kwargs):
    network = ksw.SuperWeightNetwork(
        members, budget_params=budget, sharing=sharing, **kwargs
    )
    network.compile(
        optimizer or keras.optimizers.SGD(0.0),
        crossentropy(),
        jit_compile=False,
        run_eagerly=True,
    )
    return network


def record(network, data, **kwargs):
    recorder = GradientRecorder(network.generator, **kwargs)
    network.record_gradients(recorder)
    for x, y in data:
        network.train_on_batch(x, y)
    network.record_gradients(None)
    return recorder


def plain_gradients(network, data):
    """Sums over the batches, one a kernel, of plain Keras models."""
    models = network.materialize()
    sums = []
    for spec in network.allocation.kernels:
        model = models[spec.member]
        kernel = model.get_layer(spec.layer).kernel
        total = np.zeros(spec.shape)
        for x, y in data:
            with tf.GradientTape() as tape:
                loss = crossentropy()(y, model(x, training=True))
            total += tape.gradient(loss, kernel.value).numpy()
        sums.append(total)
    return sums


def cropped_products(gradients):
    """Inner products on the box that two kernels have in common."""
    products = np.zeros((len(gradients), len(gradients)))
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients):
            if one.shape[:-2] == other.shape[:-2]:
                h, w = np.minimum(one.shape[-2:], other.shape[-2:])
                products[i, j] = np.sum(one[..., :h, :w] * other[..., :h, :w])
    return products


def recorded_products(allocation, grams):
    """The same of what was recorded: sums over the pieces in common."""
    count = len(allocation.kernels)
    products = np.zeros((count, count))
    for superweight, boxes in zip(allocation.superweights, grams, strict=True):
        for row, i in enumerate(superweight.kernels):
            for column, j in enumerate(superweight.kernels):
                (a, b), (c, d) = (allocation.kernels[k].box for k in (i, j))
                gram = boxes.get((min(a, c), min(b, d)))
                if gram is not None:
                    products[i, j] += gram[row, column]
    return products


def assert_same_products(actual, expected, tolerance=1e-4):
    norms = np.sqrt(np.diag(expected))
    scale = np.maximum(np.outer(norms, norms), 1e-12)
    np.testing.assert_allclose(actual / scale, expected / scale, atol=tolerance)


CASES = {
    "dense": ([dense_net, dense_net], (4, 6), (5,), {}),
    "convolutions": ([conv_net, conv_net], (2, 3), (4, 4, 2), {}),
    "one network": ([conv_net], (3,), (4, 4, 2), {}),
    "decay": ([dense_net] * 2, (4, 4), (5,), {"weight_decay": 3.0}),
    "own coefficients": (
        [dense_net] * 2,
        (3, 5),
        (5,),
        {"sharing": SuperWeights(depth_bins=2)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_sums_are_those_of_plain_models(name):
    builders, widths, shape, kwargs = CASES[name]
    members = [b(w) for b, w in zip(builders, widths, strict=True)]
    network = network_of(members, **kwargs)
    data = batches(shape)
    gradients = plain_gradients(network, data)
    allocation = network.allocation
    grams = record(network, data).grams()
    same_window = recorded_products(allocation, grams) != 0
    expected = np.where(same_window, cropped_products(gradients), 0.0)
    assert same_window.diagonal().all()
    assert_same_products(recorded_products(allocation, grams), expected)
    for cluster in allocation.clusters:
        part = expected[np.ix_(cluster, cluster)]
        similarity = weight_similarity(allocation, cluster, grams)
        for i in range(len(cluster)):
            for j in range(i):
                one, other = (gradients[cluster[k]] for k in (i, j))
                h, w = np.minimum(one.shape[-2:], other.shape[-2:])
                norms = [np.linalg.norm(g[..., :h, :w]) for g in (one, other)]
                cosine = part[i, j] / np.prod(norms)
                np.testing.assert_allclose(similarity[i, j], cosine, atol=1e-4)


def test_two_replicas_find_what_one_finds():
    program = pathlib.Path(__file__).with_name("two_replicas.py")
    root = pathlib.Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, str(program)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    result = json.loads(run.stdout.strip().splitlines()[-1])
    assert result["replicas"] == 2
    # One a replica, or every step would communicate.
    assert (result["copies False"], result["copies True"]) == (1, 2)
    for what in ("grams", "similarities", "coefficients", "search"):
        assert result[what] < 1e-4, what
    assert result["ties"][0] == result["ties"][1]
    assert any(set(ties) != {0} for ties in result["ties"][0])
    assert result["clusters"][0] == result["clusters"][1]
    np.testing.assert_allclose(
        result["weights True"], result["weights False"], rtol=1e-4
    )


def test_coefficient_gradients_of_tied_kernels_are_those_of_an_untied_copy():
    data = batches((4, 4, 2))
    tied = network_of([conv_net(2), conv_net(3)])
    own = tied.allocation.with_ties(
        tuple(range(len(p.ties))) for p in tied.allocation.superweights
    )
    untied = ksw.SuperWeightNetwork([conv_net(2), conv_net(3)], allocation=own)
    untied.set_weights(tied.get_weights())
    # A superweight of one kernel alone has no coefficients.
    mixtures = [m for m in untied.generator.mixtures if m is not None]
    for mixture in mixtures:
        rows = mixture.coefficients.shape[0]
        first = mixture.coefficients[:1]
        mixture.coefficients.assign(np.repeat(first, rows, axis=0))
        mixture.ties.assign(range(rows))
    np.testing.assert_allclose(untied(data[0][0]), tied(data[0][0]), atol=1e-6)
    # One tape through everything, instead of the two stages of a step.
    expected = [0.0] * len(mixtures)
    variables = [mixture.coefficients.value for mixture in mixtures]
    for x, y in data:
        with tf.GradientTape() as tape:
            outputs = untied.member_outputs(x, training=True)
            loss = sum(crossentropy()(y, output) for output in outputs)
        for i, gradient in enumerate(tape.gradient(loss, variables)):
            expected[i] += gradient.numpy()
    recorded = [
        gradients
        for superweight, gradients in zip(
            own.superweights,
            record(tied, data).coefficient_gradients(),
            strict=True,
        )
        if superweight.ties
    ]
    assert max(p.num_templates for p in own.superweights) > 1
    for one, other in zip(recorded, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_kernels_that_mix_few_templates_have_no_gradient_at_others():
    sharing = MixtureEnsembles(max_templates=2)
    members = [dense_net(6), dense_net(6), dense_net(6, unused=True)]
    network = ksw.SuperWeightNetwork(members, 2000, sharing)
    network.compile("sgd", crossentropy(), run_eagerly=True)
    recorded = record(network, batches((5,)), weights=False)
    zeros = 0
    for superweight, gradients in zip(
        network.allocation.superweights,
        recorded.coefficient_gradients(),
        strict=True,
    ):
        choices = getattr(superweight.mixing, "choices", ())
        for gradient, mixed in zip(gradients, choices, strict=False):
            others = np.delete(gradient, mixed)
            np.testing.assert_array_equal(others, np.zeros(len(others)))
            zeros += len(others)
    assert zeros


def test_kernels_that_use_one_piece_as_it_is_have_one_gradient():
    members = [dense_net(4), dense_net(4), dense_net(4, unused=True)]
    head = 3 * (4 * 3 + 3) + 7 * 4
    # A template for the shape of each layer, and nothing to mix.
    network = network_of(members, MixtureEnsembles(), budget=head + 20 + 16)
    allocation = network.allocation
    assert [p.ties for p in allocation.superweights] == [(), ()]
    data = batches((5,))
    gradients = plain_gradients(network, data)
    recorder = record(network, data)
    for superweight, boxes in zip(
        allocation.superweights, recorder.grams(), strict=True
    ):
        total = sum(gradients[kernel] for kernel in superweight.kernels)
        ((gram,),) = boxes.values()
        np.testing.assert_allclose(gram, np.sum(total**2), rtol=1e-3)
    # One that is not used cannot be told from the others of its superweight.
    assert unused_kernels(allocation, recorder.grams()) == ()
    silent = GradientRecorder(network.generator)
    everything = tuple(range(len(allocation.kernels)))
    assert unused_kernels(allocation, silent.grams()) == everything
    similarity = weight_similarity(allocation, everything, recorder.grams())
    np.testing.assert_array_equal(similarity, np.eye(len(everything)))


@pytest.mark.parametrize("sketch_size", [None, 11])
def test_flat_pieces_are_compared_whole(sketch_size):
    """All layers read one store, each in its own shape."""
    members = [dense_net(6), dense_net(6)]
    sharing = MixtureEnsembles()
    network = network_of(members, sharing, budget=2 * (6 * 3 + 3 + 12) + 50)
    allocation = network.allocation
    assert len(allocation.banks) == 1
    assert {type(each.geometry) for each in allocation.superweights} == {Flat}
    data = batches((5,))
    gradients = plain_gradients(network, data)
    grams = record(network, data, sketch_size=sketch_size).grams()
    for superweight in allocation.superweights:
        similarity = weight_similarity(allocation, superweight.kernels, grams)
        flat = np.array([gradients[k].ravel() for k in superweight.kernels])
        norms = np.linalg.norm(flat, axis=1)
        exact = flat @ flat.T / np.outer(norms, norms)
        # Three standard deviations of a sketch of 11.
        tolerance = 3 * (2 / 11) ** 0.5 if sketch_size else 1e-4
        np.testing.assert_allclose(similarity, exact, atol=tolerance)
        assert len(superweight.kernels) > 1 and np.abs(similarity).max() <= 1


@pytest.mark.parametrize("sketch_size", [None, 11])
def test_interpolated_kernels_are_recorded_as_their_templates(sketch_size):
    members = [dense_net(6), dense_net(6)]
    sharing = Shapeshifter("avg", upsampling="bilinear")
    network = network_of(members, sharing, budget=80)
    allocation = network.allocation
    assert any(allocation.transforms)
    data = batches((5,))
    gradients = plain_gradients(network, data)
    grams = record(network, data, sketch_size=sketch_size).grams()
    for superweight, boxes in zip(allocation.superweights, grams, strict=True):
        (gram,) = boxes.values()
        basis = np.eye(superweight.size, dtype="float32")
        flat = np.array(
            [
                np.array(interpolate(basis, gradients[k].shape))
                @ gradients[k].ravel()
                if allocation.transforms_of[k]
                else gradients[k].ravel()
                for k in superweight.kernels
            ]
        )
        norms = np.linalg.norm(flat, axis=1)
        error = np.abs(gram - flat @ flat.T) / np.outer(norms, norms)
        assert error.max() < (3 * (2 / 11) ** 0.5 if sketch_size else 1e-4)


def test_an_unused_layer_is_reported():
    network = network_of([dense_net(4), dense_net(4, unused=True)])
    names = [(k.member, k.layer) for k in network.allocation.kernels]
    grams = record(network, batches((5,))).grams()
    unused = unused_kernels(network.allocation, grams)
    assert [names[k] for k in unused] == [(1, "unused")]
    similarity = weight_similarity(network.allocation, range(5), grams)
    assert np.isfinite(similarity).all()
    place = names.index((1, "unused"))
    np.testing.assert_array_equal(similarity[place], np.eye(5)[place])


def test_loss_scaling_is_divided_out():
    data = batches((5,))
    members = [dense_net(4), dense_net(6)]
    plain = network_of(members)
    scaled = network_of(
        members,
        optimizer=keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.0), initial_scale=4096.0
        ),
    )
    scaled.set_weights(plain.get_weights())
    one, other = record(plain, data), record(scaled, data)
    for a, b in zip(one.grams(), other.grams(), strict=True):
        for box in a:
            np.testing.assert_allclose(a[box], b[box], rtol=1e-4, atol=1e-9)


def test_half_precision_finds_the_similarities_of_single_precision():
    data = batches((5,))
    single = network_of([dense_net(4), dense_net(6)])
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = network_of([dense_net(4), dense_net(6)])
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(single.get_weights())
    assert half.members[0].get_layer("two").compute_dtype == "float16"
    expected = cropped_products(plain_gradients(single, data))
    products = recorded_products(half.allocation, record(half, data).grams())
    assert_same_products(products, expected, tolerance=0.02)


def test_a_step_that_overflows_is_left_out():
    """As a loss-scaling optimizer does not apply it."""
    network = network_of([dense_net(4), dense_net(6)])
    recorder = record(network, batches((5,)))
    before = recorder.grams(), recorder.coefficient_gradients()
    for value in (np.inf, -np.inf, np.nan):
        gradients = [
            np.ones((len(p.kernels), p.size), "float32")
            for p in network.allocation.superweights
        ]
        gradients[-1][0, -1] = value
        recorder.update(
            list(map(tf.constant, gradients)), loss_scale=tf.constant(2.0)
        )
    after = recorder.grams(), recorder.coefficient_gradients()
    for one, other in zip(before[0], after[0], strict=True):
        for box in one:
            np.testing.assert_array_equal(one[box], other[box])
    for one, other in zip(before[1], after[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_recording_costs_nothing_when_it_is_off():
    network = network_of([dense_net(4), dense_net(6)])
    (batch,) = batches((5,), count=1)
    network.train_on_batch(*batch)  # builds the optimizer

    def operations():
        step = tf.function(lambda x, y: network.train_step((x, y)))
        graph = step.get_concrete_function(*map(tf.constant, batch)).graph
        return sorted(operation.type for operation in graph.get_operations())

    never = operations()
    network.record_gradients(GradientRecorder(network.generator))
    assert len(operations()) > len(never)
    network.record_gradients(None)
    assert operations() == never


def test_recording_starts_and_stops_within_one_training():
    """The compiled step is made anew, or it would go on as it was."""
    data = batches((5,), count=2)
    network = network_of([dense_net(4), dense_net(6)])
    network.compile("sgd", crossentropy(), jit_compile=False)
    network.optimizer.learning_rate = 0.0
    recorder = GradientRecorder(network.generator)
    seen = []

    class OnlySecondEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.record_gradients(recorder if epoch == 1 else None)

        def on_epoch_end(self, epoch, logs=None):
            products = recorded_products(network.allocation, recorder.grams())
            seen.append(products)

    network.fit(
        tf.data.Dataset.from_tensor_slices(
            tuple(map(np.stack, zip(*data, strict=True)))
        ),
        epochs=3,
        shuffle=False,
        callbacks=[OnlySecondEpoch()],
        verbose=0,
    )
    assert not seen[0].any()
    assert_same_products(
        seen[1], cropped_products(plain_gradients(network, data))
    )
    np.testing.assert_array_equal(seen[1], seen[2])


# Sketches


def generator_of(*shapes):
    kernels = tuple(
        KernelSpec(0, f"layer{i}", shape) for i, shape in enumerate(shapes)
    )
    member = MemberSpec("net", kernels, other_params=0)
    budget = 2 * sum(kernel.size for kernel in kernels)
    return KernelGenerator(TIED.allocate([member], budget))


def vectors_of(allocation, gradients):
    """`dS` of each superweight, of gradients in the kernels' own shapes."""
    rows = []
    for superweight in allocation.superweights:
        of_superweight = []
        for kernel in superweight.kernels:
            whole = np.zeros((*superweight.geometry.window, 64, 64))
            inputs, outputs = allocation.kernels[kernel].box
            whole[..., :inputs, :outputs] = gradients[kernel]
            of_superweight.append(
                np.concatenate(
                    [
                        whole[..., a:b, c:d].reshape(-1)
                        for a, b, c, d in superweight.geometry.rectangles
                    ]
                )
            )
        rows.append(tf.constant(np.array(of_superweight), "float32"))
    return rows


def spread(draw, shape):
    return draw.normal(size=shape)


def concentrated(draw, shape):
    """Four scalars, of which one is most of the gradient."""
    gradient = np.zeros(shape)
    places = np.random.default_rng(7).choice(gradient.size, 4, replace=False)
    gradient.flat[places] = draw.normal(size=4) * (10, 1, 1, 1)
    return gradient


def one_sided(draw, shape):
    """Without random signs, products of such would only grow."""
    return draw.uniform(1, 2, shape)


@pytest.mark.parametrize("kind", [spread, concentrated, one_sided])
def test_sketches_are_unbiased_and_within_their_bound(kind):
    draw = np.random.default_rng(0)
    shapes = [(9, 30), (9, 30), (12, 30), (12, 20)]  # nested and overlapping
    generator = generator_of(*shapes)
    allocation = generator.allocation
    base = kind(draw, (12, 30))
    gradients = [
        (base + 0.7 * kind(draw, (12, 30)))[: s[0], : s[1]] for s in shapes
    ]
    pieces = vectors_of(allocation, gradients)
    size = 17
    seeds = 150
    products, cosines = [], []
    for seed in range(seeds):
        recorder = GradientRecorder(generator, sketch_size=size, seed=seed)
        recorder.update(pieces)
        grams = recorder.grams()
        products.append(recorded_products(allocation, grams))
        cosines.append(weight_similarity(allocation, range(4), grams))
    whole = GradientRecorder(generator)
    whole.update(pieces)
    exact = cropped_products(gradients)
    np.testing.assert_allclose(
        recorded_products(allocation, whole.grams()), exact, rtol=1e-4
    )
    # Products of norms on the common box, which the bound is relative to.
    cosine = weight_similarity(allocation, range(4), whole.grams())
    norms = exact / cosine
    errors = (np.array(products) - exact) / norms
    bound = np.sqrt(2 / size)
    wrong = np.array(cosines) - cosine
    # Means over the seeds stray from what they estimate by a standard error.
    for squares in (errors**2, wrong**2):
        strays = 3 * squares.std(axis=0) / np.sqrt(seeds)
        assert (squares.mean(axis=0) <= bound**2 + strays).all()
    assert (np.abs(errors.mean(axis=0)) <= 5 * bound / np.sqrt(seeds)).all()
    assert np.abs(wrong).max() > 0


def test_a_sketch_of_a_sum_is_the_sum_of_sketches():
    draw = np.random.default_rng(1)
    generator = generator_of((6, 8), (6, 8), (8, 9))
    allocation = generator.allocation
    one, other = (
        [draw.normal(size=k.shape) for k in allocation.kernels]
        for _ in range(2)
    )
    steps = GradientRecorder(generator, sketch_size=7)
    steps.update(vectors_of(allocation, one))
    steps.update(vectors_of(allocation, other))
    once = GradientRecorder(generator, sketch_size=7)
    total = [a + b for a, b in zip(one, other, strict=True)]
    once.update(vectors_of(allocation, total))
    for a, b in zip(steps.grams(), once.grams(), strict=True):
        for box in a:
            np.testing.assert_allclose(a[box], b[box], rtol=1e-4, atol=1e-4)


def scalars_held(recorder):
    """Of all variables, found without knowing where the recorder has them."""
    found, seen = 0, [recorder._whole, recorder._sketched]
    for held in seen:
        if isinstance(held, keras.Variable):
            found += int(np.prod(held.shape))
        elif isinstance(held, dict):
            seen.extend(held.values())
        elif isinstance(held, (list, tuple)):
            seen.extend(held)
    return found


def test_a_sketch_takes_less_memory():
    generator = generator_of((20, 30), (20, 30), (20, 10))
    allocation = generator.allocation
    full = scalars_held(GradientRecorder(generator))
    assert full == sum(len(p.kernels) * p.size for p in allocation.superweights)
    # Pieces (20, 10) of three kernels and (20, 20) of two: both boxes cut
    # them alike.
    sketched = scalars_held(GradientRecorder(generator, sketch_size=32))
    assert sketched == 5 * 31 < full / 8  # 31 is prime
    assert scalars_held(GradientRecorder(generator, weights=False)) == 0


def test_pieces_smaller_than_the_sketch_are_kept_whole():
    draw = np.random.default_rng(2)
    generator = generator_of((4, 4), (4, 4), (12, 12))
    allocation = generator.allocation
    gradients = [draw.normal(size=k.shape) for k in allocation.kernels]
    recorder = GradientRecorder(generator, sketch_size=16)
    recorder.update(vectors_of(allocation, gradients))
    products = recorded_products(allocation, recorder.grams())
    exact = cropped_products(gradients)
    others = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(products[others], exact[others], rtol=1e-4)


@pytest.mark.parametrize("size", [0, -1, 1, 24, 100, 3.5, float("nan")])
def test_a_sketch_that_saves_nothing_is_refused(size):
    generator = generator_of((4, 6), (4, 6), (2, 2))
    with pytest.raises(ValueError, match="`sketch_size`.* 20 scalars.*Rece"):
        GradientRecorder(generator, sketch_size=size)
