"""The keys and values that a config may have."""

import keras
import numpy as np
import pytest

from configs import cifar_swn_ho
from configs import digits
from trainers.phases import experiment

STEPS = {"schedule": "steps", "drop_epochs": (2,), "drop_factor": 0.1}
INDEPENDENT = {"rule": "Independent"}
WRN = {"model": "wide_resnet", "depth": 10}
PRETRAINED = {"model": "MobileNetV2", "weights": "imagenet"}
SENTENCES = {"model": "gru_sentence_encoder", "vocabulary_size": 9}
MEMBERS = [
    ({"depth": 10}, ".model.*wide_resnet"),
    (WRN, ".*without 'width'"),
    ({**WRN, "width": 1, "size": 2}, ".*unknown 'size'"),
    (PRETRAINED, ".*'alpha'.*unknown 'weights'"),
    (SENTENCES, ".model.*'gru_sentence_encoder'"),
    ("vgg11", ".model.*vgg11"),
]


@pytest.mark.parametrize(
    "section, key, value, told",
    [
        ("", "budget", 3, "`config` .*budget_params.*unknown 'budget'"),
        ("data", "mirror", 1, "`config.data` .*flip.*unknown 'mirror'"),
        ("data", "seed", 1, "`config.data` .*unknown 'seed'"),
        ("optimizer", "decay", 1, "`config.optimizer` .*unknown 'decay'"),
        ("optimizer", "schedule", "stairs", "'cosine', 'steps'.*'stairs'"),
        ("optimizer", "schedule", "steps", "drop_factor`.*needs both"),
        ("optimizer", "drop_epochs", (1,), "leave.*'cosine'.*drop_epochs=.1"),
        ("optimizer", "drop_factor", 0.1, "leave.*'cosine'.*drop_factor=0.1"),
        ("optimizer", "learning_rate", -1.0, "learning_rate`.*least 0.*-1"),
        ("optimizer", "learning_rate", np.inf, "learning_rate`.*finite.*inf"),
        ("optimizer", "weight_decay", np.nan, "weight_decay`.*finite.*nan"),
        ("optimizer", "", STEPS | {"drop_factor": -1.0}, "drop_factor`.*-1"),
        ("optimizer", "", STEPS | {"drop_epochs": (4, 2)}, "ascending.*4, 2"),
        ("optimizer", "", STEPS | {"drop_epochs": ("a",)}, "integers.*'a'"),
        ("optimizer", "momentum", 2.0, "optimizer.momentum`.*0 to 1.*2"),
        ("optimizer", "nesterov", 1, "optimizer.nesterov`.*True or False.*1"),
        ("optimizer", "warmup_epochs", -1, "optimizer.warmup_epochs`.*least 0"),
        ("optimizer", "warmup_epochs", 31, "warmup_epochs`.*at most.*30.*31"),
        ("optimizer", "warmup_epochs", 0.5, "optimizer.warmup_epochs`.*0.5"),
        ("sharing", "rule", "SuperWeight", "'SuperWeights'.*'SuperWeight'"),
        ("sharing", "rule", "Nothing", "rule`.*No module named 'Nothing'"),
        ("sharing", "rule", "json:Nothing", "rule`.*no attribute 'Nothing'"),
        ("sharing", "rule", "json:JSONDecoder", "rule`.*from `sharing.Rule`"),
        ("sharing", "rule", ["Independent"], "rule` must be one of"),
        ("sharing", "transforms", "RankOne", "`transforms` must be a list"),
        ("sharing", "transforms", ({},), "of dicts with a `class`"),
        ("sharing", "tied", "yes", "sharing`: `tied` must be.*'yes'"),
        ("sharing", "rule", None, "sharing.rule`.*No module named 'None'"),
        ("sharing", "rule", "Independent", "unknown 'clusters'"),
        ("sharing", "bins", 3, "'depth_bins'.*unknown 'bins'"),
        ("", "members", (), "at least one member"),
        *[
            ("", "members", (member,), rf"members\[0\]{told}")
            for member, told in MEMBERS
        ],
        ("", "strategy", "two", "'multi_worker', 'one_device'.*'two'"),
        ("", "precision", "half", "'mixed_float16'.*Received: 'half'"),
        ("", "jit_compile", True, "jit_compile`.*False.*deterministic=True"),
        ("", "epochs", 0, "`config.epochs`.*at least 1"),
        ("", "epochs", None, "`config.epochs`.*integer.*None"),
        ("data", "name", None, "`config.data.name`.*'cifar100'.*None"),
        ("", "num_cpus", -1, "`config.num_cpus`.*mirrored.*-1"),
        ("", "search", 3, "`config.search`.*section.*3"),
        ("", "sharing", "Independent", "`config.sharing`.*section"),
        ("", "members", 5, "`config.members` must be a tuple.*5"),
        ("", "seed", "one", "`config.seed`.*integer"),
        ("", "seed", -1, "`config.seed`.*from 0 to 4294967295.*-1"),
        ("search", "sketch_size", -1, "search.sketch_size`.*least 0"),
        ("search", "epochs", 1, "`config.search`.*unknown 'epochs'"),
        ("search", "pretrain_epochs", -1, "search.pretrain_epochs`.*least 0"),
        ("search", "sketch_size", 0.5, "search.sketch_size`.*integer.*0.5"),
        ("search", "tau", 1.5, "config.search`.*`tau`.*-1 to 1.*1.5"),
        ("search", "tau", None, "config.search.tau` must be a number.*None"),
        ("search", "beta", -2.0, "config.search`.*`beta`.*-1 to 1.*-2"),
        ("decouple", "at", 1, "`config.decouple`.*unknown 'at'"),
        ("decouple", "epoch", 31, "decouple.epoch`.*at most.*30.*: 31"),
        ("decouple", "every", -1, "config.decouple`.*`every`.*-1"),
        ("decouple", "beta", -2.0, "config.decouple`.*`beta`.*-1 to 1.*-2"),
        ("sharing", "clusters", "position", "search refines.*'position'"),
        ("", "sharing", INDEPENDENT, "search.*Independent.*set `con"),
    ],
)
def test_a_bad_key_or_choice_is_refused(section, key, value, told):
    config = digits.get_config().unlock()
    experiment.check(config)
    target = config[section] if section else config
    with target.ignore_type():
        for name, new in ({key: value} if key else value).items():
            target[name] = new
    with pytest.raises(ValueError, match=f"(?s){told}"):
        experiment.check(config)


