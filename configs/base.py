"""The keys that every config has, at the values that ask for the least."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_base():
    """A config without data, members, sharing and schedule.

    No search and no decoupling unless an experiment says so; thresholds are
    the papers' for CIFAR-100 (SWN, appendix).
    """
    config = ConfigDict()

    config.data = ConfigDict()
    config.data.data_dir = placeholder(str)  # where tfds keeps its sets
    config.data.train_split = "train"
    config.data.test_split = "test"
    config.data.validation_fraction = 0.0  # of train_split, held out
    config.data.label = "label"
    config.data.size = placeholder(int)  # that of the images
    config.data.crop = placeholder(str)  # "inception"
    config.data.mixup = 0.0  # alpha
    config.data.cutmix = 0.0

    config.members = ()
    config.budget_params = 1.0  # up to 100 a fraction, above it a count
    config.sharing = ConfigDict()

    config.search = ConfigDict()
    config.search.pretrain_epochs = 0
    config.search.tau = 0.1
    config.search.sketch_size = 0  # whole gradients
    config.decouple = ConfigDict()
    config.decouple.epoch = 0
    config.decouple.beta = 0.9
    config.decouple.every = 0  # once

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.warmup_epochs = 0
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_batch_norm = True

    config.seed = 0
    config.strategy = "one_device"
    config.num_cpus = 0
    config.deterministic = False
    config.precision = "float32"  # the dtype policy of the members' layers
    config.jit_compile = False  # by XLA: a small network trains in less time
    return config


def shorten(config, members, budget_params):
    """Makes an experiment one epoch of tiny networks on digits.

    Args:
        config: The experiment, changed in place.
        members: What takes the place of its members.
        budget_params: Their budget.
    """
    data = config.data
    data.name = "sklearn_digits"
    data.train_split = "train[:256]"
    data.test_split = "test[:100]"
    data.batch_size = 64
    data.size = None  # 8x8
    data.pad = min(data.pad, 1)
    data.flip = False  # a mirrored digit is not a digit
    data.cutout //= 4
    config.members = members
    config.budget_params = budget_params
    config.epochs = 1
    config.optimizer.warmup_epochs = min(config.optimizer.warmup_epochs, 1)
    config.search.pretrain_epochs = min(config.search.pretrain_epochs, 1)
    config.decouple.epoch = min(config.decouple.epoch, 1)
