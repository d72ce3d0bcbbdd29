"""Decoupling: what stays as it was, what parts, and how it goes on."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.allocation import Allocation
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.callbacks import CoefficientDecoupling
from keras_superweights.callbacks.decoupling import cluster_ties
from keras_superweights.callbacks.decoupling import decoupled_ties
from keras_superweights.callbacks.decoupling import tie_clusters
from keras_superweights.search import GradientRecorder
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights

# `eager` below does not reach into `tf.data`, and need not.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config")


@pytest.fixture(autouse=True)
def eager():
    """Tiny steps are done long before they would be compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def member(width, depth=3):
    inputs = keras.Input((5,))
    x = inputs
    for index in range(depth):
        x = keras.layers.Dense(width, activation="tanh", name=f"d{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(16, 5)).astype("float32")
Y = DRAW.integers(0, 3, 16)
DATA = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def sgd(learning_rate=0.05):
    return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)


def network_of(optimizer=None, sharing=None, members=None, budget_params=1.2):
    network = ksw.SuperWeightNetwork(
        members or [member(4), member(6), member(4)],
        budget_params=budget_params,
        sharing=sharing or SuperWeights(depth_bins=2, tied=True),
    )
    return compiled(network, optimizer)


def compiled(network, optimizer=None):
    network.compile(
        optimizer or sgd(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return network


def fit(network, epochs, *callbacks):
    network.fit(
        DATA, epochs=epochs, shuffle=False, callbacks=callbacks, verbose=0
    )
    return network


def ties_of(network):
    return [superweight.ties for superweight in network.allocation.superweights]


def cosine(one, other):
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / norm if norm else 0.0


def brute_force(allocation, gradients, beta):
    """Ties by the definition: repeated merging, kernel by kernel."""
    count = len(allocation.kernels)

    def of(kernel):
        """Dict from the banks of a kernel to the gradient it has there."""
        return {
            s: gradients[s][superweight.kernels.index(kernel)]
            for s, superweight in enumerate(allocation.superweights)
            if kernel in superweight.kernels and superweight.ties
        }

    def tied(i, j):
        return all(
            superweight.ties[superweight.kernels.index(i)]
            == superweight.ties[superweight.kernels.index(j)]
            for superweight in allocation.superweights
            if superweight.ties
            and i in superweight.kernels
            and j in superweight.kernels
        )

    group = list(range(count))
    for cluster in allocation.clusters:
        for i, j in itertools.combinations(cluster, 2):
            common = sorted(of(i).keys() & of(j).keys())
            one, other = (
                np.concatenate([np.zeros(0), *(of(k)[s] for s in common)])
                for k in (i, j)
            )
            agree = beta == -1 or cosine(one, other) > beta
            if tied(i, j) and agree:
                group = [group[i] if g == group[j] else g for g in group]
    ties = []
    for superweight in allocation.superweights:
        groups = [group[kernel] for kernel in superweight.kernels]
        # The first kernel of each group owns the row of all of them.
        ties.append(
            tuple(map(groups.index, groups)) if superweight.ties else ()
        )
    return ties


def random_allocation(draw):
    members = [
        MemberSpec(
            f"net{m}",
            tuple(
                KernelSpec(m, f"layer{i}", tuple(box))
                for i, box in enumerate(draw.integers(2, 7, (4, 2)).tolist())
            ),
            other_params=0,
        )
        for m in range(2)
    ]
    budget = 3 * sum(m.num_params for m in members)
    return SuperWeights(depth_bins=1, tied=True).allocate(members, budget)


def random_gradients(draw, allocation):
    return [
        draw.normal(size=(len(p.kernels), p.num_templates))
        for p in allocation.superweights
    ]


def test_groups_equal_a_brute_force_and_only_ever_split():
    draw = np.random.default_rng(1)
    counts = set()
    for _ in range(150):
        allocation = random_allocation(draw)
        for _ in range(2):  # the second time from what is partly untied
            gradients = random_gradients(draw, allocation)
            beta = draw.choice([-1, -0.4, 0.0, 0.2, 0.5, 1]).item()
            ties = decoupled_ties(allocation, gradients, beta)
            assert ties == brute_force(allocation, gradients, beta)
            parted = allocation.with_ties(ties)
            for before, after in zip(
                allocation.superweights, parted.superweights, strict=True
            ):
                pairs = set(zip(after.ties, before.ties, strict=True))
                assert len(pairs) == len(set(after.ties))
            assert parted.num_params == allocation.num_params
            counts.add(len(set(ties[0])))
            allocation = parted
    assert counts == set(range(1, 9))


def test_what_is_untied_in_one_piece_only_is_never_tied_again():
    allocation = random_allocation(np.random.default_rng(3))
    first, *others = allocation.superweights
    ties = [first.ties, *(tuple(range(len(p.ties))) for p in others)]
    assert any(len(own) > 1 for own in ties[1:])
    alike = [
        np.ones((len(p.kernels), p.num_templates))
        for p in allocation.superweights
    ]
    assert decoupled_ties(allocation.with_ties(ties), alike, 0.5) == ties


def test_gradients_of_zero_part():
    """They agree with nothing; -1 keeps even them together."""
    allocation = random_allocation(np.random.default_rng(2))
    zeros = [
        np.zeros((len(p.kernels), p.num_templates))
        for p in allocation.superweights
    ]
    own = [tuple(range(len(p.ties))) for p in allocation.superweights]
    assert decoupled_ties(allocation, zeros, 0.0) == own
    assert decoupled_ties(allocation, zeros, -1) == [
        p.ties for p in allocation.superweights
    ]


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
            self.weights = network.get_weights()
            self.slots = [v.numpy() for v in network.optimizer.variables]


def kernels_of(network):
    return [
        model.get_layer(spec.layer).kernel.numpy()
        for spec in network.allocation.kernels
        if (model := network.members[spec.member])
    ]


OPTIMIZERS = {
    "SGD": (lambda: sgd(), 1),
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
    for one, other in zip(after.kernels, before.kernels, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)

    # A network that had these ties, coefficients and slots all along.
    expected = compiled(
        ksw.SuperWeightNetwork(
            [member(4), member(6), member(4)],
            allocation=network.allocation,
        ),
        make(),
    )
    expected.optimizer.build(expected.trainable_variables)
    own = list(before.weights)
    inner = getattr(expected.optimizer, "inner_optimizer", expected.optimizer)
    slots = list(before.slots[-len(inner.variables) :])
    mixtures = expected.generator.mixtures
    for mixture, ties in zip(mixtures, before.ties, strict=True):
        if mixture is None:  # a superweight of one kernel alone
            continue
        copied = list(ties)
        for index, variable in enumerate(expected.weights):
            if variable is mixture.coefficients:
                own[index] = own[index][copied]
            if variable is mixture.ties:
                own[index] = mixture.ties.numpy()
        for index, variable in enumerate(expected.trainable_variables):
            if variable is mixture.coefficients:
                for slot in range(slots_each):
                    place = 2 + index * slots_each + slot
                    slots[place] = slots[place][copied]
                    assert slots[place].any()
    expected.set_weights(own)
    others = expected.optimizer.variables[: -len(inner.variables)]
    for variable, value in zip(others, before.slots, strict=False):
        variable.assign(value)
    for variable, value in zip(inner.variables, slots, strict=True):
        variable.assign(value)
    for each in (network, expected):
        each.train_on_batch(X, Y)
    moved = 0.0
    for one, other, old in zip(
        kernels_of(network), kernels_of(expected), before.kernels, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
        moved = max(moved, np.abs(one - old).max())
    assert moved > 1e-3


def test_groups_are_those_of_the_gradients_of_the_epoch_before():
    """At rate 0, another network can be asked for the same gradients."""
    network = network_of(sgd(0.0))
    twin = network_of(sgd(0.0))
    twin.set_weights(network.get_weights())
    recorder = GradientRecorder(twin.generator, weights=False)
    twin.record_gradients(recorder)
    fit(twin, 1)
    gradients = recorder.coefficient_gradients()
    fit(network, 4, CoefficientDecoupling(beta=0.4, epoch=3))
    expected = brute_force(twin.allocation, gradients, 0.4)
    assert ties_of(network) == expected
    assert len(set(map(len, map(set, expected)))) > 1


def test_the_budget_still_holds():
    network = network_of()
    before = network.count_params()
    fit(network, 1, CoefficientDecoupling(beta=1, epoch=1))
    allocation = network.allocation
    scalars = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert scalars == allocation.num_params <= allocation.budget_params
    assert network.count_params() == before


def test_the_limits_of_beta():
    together = fit(network_of(), 1, CoefficientDecoupling(beta=-1, epoch=1))
    assert all(set(ties) <= {0} for ties in ties_of(together))
    apart = fit(network_of(), 1, CoefficientDecoupling(beta=1, epoch=1))
    assert ties_of(apart) == [tuple(range(len(t))) for t in ties_of(apart)]


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
    epochs = []
    recording = []

    class Note(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.epoch = epoch
            recording.append(self.model._recorder is not None)

    set_ties = network.set_ties

    def noted(ties):
        epochs.append(network.epoch)
        set_ties(ties)

    callback = CoefficientDecoupling(beta=0.5, **settings)
    tie_clusters(network)
    network.epoch = 0
    monkeypatch.setattr(network, "set_ties", noted)
    fit(network, 5, callback, Note())
    assert epochs.pop(0) == 0  # tied when training begins
    assert epochs == expected
    assert recording == [epoch in expected for epoch in range(5)]


def test_ties_are_saved_and_stand_in_the_allocation(tmp_path):
    network = fit(network_of(), 2, CoefficientDecoupling(beta=0.8, epoch=1))
    ties = ties_of(network)
    assert any(len(set(t)) > 1 for t in ties)
    text = network.allocation.to_json()
    assert [
        superweight.ties
        for superweight in Allocation.from_json(text).superweights
    ] == ties
    path = tmp_path / "model.keras"
    network.save(path)
    loaded = keras.saving.load_model(path)
    assert ties_of(loaded) == ties
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), network.predict(X, verbose=0), atol=1e-6
    )
    for each in (network, loaded):
        each.train_on_batch(X, Y)
    for one, other in zip(kernels_of(network), kernels_of(loaded), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self._at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch == self._at and batch == 1:
            raise Interrupted


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_training_resumed_from_a_backup_ends_the_same(epoch, tmp_path):
    def trained(*callbacks):
        keras.utils.set_random_seed(4)
        network = network_of()
        decoupling = CoefficientDecoupling(beta=0.3, epoch=2, every=2)
        return fit(network, 4, decoupling, *callbacks)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path)

    whole = trained()
    with pytest.raises(Interrupted):
        trained(backup(), Interrupt(epoch))
    resumed = trained(backup())
    assert ties_of(resumed) == ties_of(whole)
    for one, other in zip(kernels_of(resumed), kernels_of(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


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
    with pytest.raises(ValueError, match=message):
        CoefficientDecoupling(**settings)


NOTHING_TO_DECOUPLE = {
    "nothing shared": (ksw.sharing.Independent(), 1.0),
    "nothing mixed": (MixtureEnsembles(), 3 * 27 + 20 + 16),
    "other templates each": (MixtureEnsembles(2, disjoint=True), 1.0),
}


@pytest.mark.parametrize("name", NOTHING_TO_DECOUPLE)
def test_where_there_is_nothing_to_decouple_it_says_so(name):
    sharing, budget = NOTHING_TO_DECOUPLE[name]
    members = [member(4)] * 3

    def trained(*callbacks):
        keras.utils.set_random_seed(5)
        network = network_of(None, sharing, members, budget)
        assert bool(network.allocation.num_coefficients) == ("each" in name)
        fit(network, 2, *callbacks)
        return network

    alone = trained()
    with pytest.warns(UserWarning, match="nothing to decouple.*Received: "):
        network = trained(CoefficientDecoupling(beta=1, epoch=1))
    assert network.allocation == alone.allocation
    for one, other in zip(
        network.get_weights(), alone.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("error")
def test_what_is_not_tied_any_more_stays_as_it_is():
    """A run that is resumed after all have parted."""
    network = network_of(sharing=SuperWeights(depth_bins=2))
    before = ties_of(network)
    network.fit(
        DATA,
        epochs=3,
        initial_epoch=1,
        shuffle=False,
        callbacks=[CoefficientDecoupling(beta=-1, epoch=2)],
        verbose=0,
    )
    assert ties_of(network) == before
    assert any(len(ties) > 1 for ties in before)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="SuperWeightNetwork.*Received"):
        fit(compiled(member(4)), 1, CoefficientDecoupling())


def test_kernels_of_a_store_that_start_at_other_scales_are_not_tied():
    shapes = [(4, 4), (16, 1), (4, 4), (4, 4), (8, 4), (4, 8)]
    kernels = tuple(
        KernelSpec(0, f"l{i}", shape, kind="embedding" if i == 2 else "dense")
        for i, shape in enumerate(shapes)
    )
    member = MemberSpec("net", kernels, other_params=0)
    # A store of 96: six templates of 16 for the first four, three of 32.
    allocation = Shapeshifter().allocate([member], 96 + 6 * 4 + 3 * 2)
    assert [p.kernels for p in allocation.superweights] == [
        (0, 1, 2, 3),
        (4, 5),
    ]
    assert cluster_ties(allocation) == [(0, 1, 2, 0), (0, 1)]


def test_only_kernels_that_mix_the_same_templates_of_a_store_are_compared():
    kernels = tuple(KernelSpec(0, f"l{i}", (2 + 2 * i, 4)) for i in range(2))
    allocation = Shapeshifter(max_templates=2).allocate(
        [MemberSpec("net", kernels, other_params=0)], 48
    )
    assert [superweight.kernels for superweight in allocation.superweights] == [
        (0,),
        (1,),
    ]
    gradients = [
        np.ones((1, superweight.num_templates))
        for superweight in allocation.superweights
    ]
    # Their similarity is 0, which is above this beta.
    assert decoupled_ties(allocation, gradients, -0.5) == [(0,), (0,)]
