"""What a config may say, listed here and nowhere else.

A key that is missing or not known is an error before anything is built.
"""

import dataclasses
import inspect

import keras

import keras_superweights as ksw
from keras_superweights.datasets import ImagePipeline
from keras_superweights.search.grouping import check_threshold
from trainers.devices import STRATEGIES

APPLICATIONS = dict(inspect.getmembers(keras.applications, inspect.isfunction))
MODELS = APPLICATIONS | {
    build.__name__: build
    for build in (
        ksw.models.densenet_bc,
        ksw.models.vgg11,
        ksw.models.wide_resnet,
        ksw.models.wide_resnet_50_2,
    )
}
# Arguments of a model that are not the config's to say: the data decide them,
# or that a member starts anew and returns logits.
_NOT_SAID = {
    "num_classes",
    "input_shape",
    "classes",
    "weights",
    "include_top",
    "input_tensor",
    "pooling",
    "classifier_activation",
}
RULES = {
    rule.__name__: rule
    for rule in (
        ksw.sharing.HardSharing,
        ksw.sharing.Independent,
        ksw.sharing.MixtureEnsembles,
        ksw.sharing.Shapeshifter,
        ksw.sharing.SoftSharing,
        ksw.sharing.SuperWeights,
    )
}

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# The keys of a config, section by section; `sharing` has `rule` and the
# arguments of that rule, each of `members` has `model` and those of its model.
_KEYS = {
    "seed",
    "data",
    "members",
    "budget_params",
    "sharing",
    "search",
    "decouple",
    "optimizer",
    "epochs",
    "strategy",
    "num_cpus",
    "deterministic",
    "precision",
    "jit_compile",
}
_DATA_KEYS = {f.name for f in dataclasses.fields(ImagePipeline)} - {"seed"}
# `pretrain_epochs` 0 is no search; `sketch_size` 0 keeps whole gradients.
_SEARCH_KEYS = {"pretrain_epochs", "tau", "sketch_size"}
# `epoch` 0 is never, `every` 0 is once.
_DECOUPLE_KEYS = {"epoch", "beta", "every"}
_OPTIMIZER_KEYS = {
    "learning_rate",
    "momentum",
    "nesterov",
    "schedule",
    "warmup_epochs",
    "weight_decay",
    "decay_batch_norm",
}
# By the schedule, the keys that it needs besides.
_SCHEDULE_KEYS = {"steps": {"drop_epochs", "drop_factor"}, "cosine": set()}


def check(config):
    """Refuses a config with an unknown or missing key, or an unknown choice.

    Values are checked by what they are passed to: datasets, models and rules.

    Args:
        config: The `ConfigDict` of a file in `configs/`.

    Raises:
        ValueError: Names the key, and what there is instead.
    """
    _check_keys("config", config, _KEYS, required=_KEYS)
    _check_keys("config.data", config.data, _DATA_KEYS, required={"name"})
    optimizer = config.optimizer
    _check_choice("optimizer.schedule", optimizer, "schedule", _SCHEDULE_KEYS)
    keys = _OPTIMIZER_KEYS | _SCHEDULE_KEYS[optimizer["schedule"]]
    _check_keys("config.optimizer", optimizer, keys, required=keys)
    _check_choice("sharing.rule", config.sharing, "rule", RULES)
    rule = RULES[config.sharing["rule"]]
    keys = {"rule"} | {f.name for f in dataclasses.fields(rule)}
    _check_keys("config.sharing", config.sharing, keys, required={"rule"})
    if not config.members:
        raise ValueError(
            "`config.members` must hold at least one member, such as "
            "{'model': 'wide_resnet', 'depth': 16, 'width': 2}. "
            f"Received: {config.members}."
        )
    for index, member in enumerate(config.members):
        name = f"members[{index}]"
        _check_choice(f"{name}.model", member, "model", MODELS)
        arguments = inspect.signature(MODELS[member["model"]]).parameters
        needed = {k for k, p in arguments.items() if p.default is p.empty}
        keys = {"model", *arguments} - _NOT_SAID
        _check_keys(f"config.{name}", member, keys, {"model"} | needed)
    _check_choice("strategy", config, "strategy", STRATEGIES)
    _check_choice("precision", config, "precision", PRECISIONS)
    if config.jit_compile and (
        config.strategy != "one_device" or config.deterministic
    ):
        raise ValueError(
            "`config.jit_compile` must be False with a strategy of several "
            "devices, whose steps XLA cannot compile, and with "
            "`config.deterministic`, for which Keras turns it off. Received: "
            f"True with strategy={config.strategy!r}, "
            f"deterministic={config.deterministic}."
        )
    for section, known in (
        ("search", _SEARCH_KEYS),
        ("decouple", _DECOUPLE_KEYS),
    ):
        _check_keys(f"config.{section}", config[section], known, known)
    search, decouple = config.search, config.decouple
    for name, value, least in (
        ("epochs", config.epochs, 1),
        ("seed", config.seed, 0),
        ("num_cpus", config.num_cpus, 0),
        ("optimizer.warmup_epochs", optimizer.warmup_epochs, 0),
        ("search.pretrain_epochs", search.pretrain_epochs, 0),
        ("search.sketch_size", search.sketch_size, 0),
        ("decouple.epoch", decouple.epoch, 0),
        ("decouple.every", decouple.every, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(
                f"`config.{name}` must be an integer of at least {least}. "
                f"Received: {value!r}."
            )
    check_threshold("config.search.tau", search.tau)
    check_threshold("config.decouple.beta", decouple.beta)
    if decouple.epoch > config.epochs:
        raise ValueError(
            "`config.decouple.epoch` must be at most `config.epochs`, "
            f"{config.epochs}, or 0 for never. Received: {decouple.epoch}."
        )
    if optimizer.warmup_epochs > config.epochs:
        raise ValueError(
            "`config.optimizer.warmup_epochs` must be at most "
            f"`config.epochs`, {config.epochs}. "
            f"Received: {optimizer.warmup_epochs}."
        )
    if search.pretrain_epochs and not _can_search(rule, config.sharing):
        raise ValueError(
            "A search starts from `config.sharing` with the rule "
            "'SuperWeights' and clusters 'depth', or learns the stores of "
            "'Shapeshifter', which must not be given then. Received: "
            f"{config.sharing.to_dict()}. To train without one, set "
            "`config.search.pretrain_epochs` to 0."
        )


def _can_search(rule, arguments):
    if rule is ksw.sharing.Shapeshifter:
        return "stores" not in arguments
    depth = arguments.get("clusters", "depth") == "depth"
    return rule is ksw.sharing.SuperWeights and depth


def _check_keys(name, section, known, required):
    unknown = sorted(set(section) - set(known))
    missing = sorted(set(required) - set(section))
    if unknown or missing:
        raise ValueError(
            f"`{name}` must have the keys {sorted(known)}, of which "
            f"{sorted(required)} are needed. Received: "
            f"{'unknown' if unknown else 'without'} "
            f"{', '.join(map(repr, unknown or missing))}."
        )


def _check_choice(name, section, key, choices):
    if section.get(key) not in choices:
        raise ValueError(
            f"`config.{name}` must be one of {sorted(choices)}. "
            f"Received: {section.get(key)!r}."
        )
