"""The whole search on tiny members, with structure planted in them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.search import find_clusters
from keras_superweights.search.pretraining import pretrain

# `eager` below does not reach into `tf.data`, and need not.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config")


@pytest.fixture
def eager():
    """Tiny steps are done long before they would be compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def planted(sign, width, unused=False):
    """A linear member that sees its inputs times `sign / 100`.

    Its logits stay close to zero, so that its probabilities stay close to
    uniform, and the gradient of its kernel is `sign` times what it is for all
    others of its kind: members of one sign agree, others conflict.
    """
    inputs = keras.Input((5,))
    x = keras.layers.Rescaling(sign / 100)(inputs)
    x = keras.layers.Dense(width, use_bias=False, name="shared")(x)
    if unused:
        branch = keras.layers.Dense(width, use_bias=False, name="unused")(x)
        x = keras.layers.Add()([x, keras.layers.Rescaling(0.0)(branch)])
    outputs = keras.layers.Dense(
        3, kernel_initializer="identity", trainable=False, name="head"
    )(x)
    return keras.Model(inputs, outputs)


def members_of(signs, widths):
    return [planted(s, w) for s, w in zip(signs, widths, strict=True)]


def dataset(batches=3):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batches, 8, 5)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(
        (x, draw.integers(0, 3, (batches, 8)))
    )


def search(members, data=None, budget_params=2.0, **kwargs):
    keras.utils.set_random_seed(3)
    settings = {
        "pretrain_epochs": 2,
        "depth_bins": 1,
        "optimizer": keras.optimizers.SGD(0.01, momentum=0.9),
        "verbose": 0,
    }
    return find_clusters(
        members, budget_params, data or dataset(), **{**settings, **kwargs}
    )


def one_layer_deep(found):
    return set(found.allocation.clusters)


@pytest.mark.parametrize("widths", [(4,) * 5, (4, 6, 4, 3, 6)], ids=str)
@pytest.mark.parametrize("sketch_size", [None, 8])
def test_planted_structure_is_found(widths, sketch_size, eager):
    signs = (1, -1, 1, -1, -1)
    found = search(members_of(signs, widths), sketch_size=sketch_size)
    assert one_layer_deep(found) == {(0, 2), (1, 3, 4)}
    (similarity,) = found.similarities
    planted = np.outer(signs, signs)
    np.testing.assert_array_equal(np.sign(similarity), planted)
    if sketch_size is None:
        np.testing.assert_allclose(similarity, planted, atol=0.05)
    assert found.start.clusters == ((0, 1, 2, 3, 4),)
    assert found.unused == ()
    assert [t.tau for t in found.tries] == [0.1]


@pytest.mark.parametrize("sketch_size", [None, 8])
def test_in_bfloat16_the_clusters_are_those_of_float32(sketch_size, eager):
    signs, widths = (1, -1, 1, -1, -1), (4, 6, 4, 3, 6)
    single = search(members_of(signs, widths), sketch_size=sketch_size)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        members = members_of(signs, widths)
    finally:
        keras.config.set_dtype_policy(before)
    assert members[0].get_layer("shared").compute_dtype == "bfloat16"
    half = search(members, sketch_size=sketch_size)
    assert half.allocation.clusters == single.allocation.clusters
    assert one_layer_deep(half) == {(0, 2), (1, 3, 4)}
    np.testing.assert_allclose(
        half.similarities[0], single.similarities[0], atol=0.05
    )
    assert not np.array_equal(half.similarities, single.similarities)


def test_planted_structure_is_found_by_compiled_steps():
    found = search(members_of((1, -1, 1), (4, 6, 4)), sketch_size=8)
    assert one_layer_deep(found) == {(0, 2), (1,)}


def test_a_network_can_be_made_of_the_result(eager):
    members = members_of((1, -1, 1, -1), (4, 6, 4, 6))
    budget = 90
    found = search(members, budget_params=budget)
    network = ksw.SuperWeightNetwork(members, allocation=found.allocation)
    scalars = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert scalars == found.allocation.num_params <= budget
    kernels = [m.get_layer("shared").kernel.numpy() for m in network.members]
    np.testing.assert_array_equal(kernels[0], kernels[2])
    np.testing.assert_array_equal(kernels[1], kernels[3])
    assert not np.allclose(kernels[0], kernels[1][:, :4])


