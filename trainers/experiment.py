"""From a config to what it describes: data, members, sharing, training."""

import contextlib

import keras

import keras_superweights as ksw
from keras_superweights.allocation import resolve_budget
from keras_superweights.datasets import ImagePipeline
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.schedules import LinearWarmup
from keras_superweights.search.recording import check_sketch_size
from trainers.settings import APPLICATIONS
from trainers.settings import MODELS
from trainers.settings import RULES

# By set and label `(image_shape, num_classes)`, so that a plan needs no file of
# these sets.
_IMAGES = {
    ("cifar10", "label"): ((32, 32, 3), 10),
    ("cifar100", "label"): ((32, 32, 3), 100),
    ("cifar100", "coarse_label"): ((32, 32, 3), 20),
    ("fashion_mnist", "label"): ((28, 28, 1), 10),
    ("imagenet2012", "label"): ((None, None, 3), 1000),
    ("sklearn_digits", "label"): ((8, 8, 1), 10),
}


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
    image_shape, num_classes = _images(config)

    def builder(model, **arguments):
        if model in APPLICATIONS:
            arguments |= {
                "classes": num_classes,
                "weights": None,
                "classifier_activation": None,
            }
        else:
            arguments["num_classes"] = num_classes
        return lambda: MODELS[model](input_shape=image_shape, **arguments)

    with policy(config.precision):
        return skeletons([builder(**member) for member in config.members])


@contextlib.contextmanager
def policy(name):
    """Models built inside compute by this dtype policy; then it is as before.

    A network takes it over from its members. A run must not leave it to the
    next one in the process.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _images(config):
    """`(image_shape, num_classes)` of the config's data."""
    data = config.data
    image_shape, num_classes = _IMAGES.get(
        (data.name, data.get("label", "label")), (None, None)
    )
    if image_shape and data.get("size"):
        image_shape = (data.size, data.size, image_shape[-1])
    if image_shape and None not in image_shape:
        return image_shape, num_classes
    images = pipeline(config)
    return images.image_shape, images.num_classes


def allocate(config, members):
    """The allocation of the members inside the config's budget.

    With a search, the one that it starts from: every cluster tied, or all in
    one store.
    """
    budget = as_budget(config.budget_params)
    rule = sharing(config)
    if learns_stores(config):
        specs = describe(members)
        return rule.allocate_pretraining(specs, resolve_budget(budget, specs))
    allocation = ksw.allocate(members, budget, rule)
    if config.search.pretrain_epochs:
        check_sketch_size(allocation, config.search.sketch_size or None)
    return allocation


def as_budget(value):
    """A budget as the library takes it, which refuses what is none.

    A flag has the type of the value it replaces, here a float: 36.5e6 is a
    count nevertheless.
    """
    is_count = isinstance(value, float) and value > 100 and value.is_integer()
    return int(value) if is_count else value


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
    """SGD with the config's schedule, whose epochs have so many steps."""
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
    if options.warmup_epochs:
        rate = LinearWarmup(rate, options.warmup_epochs * steps_per_epoch)
    return keras.optimizers.SGD(
        rate, momentum=options.momentum, nesterov=options.nesterov
    )


def loss(config):
    """Cross-entropy of logits, for the labels that the pipeline gives."""
    if any(map(config.data.get, ("label_smoothing", "mixup", "cutmix"))):
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
