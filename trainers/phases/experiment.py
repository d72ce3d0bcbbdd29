"""Builds what a config describes: data, members, sharing, training.

Each value is checked here, where it is used, or by what it is passed to.
"""

import contextlib
import dataclasses
import importlib
import inspect
import math

import keras

import keras_superweights as ksw
from keras_superweights.allocation import Transform
from keras_superweights.allocation import specs
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer
from keras_superweights.datasets import ImagePipeline
from keras_superweights.keras_internals import names_anew
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.search import learning
from keras_superweights.search.recording import check_sketch_size
from keras_superweights.search.refinement import check_thresholds
from keras_superweights.search.refinement import refinable
from trainers.devices.strategy import check_strategy
from trainers.phases import kinds
from trainers.phases import optimizers
from trainers.phases import schema

APPLICATIONS = dict(inspect.getmembers(keras.applications, inspect.isfunction))
MODELS = APPLICATIONS | {
    "densenet_bc": ksw.models.densenet_bc,
    "vgg11": ksw.models.vgg11,
    "wide_resnet": ksw.models.wide_resnet,
    "wide_resnet_50_2": ksw.models.wide_resnet_50_2,
}
# Arguments of a model that a config does not set: they follow from the data,
# or from members starting anew and returning logits.
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
    name: rule
    for name, rule in inspect.getmembers(ksw.sharing, inspect.isclass)
    if issubclass(rule, ksw.sharing.Rule) and rule is not ksw.sharing.Rule
}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# `(image_shape, num_classes)` by set and label: a plan needs no data then.
_IMAGES = {
    ("cifar10", "label"): ((32, 32, 3), 10),
    ("cifar100", "label"): ((32, 32, 3), 100),
    ("cifar100", "coarse_label"): ((32, 32, 3), 20),
    ("fashion_mnist", "label"): ((28, 28, 1), 10),
    ("imagenet2012", "label"): ((None, None, 3), 1000),
    ("sklearn_digits", "label"): ((8, 8, 1), 10),
}


def check(config):
    """Refuses a config that describes no run, before anything is built.

    Data and members are checked when they are made, by `pipeline`, `members`
    and `allocate`; everything else here, without TensorFlow's devices. Errors
    name the key or section, what is expected and what was received.
    """
    schema.check(config)
    if config.data.name is None:
        raise ValueError(
            "`config.data.name` must be the tfds name of an image set, such as "
            "'cifar100'. Received: None."
        )
    sharing(config)
    _builders(config)
    schema.check_choice("precision", config.precision, PRECISIONS)
    check_strategy(config.strategy, config.num_cpus)
    jit_compile(config)
    schedule(config, steps_per_epoch=1)
    optimizers.check(config)
    kinds.check(config)
    decoupling(config)
    check_integer("config.seed", config.seed, least=0, most=2**32 - 1)
    _check_number("search.sketch_size", config.search.sketch_size)
    with _section("search"):
        check_thresholds(config.search.tau, config.search.beta)


@contextlib.contextmanager
def _section(name):
    """Names the section of the config that an error is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"In `config.{name}`: {error}") from error


def pipeline(config) -> ImagePipeline:
    """Returns the config's images, which must be prepared on disk."""
    import tensorflow_datasets as tfds  # a plan needs none of it

    # The digits are prepared on first use, which takes a second.
    tfds.disable_progress_bar()
    return ImagePipeline(seed=config.seed, **config.data)


def members(config):
    """Returns the members, as models that have shapes but take no memory."""
    # A run that is continued finds its layers by their names.
    with policy(config.precision), names_anew():
        return skeletons(_builders(config))


def _builders(config):
    """Returns functions that build the members; opens no data before."""
    if not config.members:
        raise ValueError(
            "`config.members` must hold at least one member, such as "
            "{'model': 'wide_resnet', 'depth': 16, 'width': 2}. "
            f"Received: {config.members}."
        )
    builders = []
    for index, member in enumerate(config.members):
        name = f"members[{index}]"
        arguments = dict(member) if hasattr(member, "keys") else {}
        model = arguments.pop("model", None)
        schema.check_choice(f"{name}.model", model, MODELS)
        parameters = inspect.signature(MODELS[model]).parameters
        needed = {k for k, p in parameters.items() if p.default is p.empty}
        keys = {"model", "factor", *parameters} - _NOT_SAID
        schema.check_keys(f"config.{name}", member, keys, {"model"} | needed)
        builders.append(lambda m=model, a=arguments: _build(config, m, **a))
    return builders


