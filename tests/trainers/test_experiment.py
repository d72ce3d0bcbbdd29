"""What becomes of a config."""

import keras
import numpy as np
import pytest

from configs import base
from configs import cifar_swn_he
from configs import cifar_swn_ho
from configs import digits
from keras_superweights.schedules import LinearWarmup
from trainers.phases import experiment
from trainers.phases import kinds
from trainers.phases import optimizers


def quick(**changes):
    """The quick demo, with keys of other values."""
    config = digits.get_config("quick").unlock()
    with config.ignore_type():
        for key, value in changes.items():
            config[key] = value
    return config


def test_a_search_starts_from_what_is_tied():
    config = quick()
    members = experiment.members(config)

    def ties():
        allocation = experiment.allocate(config, members)
        return [each.ties for each in allocation.superweights if each.ties]

    assert all(set(rows) == {0} for rows in ties())
    config.search.pretrain_epochs = 0
    assert all(rows == tuple(range(len(rows))) for rows in ties())


def test_a_sketch_that_saves_nothing_is_refused():
    config = digits.get_config("quick").unlock()
    for size, told in ((3 * 3 * 128 * 128, "smaller"), (-1, "at least 2")):
        config.search.sketch_size = size
        with pytest.raises(ValueError, match=f"`sketch_size` must.*{told}"):
            experiment.allocate(config, experiment.members(config))


def test_coefficients_are_decoupled_as_the_config_says():
    config = cifar_swn_he.get_config().unlock()
    config.decouple.every = 3
    (callback,) = experiment.decoupling(config)
    found = (callback.epoch, callback.beta, callback.every)
    assert found == (config.decouple.epoch, config.decouple.beta, 3)
    config.decouple.every = 0
    assert experiment.decoupling(config)[0].every is None
    config.search.beta = 0.5
    with pytest.raises(ValueError, match="epoch` must be 0.*=10.*beta=0.5"):
        experiment.check(config)
    config.decouple.epoch = 0
    assert experiment.decoupling(config) == []
    experiment.check(config)


@pytest.mark.parametrize(
    "budget, told",
    [(1234.5, "pass an integer: 1234"), (20_000.0, "smallest budget that")],
)
def test_a_bad_budget_is_refused(budget, told):
    config = quick(budget_params=budget)
    with pytest.raises(ValueError, match=told):
        experiment.allocate(config, experiment.members(config))


@pytest.mark.parametrize("budget", [0.5, 300_000.0, 300_000])
def test_a_budget_is_a_fraction_or_a_count(budget):
    config = quick(budget_params=budget)
    allocation = experiment.allocate(config, experiment.members(config))
    half = allocation.independent_params // 2
    assert allocation.budget_params == (half if budget == 0.5 else 300_000)


def test_layers_without_names_are_named_alike_whenever_they_are_built(
    monkeypatch,
):
    def unnamed(num_classes=10, input_shape=(8, 8, 1)):
        inputs = keras.Input(input_shape)
        x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))
        return keras.Model(inputs, keras.layers.Dense(num_classes)(x))

    monkeypatch.setitem(experiment.MODELS, "unnamed", unnamed)
    config = quick(members=({"model": "unnamed"},) * 2, budget_params=1.0)
    first = experiment.allocate(config, experiment.members(config))
    between = keras.layers.Dense(3).name
    again = experiment.allocate(config, experiment.members(config))
    assert first == again
    # Names outside go on where they were.
    assert keras.layers.Dense(3).name != between


