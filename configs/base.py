"""The schema: all keys of a config, with their types and defaults.

An experiment starts from it and sets what it needs; an unknown key is an
error. A value of `None` must be set, or means none where a comment says so.
`sharing` holds `rule`, the name of a rule of the library or
`package.module:Class`, and the rule's arguments; each of its `transforms`
holds `class`, such as `"RankOne"`, and its arguments. `ensemble` holds `kind`,
`"Classifier"` or `"MIMO"`, and its arguments. Each of `members` holds
`model` and the model's arguments; with `factor`, all its widths are that many
times as large, see `ksw.models.narrowed`.
"""

from ml_collections import ConfigDict
from ml_collections import FieldReference
from ml_collections.config_dict import placeholder


def get_base():
    """Returns a config without data, members, rule, schedule and epochs.

    No search and no decoupling unless an experiment asks for them; thresholds
    are the papers' for CIFAR-100 (SWN, appendix).
    """
    config = ConfigDict()

    config.data = ConfigDict()
    config.data.name = placeholder(str)
    config.data.data_dir = placeholder(str)  # none: where tfds keeps its sets
    config.data.train_split = "train"
    config.data.test_split = "test"
    config.data.validation_fraction = 0.0  # of train_split, held out
    config.data.label = "label"
    config.data.size = placeholder(int)  # none: that of the images
    config.data.batch_size = 128
    config.data.crop = placeholder(str)  # "inception", or none
    config.data.pad = 0
    config.data.flip = False
    config.data.cutout = 0
    config.data.mixup = 0.0  # alpha
    config.data.cutmix = 0.0
    config.data.label_smoothing = 0.0

    config.members = ()
    config.budget_params = 1.0  # up to 100 a fraction, above it a count
    config.sharing = ConfigDict()
    config.sharing.rule = placeholder(str)
    config.ensemble = ConfigDict()
    config.ensemble.kind = placeholder(str)  # none: the network's own
    config.one_network = False  # also train one of the same size, to compare

    config.search = ConfigDict()
    config.search.pretrain_epochs = 0  # no search
    config.search.tau = 0.1
    # None: clusters are tied, as in the papers; for decoupling to part.
    config.search.beta = FieldReference(0.9)
    config.search.sketch_size = 0  # whole gradients
    config.decouple = ConfigDict()
    config.decouple.epoch = 0  # never
    config.decouple.beta = 0.9
    config.decouple.every = 0  # once

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # "adam" or "ivon"
    config.optimizer.arguments = ConfigDict()  # others than those below
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9  # of "sgd", as the next
    config.optimizer.nesterov = True
    config.optimizer.schedule = placeholder(str)  # "steps" or "cosine"
    config.optimizer.drop_epochs = ()  # of "steps", and only of it
    config.optimizer.drop_factor = placeholder(float)
    config.optimizer.warmup_epochs = 0
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_batch_norm = True
    config.epochs = placeholder(int)

    config.seed = 0
    config.strategy = "one_device"
    config.num_cpus = 0
    config.deterministic = False
    config.precision = "float32"  # the dtype policy of the members' layers
    config.jit_compile = False  # by XLA: a small network trains in less time
    return config.lock()


def rule(name, **arguments):
    """Returns the section `sharing` of a config: a rule, its arguments."""
    return ConfigDict({"rule": name, **arguments}).lock()


def comparison(experiment, methods, budgets, seeds=(0, 1, 2)):
    """Returns what `trainers.compare` takes.

    Args:
        experiment: The config that all methods start from.
        methods: Dict from a name, of letters, digits, `_` and `.`, to what the
            method does otherwise: a dict of keys of the config, such as
            `"sharing"`, or of sections with some of their keys. With
            `"baseline"` nothing is shared: `"one_network"` is the largest
            member as wide as fits, `"narrow"` all of them narrowed until they
            fit, `"unshared"` the deep ensemble outside of any budget.
        budgets: Tuple of budgets, as `budget_params`.
        seeds: Tuple of integers. Defaults to three.
    """
    config = ConfigDict()
    config.experiment = experiment
    config.methods = methods
    config.budgets = budgets
    config.seeds = seeds
    config.corruptions = ()  # of the test images, to measure on; or ("all",)
    return config.lock()


def wide_resnets(*sizes):
    """Members WRN-depth-width from `(depth, width)` pairs."""
    return tuple(
        {"model": "wide_resnet", "depth": depth, "width": width}
        for depth, width in sizes
    )


def loaded(values):
    """Returns the config with these values; others are at their defaults."""
    config = get_base().unlock()
    config.update(values)
    return config.lock()


def completed(values):
    """Fills keys that an older run's config lacks with their defaults."""
    base = get_base().to_dict()
    search = values.get("search")
    if isinstance(search, dict) and search.get("pretrain_epochs"):
        # Searches that had no beta tied clusters.
        base["search"]["beta"] = None
    sections = {
        key: {**default, **values[key]}
        for key, default in base.items()
        if isinstance(default, dict) and isinstance(values.get(key), dict)
    }
    return {**base, **values, **sections}


def finish(config, variant, quick_members, quick_budget_params, others=()):
    """Applies the variant `"quick"`, if asked for, and locks the config.

    `quick_members` and `quick_budget_params` are those of the quick variant;
    `others` are further variants that the config has, applied before. Refuses
    any other variant.
    """
    if variant == "quick":
        _shorten(config)
        config.members = quick_members
        config.budget_params = quick_budget_params
    check_variant(variant, (*others, "quick"))
    return config.lock()


def check_variant(variant, known):
    """Refuses a variant that is neither `""` nor known."""
    if variant and variant not in known:
        raise ValueError(
            "The variant after the config's `:` must be "
            f"{' or '.join(map(repr, known))}. Received: {variant!r}."
        )


def _shorten(config):
    """Makes an experiment one epoch on digits."""
    data = config.data
    data.name = "sklearn_digits"
    data.train_split = "train[:256]"
    data.test_split = "test[:100]"
    data.batch_size = 64
    data.size = None  # 8x8
    data.pad = min(data.pad, 1)
    data.flip = False  # a mirrored digit is not a digit
    data.cutout //= 4
    config.epochs = 1
    config.optimizer.warmup_epochs = min(config.optimizer.warmup_epochs, 1)
    config.search.pretrain_epochs = min(config.search.pretrain_epochs, 1)
    config.decouple.epoch = min(config.decouple.epoch, 1)