def _build(config, model, factor=None, **arguments):
    image_shape, num_classes = _images(config)
    arguments = {"input_shape": image_shape, **arguments}
    if model in APPLICATIONS:
        arguments["classes"] = num_classes
        arguments["weights"] = arguments["classifier_activation"] = None
    else:
        arguments["num_classes"] = num_classes
    built = MODELS[model](**arguments)
    if factor is not None:
        built = ksw.models.narrowed(built, factor)
    return kinds.model(config, built)


@contextlib.contextmanager
def policy(name):
    """Sets the dtype policy of the models built inside a `with` block.

    A network takes it over from its members; the next run in the process must
    not find it.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _images(config):
    """Returns `(image_shape, num_classes)` of the config's data."""
    data = config.data
    if (data.name, data.label) in _IMAGES:
        image_shape, num_classes = _IMAGES[data.name, data.label]
        if data.size:
            image_shape = (data.size, data.size, image_shape[-1])
        if None not in image_shape:
            return image_shape, num_classes
    images = pipeline(config)
    return images.image_shape, images.num_classes


def allocate(config, members):
    """Allocates the members inside the config's budget.

    With a search, returns the allocation that it starts from: every cluster
    tied, or everything in one store.
    """
    budget = as_budget(config.budget_params)
    rule = sharing(config)
    if learns_stores(config):
        described = describe(members)
        budget = specs.resolve_budget(budget, described)
        return learning.pretraining_allocation(rule, described, budget)
    allocation = ksw.allocate(members, budget, rule)
    if config.search.pretrain_epochs:
        check_sketch_size(allocation, config.search.sketch_size or None)
    return allocation


def as_budget(value):
    """Converts a budget of a config or flag to the library's.

    A flag has the type of its default, a float: 36.5e6 is a count all the same.
    """
    is_count = isinstance(value, float) and not specs.is_fraction(value)
    return int(value) if is_count and value.is_integer() else value


def learns_stores(config):
    """Whether the search of a config learns the stores of Shapeshifter."""
    rule = rule_class(config.sharing.rule)
    has_stores = issubclass(rule, ksw.sharing.Shapeshifter)
    return has_stores and config.search.pretrain_epochs > 0


def decides_ties(config):
    """Whether the search of a config decides ties, before training."""
    rule = rule_class(config.sharing.rule)
    is_refined = issubclass(rule, ksw.sharing.SuperWeights)
    searches = is_refined and config.search.pretrain_epochs > 0
    return searches and config.search.beta is not None


def rule_class(name, argument="config.sharing.rule"):
    """Returns the class of a rule: one of `RULES`, or `"package.module:Class"`.

    Refuses other names; the error says that `argument` named it.
    """
    if isinstance(name, str) and name in RULES:
        return RULES[name]
    module, _, member = str(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), member)
        if issubclass(found, ksw.sharing.Rule):
            return found
        reason = f"{member} does not derive from `sharing.Rule`"
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        reason = str(error)
    raise ValueError(
        f"`{argument}` must be one of {sorted(RULES)}, or "
        "`package.module:Class`, a rule of your own. Received: "
        f"{name!r}: {reason}."
    )


def sharing(config):
    """Returns the config's rule; with a search, the one it starts from."""
    arguments = dict(config.sharing)
    name = arguments.pop("rule", None)
    found = rule_class(name)
    keys = {"rule"} | {field.name for field in dataclasses.fields(found)}
    schema.check_keys("config.sharing", config.sharing, keys, {"rule"})
    with _section("sharing"):
        if "transforms" in arguments:
            given = arguments["transforms"]
            is_list = isinstance(given, (list, tuple))
            check_type("transforms", given, is_list, "a list of dicts")
            arguments["transforms"] = tuple(map(transform, given))
        rule = found(**arguments)
    _check_number("search.pretrain_epochs", config.search.pretrain_epochs)
    if not config.search.pretrain_epochs:
        return rule
    try:
        searched = learning.learnable if learns_stores(config) else refinable
        return searched(rule)
    except TypeError as error:
        raise ValueError(
            f"`config.sharing` is a rule that cannot be searched: {error} To "
            "train without a search, set `config.search.pretrain_epochs` to 0."
        ) from error