def test_a_kind_of_ensemble_is_that_of_the_config():
    config = quick(members=base.wide_resnets((10, 1)))
    config.search.pretrain_epochs = 0
    assert kinds.kind(config) is None
    config.ensemble = {"kind": "MIMO", "num_members": 3, "mixing": "cut"}
    with pytest.raises(ValueError, match="`config.ensemble`.*num_members=3"):
        experiment.check(config)
    config.ensemble = {"kind": "MIMO", "num_members": 3}
    experiment.check(config)
    (member,) = experiment.members(config)
    assert member.input_shape == (None, 8, 8, 3)
    assert member.output_shape == (None, 30)
    config.search.pretrain_epochs = 1
    with pytest.raises(ValueError, match="pretrain_epochs` must be 0.*MIMO"):
        experiment.check(config)
    config.ensemble = {"kind": "Classifier", "split_batch": True}
    experiment.check(config)
    assert kinds.kind(config).split_batch
    for wrong, told in (
        ({"kind": "Regression"}, "ensemble.kind` must be.*'Regression'"),
        ({"kind": "MIMO", "members": 2}, "ensemble`.*'members'"),
        ({"num_members": 2}, "ensemble`.*'num_members'"),
    ):
        config.ensemble = wrong
        with pytest.raises(ValueError, match=told):
            experiment.check(config)


def test_a_depth_that_is_none_names_the_nearest():
    config = digits.get_config().unlock()
    config.members = ({"model": "wide_resnet", "depth": 12, "width": 1},)
    with pytest.raises(ValueError, match="nearest valid depth is 10 or 16"):
        experiment.members(config)


def test_members_have_the_shapes_of_the_data(digits_dir):
    config = cifar_swn_ho.get_config("cifar10")
    for member in experiment.members(config):
        assert member.input_shape == (None, 32, 32, 3)
        assert member.output_shape == (None, 10)
    config = small_config("cifar100")
    config.data.label = "coarse_label"
    config.data.size = 40
    (member,) = experiment.members(config)
    assert member.input_shape == (None, 40, 40, 3)
    assert member.output_shape == (None, 20)
    # A set whose name alone does not say what it holds is opened.
    config = digits.get_config().unlock()
    config.data.data_dir = digits_dir
    experiment.pipeline(config)
    config.data.name = "sklearn_digits:1.0.0"
    (member, *_) = experiment.members(config)
    assert member.input_shape == (None, 8, 8, 1)


def small_config(name):
    config = quick()
    config.data.name = name
    config.members = config.members[-1:]
    return config


def test_members_are_as_wide_as_their_factor_says():
    member = {"model": "wide_resnet", "depth": 10, "width": 2, "name": "thin"}
    config = quick(members=({**member, "factor": 0.75},))
    experiment.check(config)
    (found,) = experiment.members(config)
    assert found.get_layer("stage3_block0_conv2").filters == 96
    assert found.name == "thin" and found.output_shape == (None, 10)
    assert found.weights[0]._value is None
    with pytest.raises(ValueError, match="`factor` must be positive"):
        experiment.members(quick(members=({**member, "factor": 0.0},)))


def test_steps_drop_at_the_first_step_of_their_epoch():
    config = cifar_swn_ho.get_config()
    optimizer = experiment.optimizer(config, 390, 1)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    assert not optimizer.weight_decay  # the network's, which is coupled
    rate = optimizer._learning_rate
    for epoch in (0, 59, 60, 119, 120, 179, 180, 199):
        drops = sum(epoch >= drop for drop in (60, 120, 180))
        for step in (epoch * 390, epoch * 390 + 389):
            np.testing.assert_allclose(rate(step), 0.1 * 0.2**drops, rtol=1e-6)


