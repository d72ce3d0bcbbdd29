"""From a config to what it describes: data, members, sharing, devices.

What a config may say is listed here and nowhere else. A key that is missing
or not known is an error before anything is built.
"""

import contextlib
import dataclasses
import inspect

import keras
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.allocation import resolve_budget
from keras_superweights.datasets import ImagePipeline
from keras_superweights.members import describe
from keras_superweights.members import skeletons
from keras_superweights.search.clustering import check_threshold
from keras_superweights.search.recording import check_sketch_size

_APPLICATIONS = dict(inspect.getmembers(keras.applications, inspect.isfunction))
MODELS = _APPLICATIONS | {
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
    "weight_decay",
    "decay_batch_norm",
}
# By the schedule, the keys that it needs besides.
_SCHEDULE_KEYS = {"steps": {"drop_epochs", "drop_factor"}, "cosine": set()}
_STRATEGIES = ("one_device", "mirrored")

# `(image_shape, num_classes)`, so that a plan needs no file of these sets.
_IMAGES = {
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "sklearn_digits": ((8, 8, 1), 10),
}


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
    _check_choice("strategy", config, "strategy", _STRATEGIES)
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


def pipeline(config) -> ImagePipeline:
    """The images that the config names; they must lie prepared on disk."""
    import tensorflow_datasets as tfds  # a plan needs none of it

    # The digits are prepared on first use, which takes a second.
    tfds.disable_progress_bar()
    return ImagePipeline(seed=config.seed, **config.data)


def members(config):
    """The config's members, as models that have shapes but take no memory.

    The shape of images and the number of classes are those of the data.
    """
    name = config.data.name
    if name in _IMAGES:
        image_shape, num_classes = _IMAGES[name]
    else:
        images = pipeline(config)
        image_shape, num_classes = images.image_shape, images.num_classes

    def builder(model, **arguments):
        if model in _APPLICATIONS:
            arguments |= {
                "classes": num_classes,
                "weights": None,
                "classifier_activation": None,
            }
        else:
            arguments["num_classes"] = num_classes
        return lambda: MODELS[model](input_shape=image_shape, **arguments)

    return skeletons([builder(**member) for member in config.members])


def allocate(config, members):
    """The allocation of the members inside the config's budget.

    With a search, the one that it starts from: every cluster tied, or all in
    one store.
    """
    budget = config.budget_params
    # A flag has the type of the value it replaces, here a float: 36.5e6 is
    # a count nevertheless. `allocate` refuses what is neither.
    if isinstance(budget, float) and budget > 100 and budget.is_integer():
        budget = int(budget)
    rule = sharing(config)
    if learns_stores(config):
        specs = describe(members)
        return rule.allocate_pretraining(specs, resolve_budget(budget, specs))
    allocation = ksw.allocate(members, budget, rule)
    if config.search.pretrain_epochs:
        check_sketch_size(allocation, config.search.sketch_size or None)
    return allocation


def learns_stores(config):
    """Whether the search of a config is for the stores of Shapeshifter."""
    return (
        config.search.pretrain_epochs > 0
        and RULES[config.sharing.rule] is ksw.sharing.Shapeshifter
    )


def sharing(config):
    """The config's rule; with a search, the one that it starts from."""
    arguments = {k: v for k, v in config.sharing.items() if k != "rule"}
    if config.search.pretrain_epochs and not learns_stores(config):
        arguments["tied"] = True
    return RULES[config.sharing.rule](**arguments)


def decoupling(config):
    """The callback that decouples coefficients, or none, in a list."""
    options = config.decouple
    if not options.epoch:
        return []
    return [
        ksw.callbacks.CoefficientDecoupling(
            options.beta, options.epoch, options.every or None
        )
    ]


def optimizer(config, steps_per_epoch):
    """SGD with the config's schedule, which counts epochs in `steps`."""
    options = config.optimizer
    if options.schedule == "steps":
        # Keras uses a value up to its boundary and including it; the first
        # step of epoch `e` has the number `e * steps_per_epoch`.
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [epoch * steps_per_epoch - 1 for epoch in options.drop_epochs],
            [
                options.learning_rate * options.drop_factor**drops
                for drops in range(len(options.drop_epochs) + 1)
            ],
        )
    else:
        rate = keras.optimizers.schedules.CosineDecay(
            options.learning_rate, config.epochs * steps_per_epoch
        )
    return keras.optimizers.SGD(
        rate, momentum=options.momentum, nesterov=options.nesterov
    )


def loss(config):
    """Cross-entropy of logits, for the labels that the pipeline gives."""
    if config.data.get("label_smoothing"):
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def devices(config):
    """Returns the context to build and train in; to be called first of all.

    `"mirrored"` uses every GPU of the machine, or, with `num_cpus`, as many
    logical CPUs, which show on any machine that replicas work.

    Raises:
        ValueError: If there is nothing to mirror on.
    """
    if config.strategy == "one_device":
        return contextlib.nullcontext()
    if config.num_cpus:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * config.num_cpus,
        )
        names = [f"CPU:{index}" for index in range(config.num_cpus)]
        return tf.distribute.MirroredStrategy(names).scope()
    if not tf.config.list_physical_devices("GPU"):
        raise ValueError(
            "`config.strategy` 'mirrored' needs GPUs, and TensorFlow finds "
            "none here. Received: num_cpus=0. To try it out on the CPU, add "
            "`--config.num_cpus=2`."
        )
    return tf.distribute.MirroredStrategy().scope()


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