def test_the_limits_of_tau(eager):
    members = members_of((1, -1, 1), (4, 4, 4))
    for tau, expected in (
        (-1, {(0, 1, 2)}),
        (0.1, {(0, 2), (1,)}),
        (1, {(0,), (1,), (2,)}),
    ):
        assert one_layer_deep(search(members, tau=tau)) == expected


def test_tau_is_lowered_where_clusters_do_not_fit(eager):
    members = members_of((1, -1, 1), (4, 4, 4))
    # One template of 20 and three coefficients: no room for another cluster.
    found = search(members, budget_params=23 + 9 + 5)
    assert one_layer_deep(found) == {(0, 1, 2)}
    taus = [t.tau for t in found.tries]
    np.testing.assert_allclose(np.diff(taus), -0.05)
    assert taus[0] == 0.1 and -1 <= taus[-1] < -0.9


def test_an_unused_layer_is_reported_and_shares_with_none(eager):
    members = [planted(1, 4), planted(1, 4, unused=True), planted(1, 4)]
    found = search(members)
    kernels = found.allocation.kernels
    assert [kernels[k].layer for k in found.unused] == ["unused"]
    assert all(np.isfinite(s).all() for s in found.similarities)
    assert found.unused in one_layer_deep(found)


def test_members_that_share_no_window_are_searched_apart(eager):
    def image_net(layer, flat):
        inputs = keras.Input((4, 4, 2))
        x = keras.layers.Flatten()(inputs) if flat else inputs
        for _ in range(2):
            x = layer()(x)
        x = x if flat else keras.layers.Flatten()(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    draw = np.random.default_rng(0)
    data = tf.data.Dataset.from_tensor_slices(
        (
            draw.normal(size=(2, 8, 4, 4, 2)).astype("float32"),
            draw.integers(0, 3, (2, 8)),
        )
    )
    members = [
        image_net(lambda: keras.layers.Conv2D(2, 3, padding="same"), False),
        image_net(lambda: keras.layers.Dense(32), True),
    ]
    for tau in (-1, 1):
        found = search(members, data, tau=tau)
        for allocation in (found.start, found.allocation):
            for cluster in allocation.clusters:
                kernels = [allocation.kernels[k] for k in cluster]
                assert len({(k.member, k.window) for k in kernels}) == 1
        assert len(found.similarities) == len(found.start.clusters) == 2
        assert len(found.allocation.clusters) == (2 if tau == -1 else 4)


def test_the_same_seed_finds_the_same(eager):
    members = members_of((1, -1, 1), (4, 6, 4))
    one, other = search(members), search(members)
    assert one.allocation == other.allocation
    np.testing.assert_array_equal(one.similarities, other.similarities)


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch, step):
        super().__init__()
        self.at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Interrupted


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_interrupted_search_ends_as_one_that_was_not(epoch, eager, tmp_path):
    members = [
        keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Dense(width, activation="tanh"),
                keras.layers.Dense(width, activation="tanh"),
                keras.layers.Dense(3),
            ]
        )
        for width in (4, 6)
    ]

    def searched(*callbacks):
        return search(members, pretrain_epochs=3, callbacks=callbacks)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole = searched()
    with pytest.raises(Interrupted):
        searched(backup(), Interrupt(epoch, 1))
    resumed = searched(backup())
    assert resumed.allocation == whole.allocation
    np.testing.assert_allclose(
        resumed.similarities[0], whole.similarities[0], atol=1e-6
    )


def test_it_goes_on_with_the_epoch_that_it_is_told(eager, tmp_path):
    """A callback restores the network; the data begins where it stopped."""
    file = str(tmp_path / "state.weights.h5")
    members = members_of((1, -1, 1), (4, 6, 4))

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.save_weights(file)

    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.optimizer.build(self.model.trainable_variables)
            self.model.load_weights(file)

    def searched(data, **kwargs):
        return search(
            members, data, pretrain_epochs=3, steps_per_epoch=3, **kwargs
        )

    whole = searched(dataset(9), callbacks=[Save()])
    resumed = searched(
        dataset(9).skip(3), callbacks=[Restore()], initial_epoch=1
    )
    assert resumed.allocation == whole.allocation
    np.testing.assert_allclose(
        resumed.similarities[0], whole.similarities[0], atol=1e-6
    )
    forgotten = searched(dataset(9).skip(3), initial_epoch=1)
    assert np.abs(forgotten.similarities[0] - whole.similarities[0]).max() > 0


