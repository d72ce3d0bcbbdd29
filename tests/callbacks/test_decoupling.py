"""Decoupling in training: what stays the same, what parts, and when."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.allocation import Allocation
from keras_superweights.callbacks import CoefficientDecoupling
from keras_superweights.callbacks.decoupling import decoupled_ties
from keras_superweights.search import GradientRecorder
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights
from tests.builders import Interrupt
from tests.builders import Interrupted
from tests.callbacks.networks import X
from tests.callbacks.networks import Y
from tests.callbacks.networks import compiled
from tests.callbacks.networks import member

pytestmark = pytest.mark.usefixtures("eager")

DATA = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def network_of(optimizer=None, sharing=None, members=None, budget_params=1.2):
    network = ksw.SuperWeightNetwork(
        members or [member(4), member(6), member(4)],
        budget_params=budget_params,
        sharing=sharing or SuperWeights(depth_bins=2, tied=True),
    )
    return compiled(network, optimizer)


def fit(network, epochs, *callbacks, **kwargs):
    kwargs |= {"shuffle": False, "verbose": 0}
    network.fit(DATA, epochs=epochs, callbacks=callbacks, **kwargs)
    return network


def ties_of(network):
    return [superweight.ties for superweight in network.allocation.superweights]


class Around(keras.callbacks.Callback):
    """Notes outputs, ties and optimizer; one goes before, one after."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            network = self.model
            self.outputs = network.predict(X, verbose=0)
            self.kernels = kernels_of(network)
            self.ties = ties_of(network)
            self.trained = [v.numpy() for v in network.trainable_variables]
            self.slots = [v.numpy() for v in network.optimizer.variables]


def kernels_of(network):
    return [
        model.get_layer(spec.layer).kernel.numpy()
        for spec in network.allocation.kernels
        if (model := network.members[spec.member])
    ]


def assert_alike(arrays, others, atol=1e-6):
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


