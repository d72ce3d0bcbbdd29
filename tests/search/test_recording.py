"""Recorded gradients against gradients of plain Keras models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.parts import Flat
from keras_superweights.parts.bilinear import interpolate
from keras_superweights.search import GradientRecorder
from keras_superweights.search.similarity import unused_kernels
from keras_superweights.search.similarity import weight_similarity
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests.search.networks import assert_same_products
from tests.search.networks import batches
from tests.search.networks import conv_net
from tests.search.networks import cropped_products
from tests.search.networks import crossentropy
from tests.search.networks import dense_net
from tests.search.networks import network_of
from tests.search.networks import plain_gradients
from tests.search.networks import record
from tests.search.networks import recorded_products

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


def test_kernels_that_use_one_superweight_as_it_is_have_one_gradient():
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
@pytest.mark.parametrize(
    ("sharing", "budget"),
    [
        # All layers read one store, each in its own shape.
        (MixtureEnsembles(), 2 * (6 * 3 + 3 + 12) + 50),
        (Shapeshifter("avg", upsampling="bilinear"), 80),
    ],
    ids=["flat", "interpolated"],
)
def test_flat_vectors_are_compared_whole(sharing, budget, sketch_size):
    """Interpolated kernels by the gradients of their templates."""
    network = network_of([dense_net(6), dense_net(6)], sharing, budget=budget)
    allocation = network.allocation
    assert len(allocation.banks) == 1
    assert {type(each.geometry) for each in allocation.superweights} == {Flat}
    data = batches((5,))
    gradients = plain_gradients(network, data)
    grams = record(network, data, sketch_size=sketch_size).grams()
    # Three standard deviations of a sketch of 11.
    tolerance = 3 * (2 / 11) ** 0.5 if sketch_size else 1e-4
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
        exact = flat @ flat.T / np.outer(norms, norms)
        error = gram / np.outer(norms, norms) - exact
        assert len(flat) > 1 and np.abs(error).max() < tolerance
        similarity = weight_similarity(allocation, superweight.kernels, grams)
        assert np.abs(similarity).max() <= 1
        np.testing.assert_allclose(similarity, exact, atol=tolerance)


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
