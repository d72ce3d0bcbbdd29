"""Every config builds, plans, and its quick variant takes a step."""

import importlib
import pathlib
import re

import keras
import pytest

from keras_superweights.metrics import count_flops
from tests.configs.steps import train_a_step
from trainers import plan
from trainers.phases import experiment

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(
    path.stem
    for path in CONFIGS.glob("*.py")
    if path.stem not in ("__init__", "base", "compare_digits", "space")
    and not path.stem.endswith("_recipe")
)
CIFAR = [name for name in NAMES if name.startswith("cifar")]


def module(name):
    return importlib.import_module(f"configs.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_it_plans_inside_its_budget(name):
    config = module(name).get_config()
    members, allocation = plan.plan(config)
    flops = [count_flops(member) for member in members]
    assert allocation.num_params <= allocation.budget_params
    assert allocation.num_params >= 0.98 * allocation.budget_params
    assert len(flops) == len(config.members) and min(flops) > 0


@pytest.mark.parametrize("name", CIFAR)
def test_on_cifar10_only_the_set_and_beta_are_others(name):
    variants = [module(name).get_config(v).to_dict() for v in ("", "cifar10")]
    sets = [variant["data"].pop("name") for variant in variants]
    assert sets == ["cifar100", "cifar10"]
    betas = [variant["decouple"].pop("beta") for variant in variants]
    others = {"cifar_swn_multi_width": 0.95, "cifar_swn_multi_depth_width": 0.5}
    assert betas == [0.9, others.get(name, 0.9)]
    assert variants[0] == variants[1]
    plan.plan(module(name).get_config("cifar10"))


@pytest.mark.parametrize("name", NAMES)
def test_its_quick_variant_takes_a_step_on_digits(name):
    config = module(name).get_config("quick")
    full = module(name).get_config()
    if name != "digits":  # its kernels are standardized in full only
        assert config.sharing == full.sharing
    assert config.epochs <= 3
    train_a_step(config)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_locked_and_refuses_another_variant(name):
    with pytest.raises(AttributeError, match="budget_params"):
        module(name).get_config().budget = 3
    with pytest.raises(ValueError, match="variant.*'slow'"):
        module(name).get_config("slow")


@pytest.mark.parametrize("name", NAMES)
def test_its_head_says_where_from_how_and_what_to_expect(name):
    text = module(name).__doc__
    assert f"--config configs/{name}.py" in text
    assert name in ("digits", "cifar100_small") or re.search(
        r"\b(SWN|ME|NPAS), ", text
    )
    assert "easured" in text  # what was measured, or that nothing was


@pytest.mark.parametrize(
    "name, members",
    [
        ("cifar_swn_ho", [(28, 10)] * 4),
        ("cifar_swn_he", [(34, 8), (28, 12), (28, 10), (28, 8)]),
        ("cifar_swn_multi_width", [(28, 7), (28, 4), (28, 3)]),
        ("cifar_swn_multi_depth_width", [(28, 7), (28, 4), (16, 7), (16, 4)]),
        ("cifar_mixture_ensembles", [(28, 10)] * 4),
        ("cifar_thin_mixture_ensembles", [(28, 5)] * 4),
        ("cifar_deep_ensemble", [(28, 10)] * 4),
        ("cifar_single", [(28, 10)]),
    ],
)
def test_it_has_the_members_and_recipe_of_the_papers(name, members):
    config = module(name).get_config()
    assert [(m["depth"], m["width"]) for m in config.members] == members
    heterogeneous = len(set(members)) > 1
    thin = name == "cifar_thin_mixture_ensembles"
    drops = (60, 120, 160) if heterogeneous else (60, 120, 180)
    assert config.optimizer.drop_epochs == ((300, 600, 900) if thin else drops)
    assert config.epochs == (1000 if thin else 200)
    assert config.data.cutout == (16 if heterogeneous else 0)
    assert (config.data.batch_size, config.data.pad) == (128, 4)
    assert config.data.flip
    assert config.optimizer.weight_decay == 5e-4
    # Homogeneous ensembles are trained without refining what shares.
    assert config.search.pretrain_epochs == (20 if heterogeneous else 0)
    assert config.decouple.epoch == (10 if heterogeneous else 0)
    assert (config.search.tau, config.decouple.every) == (0.1, 0)
    assert (config.search.beta is None) == heterogeneous


def test_the_homogeneous_ensemble_is_searched_as_the_others():
    found = module("cifar_swn_ho").get_config("searched")
    expected = module("cifar_swn_he").get_config()
    for section in ("search", "decouple"):
        assert found[section].to_dict() == expected[section].to_dict()
    experiment.check(found)


def test_the_budgets_of_the_papers_can_be_met():
    for name, budgets in (
        ("cifar_swn_ho", (15e6, 36.5e6, 120e6)),
        ("cifar_swn_he", (15e6, 36.5e6, 120e6)),
        ("cifar_mixture_ensembles", (7e6, 15e6, 36.5e6, 120e6)),
    ):
        config = module(name).get_config()
        for budget in budgets:
            config.budget_params = budget
            _, allocation = plan.plan(config)
            assert 0.98 * budget < allocation.num_params <= budget
    config = module("cifar_swn_ho").get_config()
    config.budget_params = 120e6
    config.sharing.clusters = "position"
    plan.plan(config)


@pytest.mark.parametrize("variant", ["", "cifar10"])
@pytest.mark.parametrize(
    "name, depth_bins", [("cifar_swn_he", 1), ("cifar_swn_ho", 3)]
)
def test_the_smallest_budget_needs_fewer_bins(name, depth_bins, variant):
    config = module(name).get_config(variant)
    config.budget_params = 7e6
    for bins in range(4, depth_bins, -1):
        config.sharing.depth_bins = bins
        with pytest.raises(ValueError, match="smallest budget that works"):
            plan.plan(config)
    config.sharing.depth_bins = depth_bins
    _, allocation = plan.plan(config)
    assert 0.98 * 7e6 < allocation.num_params <= 7e6


def test_a_network_of_one_is_the_plain_network():
    config = module("cifar_single").get_config("quick")
    (member,) = experiment.members(config)
    assert isinstance(member, keras.Model)
    allocation = experiment.allocate(config, [member])
    assert not allocation.banks


def test_the_recipe_of_imagenet_is_that_of_the_papers():
    config = module("imagenet_mixture_ensembles").get_config()
    assert config.optimizer.to_dict() == {
        "name": "sgd",
        "arguments": {},
        "learning_rate": 1.6,
        "momentum": 0.9,
        "nesterov": False,
        "schedule": "steps",
        "drop_epochs": (30, 60, 80),
        "drop_factor": 0.1,
        "warmup_epochs": 10,
        "weight_decay": 1e-4,
        "decay_batch_norm": False,
    }
    data = config.data
    assert (config.epochs, data.batch_size) == (90, 1024)
    assert (data.label_smoothing, data.test_split) == (0.1, "validation")
    assert (data.size, data.crop, data.flip) == (224, "inception", True)
    assert (config.search.pretrain_epochs, config.decouple.epoch) == (0, 0)
    assert len(config.members) == 4
    config.members = config.members[:1]
    (member,) = experiment.members(config)
    assert member.input_shape == (None, 224, 224, 3)
    assert member.output_shape == (None, 1000)
    # "25.6M"
    assert round(member.count_params(), -5) == config.budget_params


def test_a_shapeshifter_of_imagenet_has_the_size_of_the_paper():
    config = module("imagenet_ssn").get_config()
    other = module("imagenet_mixture_ensembles").get_config()
    assert config.data.to_dict() == other.data.to_dict()
    assert config.optimizer.to_dict() == other.optimizer.to_dict()
    _, allocation = plan.plan(config)
    # "a parameter budget of 19M (original has 69M)"
    assert round(allocation.budget_params / 1e6) == 19
    assert round(allocation.independent_params / 1e6) == 69
