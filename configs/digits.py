from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(variant=""):
    """The experiment, or with `"quick"` one epoch of it."""
    config = ConfigDict()

    config.data = ConfigDict()
    config.data.name = "sklearn_digits"
    config.data.data_dir = placeholder(str)  # where tfds keeps its sets
    config.data.train_split = "train"
    config.data.test_split = "test"
    config.data.batch_size = 64
    config.data.pad = 1
    config.data.flip = False  # a mirrored digit is not a digit
    config.data.cutout = 0
    config.data.label_smoothing = 0.0

    config.members = (
        {"model": "wide_resnet", "depth": 16, "width": 2},
        {"model": "wide_resnet", "depth": 16, "width": 1},
        {"model": "wide_resnet", "depth": 10, "width": 2},
    )
    config.budget_params = 0.5  # up to 100 a fraction, above it a count
    config.sharing = {"rule": "SuperWeights", "clusters": "depth"}

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.schedule = "cosine"
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_batch_norm = True

    config.epochs = 20
    config.seed = 0
    config.strategy = "one_device"
    config.num_cpus = 0
    config.deterministic = True
    return config.lock()