def test_cosine_falls_to_zero_over_all_epochs():
    config = digits.get_config()
    rate = experiment.optimizer(config, 7, 1)._learning_rate
    steps = np.arange(config.epochs * 7 + 1)
    expected = (1 + np.cos(np.pi * steps / steps[-1])) / 2
    expected *= config.optimizer.learning_rate
    found = [float(rate(step)) for step in steps]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_optimizer_is_the_named_one_and_alone_decays_weights():
    config = digits.get_config("quick").unlock()
    options = config.optimizer
    both = {"weight_decay": 5e-4, "decay_batch_norm": True}
    assert optimizers.of_network(config) == both
    options.name = "adam"
    options.arguments = {"beta_2": 0.99}
    experiment.check(config)
    adam = experiment.optimizer(config, 4, 256)
    assert type(adam) is keras.optimizers.Adam
    assert (adam.beta_1, adam.beta_2, adam.weight_decay) == (0.9, 0.99, None)
    assert optimizers.of_network(config) == both

    options.name = "ivon"
    options.arguments = {"hessian_init": 0.5}
    config.seed = 4
    experiment.check(config)
    found = experiment.optimizer(config, 4, 256).get_config()
    expected = {
        "ess": 256,
        "hessian_init": 0.5,
        "weight_decay": 5e-4,
        "seed": 4,
    }
    assert expected.items() <= found.items()
    assert optimizers.of_network(config) == {**both, "weight_decay": 0.0}
    options.arguments.ess = 1000
    assert experiment.optimizer(config, 4, 256).ess == 1000  # tempered


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "lamb"}, "'adam', 'ivon', 'sgd'.*'lamb'"),
        ({"arguments": {"momentum": 0.5}}, "arguments`.*unknown 'momentum'"),
        ({"arguments": {"ess": 9}}, "arguments`.*'clipnorm'.*unknown 'ess'"),
        ({"name": "ivon", "arguments": {"ess": 0}}, "arguments`: `ess` of.*=0"),
        ({"name": "ivon", "decay_batch_norm": False}, "True with 'ivon'"),
    ],
)
def test_an_optimizer_that_is_none_is_refused(changes, told):
    config = digits.get_config("quick").unlock()
    config.optimizer.update(changes)
    with pytest.raises(ValueError, match=told):
        experiment.check(config)


def test_the_rate_rises_before_its_schedule():
    config = cifar_swn_ho.get_config().unlock()
    after = experiment.optimizer(config, 7, 1)._learning_rate
    config.optimizer.warmup_epochs = 3
    rate = experiment.optimizer(config, 7, 1)._learning_rate
    assert isinstance(rate, LinearWarmup)
    assert rate.get_config()["warmup_steps"] == 21
    assert rate(20) == after(21) == np.float32(0.1)


@pytest.mark.parametrize("key", ["label_smoothing", "mixup", "cutmix", None])
def test_the_loss_reads_the_labels_of_the_pipeline(digits_dir, key):
    config = digits.get_config()
    config.data.data_dir = digits_dir
    if key:
        config.data[key] = 0.1
    _, labels = next(iter(experiment.pipeline(config).test()))
    logits = np.random.default_rng(0).normal(size=(len(labels), 10))
    found = experiment.loss(config)(labels, logits)
    labels = labels.numpy()
    classes = labels.argmax(1) if key else labels
    log_sum = np.log(np.exp(logits).sum(1))
    expected = (log_sum - logits[np.arange(len(logits)), classes]).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_images_of_any_size_have_none_to_plan_for(tmp_path):
    config = small_config("imagenet2012")
    config.data.data_dir = str(tmp_path)
    # Which is why the set is opened.
    with pytest.raises(ValueError, match=f"(?s){tmp_path}.*prepare"):
        experiment.members(config)
    config.data.size = 64
    (member,) = experiment.members(config)
    assert member.input_shape == (None, 64, 64, 3)


def test_a_rule_of_the_users_own_is_named_by_its_path():
    config = quick(
        sharing=base.rule(
            "tests.builders:OneKernel",
            exclude="*shortcut*",
            transforms=({"class": "RankOne", "start": "ones"},),
        )
    )
    config.search.pretrain_epochs = 0
    experiment.check(config)
    allocation = experiment.allocate(config, experiment.members(config))
    (transform,) = allocation.transforms
    assert transform.start == "ones"
    kernels = {allocation.kernels[k].layer for k in transform.kernels}
    assert kernels and not any("shortcut" in layer for layer in kernels)
    assert "OneKernel" in allocation.sharing


def test_a_transform_that_is_not_known_is_refused():
    transforms = ({"class": "Nothing"},)
    config = quick(sharing=base.rule("SuperWeights", transforms=transforms))
    config.search.pretrain_epochs = 0
    with pytest.raises(ValueError, match="config.sharing.*RankOne.*'Nothing'"):
        experiment.check(config)
