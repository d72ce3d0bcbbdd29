"""What is compiled by XLA besides the step equals what is not compiled."""

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.metrics import predict_members
from keras_superweights.search import GradientRecorder
from tests.training import networks


def test_compiled_recording_evaluation_and_prediction_equal_uncompiled_ones():
    """Also with the condition on overflows of loss scaling."""
    found = []
    x, y = networks.batch_of()
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        members = [networks.small_net(width, depth=1) for width in (4, 6)]
        network = networks.shared(members, 0.9, weight_decay=1e-3)
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1), initial_scale=1024.0
        )
        networks.compiled(network, optimizer, jit_compile=jit_compile)
        assert network.jit_compile == jit_compile
        recorder = GradientRecorder(network.generator, sketch_size=32)
        network.record_gradients(recorder)
        losses = [network.train_on_batch(x, y)[0] for _ in range(3)]
        logits, _ = predict_members(
            network, tf.data.Dataset.from_tensors((x, y))
        )
        logs = network.evaluate(x, y, verbose=0)
        found.append([losses, logs, *logits, *network.get_weights()])
        found[-1] += [g for grams in recorder.grams() for g in grams.values()]
        found[-1] += recorder.coefficient_gradients()
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    gradients = recorder.coefficient_gradients()
    assert max(np.abs(each).max() for each in gradients) > 1e-3
