"""The members of the two families, and that they train in one budget."""

import math

import keras
import numpy as np

from configs import cifar_families
from configs import cifar_recipe
from tests.configs.steps import train_a_step
from trainers.phases import experiment


def test_it_has_the_members_and_recipe_of_the_paper():
    config = cifar_families.get_config()
    heterogeneous = cifar_recipe.get_heterogeneous_base()
    for key in ("data", "sharing", "search", "decouple", "optimizer"):
        assert config[key].to_dict() == heterogeneous[key].to_dict()
    assert config.epochs == 200
    mobilenet, wide = experiment.members(config)
    assert mobilenet.name.startswith("mobilenetv2_1.00")
    assert wide.name == "wide_resnet_28_5"
    # As the head says: the size of the larger one, 79 % of both.
    alone = sum(math.prod(v.shape) for v in wide.trainable_variables)
    assert config.budget_params == alone // 1e5 * 1e5
    allocation = experiment.allocate(config, [mobilenet, wide])
    fraction = config.budget_params / allocation.independent_params
    assert round(fraction, 2) == 0.79


def test_the_families_share_the_windows_that_both_have():
    config = cifar_families.get_config()
    allocation = experiment.allocate(config, experiment.members(config))
    shared = {
        superweight.geometry.window
        for superweight in allocation.superweights
        if len({allocation.kernels[k].member for k in superweight.kernels}) == 2
    }
    assert shared == {(1, 1), (3, 3)}


def test_they_train_in_one_network():
    config = cifar_families.get_config().unlock()
    # The same kinds of layers, but quick; the quick variant is on digits,
    # which are too small for MobileNetV2.
    config.members = (
        {"model": "MobileNetV2", "alpha": 0.1},
        {"model": "wide_resnet", "depth": 10, "width": 1},
    )
    config.budget_params = 0.95
    network, images = train_a_step(config)
    plain = network.materialize()
    assert all(isinstance(member, keras.Model) for member in plain)
    logits = network(images, training=False)
    probabilities = [keras.ops.softmax(member(images)) for member in plain]
    np.testing.assert_allclose(
        keras.ops.exp(logits), sum(probabilities) / 2, rtol=1e-3, atol=1e-6
    )