OPTIMIZERS = {
    "SGD": (lambda: None, 1),  # the default, with momentum
    "Adam": (lambda: keras.optimizers.Adam(0.02), 2),
    "loss scaling": (
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(0.02), initial_scale=64.0
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_outputs_stay_and_the_next_step_goes_on_from_there(name):
    make, slots_each = OPTIMIZERS[name]
    network = network_of(make())
    before, after = Around(1), Around(1)
    callback = CoefficientDecoupling(beta=0.99, epoch=2)
    fit(network, 2, before, callback, after)
    assert before.ties == [(0,) * len(ties) for ties in before.ties]
    assert any(len(set(t)) > 1 for t in after.ties)
    np.testing.assert_allclose(after.outputs, before.outputs, atol=1e-6)
    assert_alike(after.kernels, before.kernels, atol=1e-7)

    # The row that a kernel uses now is, with its slots, a copy of its last.
    rows = {}
    for mixture, *ties in zip(
        network.generator.mixtures, before.ties, after.ties, strict=True
    ):
        if mixture is not None:  # not a superweight of one kernel alone
            assert tuple(mixture.ties.numpy()) == ties[1]
            rows[id(mixture.coefficients)] = [list(each) for each in ties]
    num_slots = slots_each * len(before.trained)
    states = [
        (each.trained, each.slots[-num_slots:]) for each in (before, after)
    ]
    for index, variable in enumerate(network.trainable_variables):
        used = rows.get(id(variable), [slice(None)] * 2)
        old, new = (
            [trained[index][own]]
            + [slots[slots_each * index + s][own] for s in range(slots_each)]
            for (trained, slots), own in zip(states, used, strict=True)
        )
        assert_alike(old, new, atol=0)
        assert all(values.any() for values in new)
    assert_alike(before.slots[:-num_slots], after.slots[:-num_slots], atol=0)
    network.train_on_batch(X, Y)
    moved = zip(kernels_of(network), before.kernels, strict=True)
    assert max(np.abs(one - old).max() for one, old in moved) > 1e-3


def test_groups_follow_the_gradients_of_the_last_epoch():
    """At rate 0, another network can be asked for the same gradients."""
    network = network_of(keras.optimizers.SGD(0.0))
    twin = network_of(keras.optimizers.SGD(0.0))
    twin.set_weights(network.get_weights())
    recorder = GradientRecorder(twin.generator, weights=False)
    twin.record_gradients(recorder)
    fit(twin, 1)
    gradients = recorder.coefficient_gradients()
    fit(network, 4, CoefficientDecoupling(beta=0.4, epoch=3))
    expected = decoupled_ties(twin.allocation, gradients, 0.4)
    assert ties_of(network) == expected
    assert len(set(map(len, map(set, expected)))) > 1


def test_the_limits_of_beta_and_the_budget():
    together = fit(network_of(), 1, CoefficientDecoupling(beta=-1, epoch=1))
    assert all(set(ties) <= {0} for ties in ties_of(together))
    network = network_of()
    before = network.count_params()
    apart = fit(network, 1, CoefficientDecoupling(beta=1, epoch=1))
    assert ties_of(apart) == [tuple(range(len(t))) for t in ties_of(apart)]
    allocation = network.allocation
    scalars = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert scalars == allocation.num_params <= allocation.budget_params
    assert network.count_params() == before


def test_own_coefficients_are_tied_when_training_begins():
    network = network_of(sharing=SuperWeights(depth_bins=2))
    assert any(len(set(ties)) > 1 for ties in ties_of(network))
    fit(network, 2, CoefficientDecoupling(beta=0.9, epoch=3))
    assert all(set(ties) <= {0} for ties in ties_of(network))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epoch": 2}, [1]),
        ({"epoch": 1, "every": 2}, [0, 2, 4]),
        ({"epoch": 3, "every": 1}, [2, 3, 4]),
        ({"epoch": 6}, []),
    ],
    ids=str,
)
def test_it_repeats(settings, expected, monkeypatch):
    network = network_of()
    recording = []
    epochs_done = []

    class Note(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            recording.append(self.model._recorder is not None)

    def set_ties(ties):
        epochs_done.append(len(recording))

    monkeypatch.setattr(network, "set_ties", set_ties)
    fit(network, 5, CoefficientDecoupling(beta=0.5, **settings), Note())
    # Tied when training begins, and decoupled after the epochs expected.
    assert epochs_done == [0, *(epoch + 1 for epoch in expected)]
    assert recording == [epoch in expected for epoch in range(5)]


def test_ties_are_saved_in_the_allocation(tmp_path):
    network = fit(network_of(), 2, CoefficientDecoupling(beta=0.8, epoch=1))
    ties = ties_of(network)
    assert any(len(set(t)) > 1 for t in ties)
    text = network.allocation.to_json()
    restored = Allocation.from_json(text)
    assert [each.ties for each in restored.superweights] == ties
    path = tmp_path / "model.keras"
    network.save(path)
    loaded = keras.saving.load_model(path)
    assert ties_of(loaded) == ties
    outputs = [each.predict(X, verbose=0) for each in (loaded, network)]
    np.testing.assert_allclose(*outputs, atol=1e-6)
    for each in (network, loaded):
        each.train_on_batch(X, Y)
    assert_alike(kernels_of(network), kernels_of(loaded))


def test_a_training_resumed_from_a_backup_ends_the_same(tmp_path):
    def trained(*callbacks):
        keras.utils.set_random_seed(4)
        network = network_of()
        decoupling = CoefficientDecoupling(beta=0.3, epoch=2, every=2)
        return fit(network, 4, decoupling, *callbacks)

    whole = trained()
    for epoch in (1, 3):  # before and after the first decoupling
        directory = tmp_path / str(epoch)
        with pytest.raises(Interrupted):
            backup = keras.callbacks.BackupAndRestore(directory)
            trained(backup, Interrupt(epoch))
        resumed = trained(keras.callbacks.BackupAndRestore(directory))
        assert ties_of(resumed) == ties_of(whole)
        assert_alike(kernels_of(resumed), kernels_of(whole))


def test_an_interrupted_training_leaves_nothing_to_the_next():
    network = network_of()
    callback = CoefficientDecoupling(beta=1, epoch=2)
    with pytest.raises(Interrupted):
        fit(network, 3, callback, Interrupt(1))
    fit(network, 1, callback)
    assert all(set(ties) <= {0} for ties in ties_of(network))
    fit(network, 2, callback)
    assert any(len(set(ties)) > 1 for ties in ties_of(network))


@pytest.mark.parametrize("max_templates", [2, 5])
def test_mixture_ensembles_decouple_too(max_templates):
    """Kernels alone, plain kernels of all, and templates dealt in turns."""
    network = network_of(
        sharing=MixtureEnsembles(max_templates=max_templates),
        members=[member(6, depth=4) for _ in range(3)],
        budget_params=0.9,
    )
    superweights = network.allocation.superweights
    choices = [getattr(each.mixing, "choices", ()) for each in superweights]
    assert any(each.ties == () for each in superweights)
    assert any(choices)
    before, after = Around(0), Around(0)
    fit(network, 1, before, CoefficientDecoupling(0.9, epoch=1), after)
    assert any(
        len(set(parted)) > len(set(tied))
        for tied, parted in zip(before.ties, after.ties, strict=True)
    )
    np.testing.assert_allclose(after.outputs, before.outputs, atol=1e-6)
    for chosen, ties in zip(choices, before.ties, strict=True):
        for one, other in itertools.combinations(range(len(ties)), 2):
            alike = not chosen or (chosen[one] == chosen[other])
            assert (ties[one] == ties[other]) == alike


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 1.1}, "`beta`.*-1 to 1.*beta=1.1"),
        ({"beta": -2}, "`beta`"),
        ({"beta": float("nan")}, "`beta`"),
        ({"epoch": 0}, "`epoch` must be a positive integer"),
        ({"epoch": 2.0}, "`epoch` must be a positive integer"),
        ({"every": 0}, "`every` must be a positive integer"),
        ({"every": -1}, "`every` must be a positive integer"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        CoefficientDecoupling(**settings)


NOTHING_TO_DECOUPLE = {
    "nothing shared": (ksw.sharing.Independent(), 1.0),
    "nothing mixed": (MixtureEnsembles(), 3 * 27 + 20 + 16),
    "other templates each": (MixtureEnsembles(2, disjoint=True), 1.0),
}


@pytest.mark.parametrize("name", NOTHING_TO_DECOUPLE)
def test_nothing_to_decouple_is_a_warning(name):
    sharing, budget = NOTHING_TO_DECOUPLE[name]
    members = [member(4)] * 3

    def trained(*callbacks):
        keras.utils.set_random_seed(5)
        network = network_of(None, sharing, members, budget)
        assert bool(network.allocation.num_coefficients) == ("each" in name)
        return fit(network, 1, *callbacks)

    alone = trained()
    with pytest.warns(UserWarning, match="nothing to decouple.*Received: "):
        network = trained(CoefficientDecoupling(beta=1, epoch=1))
    assert network.allocation == alone.allocation
    pairs = zip(network.get_weights(), alone.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.filterwarnings("error")
def test_untied_kernels_of_a_resumed_run_stay_untied():
    """A run that is resumed after all have parted."""
    network = network_of(sharing=SuperWeights(depth_bins=2))
    before = ties_of(network)
    callback = CoefficientDecoupling(beta=-1, epoch=2)
    fit(network, 3, callback, initial_epoch=1)
    assert ties_of(network) == before
    assert any(len(ties) > 1 for ties in before)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="SuperWeightNetwork.*Received"):
        fit(compiled(member(4)), 1, CoefficientDecoupling())


def test_weights_that_are_not_finite_do_not_part_without_a_word():
    network = network_of()
    images = X.copy()
    images[-1, 1] = np.inf  # which tanh hides from the loss
    with pytest.raises(ValueError, match="Received: NaN.*'d0'.* after epoch 1"):
        network.fit(
            *(images, Y),
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[CoefficientDecoupling(epoch=1)],
        )
    assert {tie for ties in ties_of(network) for tie in ties} == {0}