def transform(data):
    """Returns a transform from its data in a config: its class, arguments."""
    is_dict = hasattr(data, "keys") and "class" in data
    check_type("transforms", data, is_dict, "of dicts with a `class`")
    return Transform.from_data(dict(data))


def decoupling(config):
    """Returns a list of the callback that decouples coefficients, if any."""
    options = config.decouple
    _check_number("decouple.epoch", options.epoch, most=config.epochs)
    if options.epoch and decides_ties(config):
        raise ValueError(
            "`config.decouple.epoch` must be 0 where the search decides what "
            "is tied: decoupling begins by tying everything again. Received: "
            f"decouple.epoch={options.epoch}, search.beta="
            f"{config.search.beta}. Set `config.decouple.epoch` to 0, or, in "
            "a config's file, `config.search.beta` to None: the papers' way."
        )
    with _section("decouple"):
        callback = ksw.callbacks.CoefficientDecoupling(
            options.beta, options.epoch or 1, options.every or None
        )
    return [callback] if options.epoch else []


def optimizer(config, steps_per_epoch, num_examples):
    """Returns the config's optimizer for epochs of so many steps, examples."""
    rate = schedule(config, steps_per_epoch)
    return optimizers.build(config, rate, num_examples)


def schedule(config, steps_per_epoch):
    """Returns the learning rate; checks its section, without TensorFlow."""
    options = config.optimizer
    schema.check_choice(
        "optimizer.schedule", options.schedule, ("cosine", "steps")
    )
    epochs = config.epochs
    _check_number("epochs", epochs, least=1)
    _check_number("optimizer.warmup_epochs", options.warmup_epochs, most=epochs)
    # Keras would refuse the second one only after the run has begun.
    for name in ("learning_rate", "weight_decay"):
        check_number(f"config.optimizer.{name}", options[name])
    check_number("config.optimizer.momentum", options.momentum, most=1)
    drops, factor = options.drop_epochs, options.drop_factor
    has_steps = options.schedule == "steps"
    if has_steps != (factor is not None) or (drops and not has_steps):
        raise ValueError(
            "`config.optimizer.drop_epochs` and `drop_factor` belong to the "
            "schedule 'steps', which needs both; leave them at () and None for "
            f"'cosine'. Received: schedule={options.schedule!r}, "
            f"drop_epochs={drops}, drop_factor={factor}."
        )
    if has_steps:
        check_number("config.optimizer.drop_factor", factor)
        # A shortened recipe may drop twice at once.
        if list(drops) != sorted(e for e in drops if is_integer(e) and e >= 0):
            raise ValueError(
                "`config.optimizer.drop_epochs` must be ascending integers, "
                f"none below 0. Received: {drops}."
            )
    first, schedules = options.learning_rate, keras.optimizers.schedules
    if has_steps:
        # Keras uses a value up to and including its boundary; epoch `e` starts
        # with step `e * steps_per_epoch`.
        last_steps = [epoch * steps_per_epoch - 1 for epoch in drops]
        rates = [first * factor**number for number in range(len(drops) + 1)]
        rate = schedules.PiecewiseConstantDecay(last_steps, rates)
    else:
        rate = schedules.CosineDecay(first, epochs * steps_per_epoch)
    if options.warmup_epochs:
        steps = options.warmup_epochs * steps_per_epoch
        return ksw.schedules.LinearWarmup(rate, steps)
    return rate


def loss(config):
    """Returns cross-entropy of logits, for the pipeline's labels."""
    data = config.data
    if data.label_smoothing or data.mixup or data.cutmix:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def jit_compile(config):
    """Whether XLA compiles steps; refuses it where it cannot."""
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
    return config.jit_compile


def _check_number(name, value, least=0, most=math.inf):
    if value is None or not least <= value <= most:
        bounded = most < math.inf
        limit = f" and at most `config.epochs`, {most}" if bounded else ""
        raise ValueError(
            f"`config.{name}` must be an integer of at least {least}{limit}. "
            f"Received: {value!r}."
        )