def test_steps_of_several_devices_are_not_compiled():
    config = digits.get_config().unlock()
    config.deterministic = False
    config.jit_compile = True
    experiment.check(config)
    config.strategy = "mirrored"
    with pytest.raises(ValueError, match="jit_compile`.*'mirrored'"):
        experiment.check(config)


@pytest.mark.parametrize("key", ["search", "decouple", "epochs"])
def test_a_missing_key_is_refused(key):
    config = digits.get_config().unlock()
    del config[key]
    with pytest.raises(ValueError, match=f"without '{key}'"):
        experiment.check(config)


def test_without_a_search_any_rule_will_do():
    config = digits.get_config().unlock()
    config.search.pretrain_epochs = 0
    config.sharing = {"rule": "MixtureEnsembles"}
    experiment.check(config)


def test_models_of_keras_are_found_by_name():
    config = cifar_swn_ho.get_config().unlock()
    for name in ("ResNet50", "VGG16", "NASNetMobile", "MobileNetV3Small"):
        config.members = ({"model": name},)
        experiment.check(config)
    config.members = ({"model": "MobileNetV2", "alpha": 0.5, "name": "thin"},)
    experiment.check(config)
    (member,) = experiment.members(config)
    expected = keras.applications.MobileNetV2(
        (32, 32, 3), 0.5, weights=None, classes=100
    )
    assert [v.shape for v in member.weights] == [
        v.shape for v in expected.weights
    ]
    assert member.name == "thin"
    assert member.layers[-1].activation is keras.activations.linear
