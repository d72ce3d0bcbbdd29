"""Pretraining that is interrupted, or fed with what it cannot use."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.search import find_clusters
from keras_superweights.search import learn_stores
from keras_superweights.search.pretraining import pretrain
from keras_superweights.sharing import Shapeshifter
from tests.builders import Interrupt
from tests.builders import Interrupted
from tests.builders import perceptron
from tests.search.networks import dense_net
from tests.search.planted import dataset
from tests.search.planted import members_of
from tests.search.planted import search


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_interrupted_search_ends_as_one_that_was_not(epoch, eager, tmp_path):
    members = [dense_net(4), dense_net(6)]

    def searched(*callbacks):
        return search(members, pretrain_epochs=3, callbacks=callbacks)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole = searched()
    with pytest.raises(Interrupted):
        searched(backup(), Interrupt(epoch))
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


def learn(members, data, **settings):
    sharing = Shapeshifter(num_stores=2)
    return learn_stores(members, 0.8, data, sharing, verbose=0, **settings)


@pytest.mark.parametrize("measure", [search, learn])
def test_data_that_break_weights_and_not_the_loss_stop_the_search(
    measure, eager, tmp_path
):
    # As ReLU hides NaN, tanh hides infinity from what follows it. In the last
    # step: the one after it would have no finite loss.
    x, y = map(np.array, zip(*dataset(2), strict=True))
    x[1, 5, 3] = np.inf
    members = [perceptron(width) for width in (4, 6)]
    with pytest.raises(
        ValueError,
        match="Received: NaN or infinity in bank_0/templates "
        r"\('d0' of member 0, .* after epoch 2.*data.*learning rate",
    ):
        measure(
            members,
            tf.data.Dataset.from_tensor_slices((x, y)),
            pretrain_epochs=2,
            steps_per_epoch=1,
            callbacks=[keras.callbacks.BackupAndRestore(tmp_path)],
        )
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
        pretrain(None, data)