def test_a_resume_behind_the_last_epoch_is_refused(eager, tmp_path):
    """What was recorded went with the process that recorded it."""
    members = members_of((1, -1), (4, 4))

    class Stop(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise Interrupted

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(Interrupted):
        search(members, callbacks=[Stop(), backup()])
    with pytest.raises(ValueError, match="resumed after the last one"):
        search(members, callbacks=[backup()])


def test_stopping_early_is_refused(eager):
    class StopEarly(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.raises(ValueError, match="ended with epoch 1 of 2"):
        search(members_of((1, -1), (4, 4)), callbacks=[StopEarly()])


def epochs_backed_up(directory):
    path = directory / "training_metadata.json"
    return json.loads(path.read_text())["epoch"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_search(value, eager, tmp_path):
    # Steps 1 and 2 are the first epoch; the fourth is broken.
    x, y = np.ones((4, 8, 5)), np.zeros((4, 8))
    y[3, 0] = value
    with pytest.raises(ValueError, match="after step 2 of epoch 2") as error:
        search(
            members_of((1, -1), (4, 4)),
            tf.data.Dataset.from_tensor_slices((x, y)),
            steps_per_epoch=2,
            loss=lambda y, logits: y + keras.ops.mean(logits, axis=-1),
            callbacks=[keras.callbacks.BackupAndRestore(tmp_path)],
        )
    assert "must stay finite" in str(error.value)
    assert epochs_backed_up(tmp_path) == 1


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("ends_in", [1, 2, 3])
def test_data_that_ends_before_an_epoch_is_over(ends_in, eager, tmp_path):
    data = dataset(2 * ends_in - 1)
    with pytest.raises(
        ValueError, match=f"1 of 2 steps of epoch {ends_in} of 3"
    ):
        search(
            members_of((1, -1), (4, 4)),
            data,
            pretrain_epochs=3,
            steps_per_epoch=2,
            callbacks=[keras.callbacks.BackupAndRestore(tmp_path)],
        )
    # No backup of the epoch that was not over.
    if ends_in > 1:
        assert epochs_backed_up(tmp_path) == ends_in - 1
    else:
        assert not list(tmp_path.iterdir())


def test_data_that_holds_all_epochs_one_after_the_other(eager):
    found = search(
        members_of((1, -1, 1), (4, 4, 4)), dataset(6), steps_per_epoch=3
    )
    assert one_layer_deep(found) == {(0, 2), (1,)}


@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_no_data_is_refused(eager):
    with pytest.raises(ValueError, match="`data`.*0 of 1 steps"):
        search(members_of((1, -1), (4, 4)), dataset().take(0))


ARRAYS = np.ones((8, 5), "float32"), np.zeros(8, "int32")


@pytest.mark.parametrize(
    "data",
    [None, ARRAYS, list(ARRAYS), ARRAYS[0], tf.ones((8, 5)), {"x": 1}, "train"],
    ids=lambda data: type(data).__name__,
)
def test_what_gives_no_batches_is_refused_before_anything_is_built(data):
    def build():
        raise AssertionError("built")

    with pytest.raises(
        TypeError, match=f"type {type(data).__name__}.*from_tensor_slices"
    ):
        find_clusters(build, 2.0, data)
    # Where it is trained, too, whoever asks for it.
    with pytest.raises(TypeError, match="`data` must be a `tf.data.Dataset`"):
        pretrain(None, data, epochs=1, steps_per_epoch=None)


class Batches(keras.utils.PyDataset):
    """The batches of `dataset()`."""

    def __len__(self):
        return len(dataset())

    def __getitem__(self, index):
        return list(dataset().as_numpy_iterator())[index]


def test_whatever_gives_batches_to_fit_is_searched_with(eager):
    members = members_of((1, -1, 1), (4, 6, 4))
    expected = search(members).similarities[0]
    two_epochs = (b for b in dataset().repeat(2).as_numpy_iterator())
    for data, steps in ((Batches(), None), (two_epochs, 3)):
        found = search(members, data, steps_per_epoch=steps).similarities[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 1.5}, "`tau`.*-1 to 1.*Received: tau=1.5"),
        ({"tau": float("nan")}, "`tau`"),
        ({"pretrain_epochs": 0}, "`pretrain_epochs` must be a positive int"),
        ({"pretrain_epochs": 1.5}, "`pretrain_epochs` must be a positive int"),
        ({"sketch_size": 20}, "`sketch_size`.*20 scalars"),
        ({"depth_bins": 0}, "`depth_bins`"),
        ({"budget_params": 10}, "smallest budget that works is"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        search(members_of((1, -1), (4, 4)), **settings)
