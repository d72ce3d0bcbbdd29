"""The recipe that the ImageNet experiments start from, and their variant.

SWN, appendix 1, and ME, appendix A.2: 90 epochs of SGD in batches of 1,024,
momentum 0.9 that is not Nesterov's, rate 1.6 times 0.1 at epochs 30, 60 and
80, after a linear warm-up of 10; weight decay 1e-4, not on batch
normalization; labels smoothed by 0.1; "standard Inception-style" images.

Those are here random parts of 8 to 100 % of the area, flipped, of 224 pixels;
the test is on the middle of images whose shorter side is 256 pixels, of the
50,000 of the split "validation".

ImageNet must lie prepared on disk, in tfds' own directory or in
`--config.data.data_dir`, on a disk without a head that moves: images are read
in a new order in every epoch. Each experiment is `configs/<file>.py`, and
`configs/<file>.py:quick` the same kind of network made tiny, which trains one
epoch on digits and needs no ImageNet.
"""

from configs import base


def get_base():
    """The recipe, without members, budget and sharing."""
    config = base.get_base()
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"
    config.data.batch_size = 1024
    config.data.size = 224
    config.data.crop = "inception"
    config.data.flip = True
    config.data.label_smoothing = 0.1

    config.optimizer.learning_rate = 1.6
    config.optimizer.nesterov = False
    config.optimizer.schedule = "steps"
    config.optimizer.drop_epochs = (30, 60, 80)
    config.optimizer.drop_factor = 0.1
    config.optimizer.warmup_epochs = 10
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decay_batch_norm = False
    config.epochs = 90
    return config


def finish(config, variant, quick_members, quick_budget_params):
    """Applies a variant and locks the config.

    Args:
        config: The experiment on ImageNet.
        variant: `""` or `"quick"`.
        quick_members: The members of the quick variant.
        quick_budget_params: The budget of the quick variant.

    Raises:
        ValueError: If there is no such variant.
    """
    if variant == "quick":
        base.shorten(config, quick_members, quick_budget_params)
    elif variant:
        raise ValueError(
            "The variant after the config's `:` must be 'quick'. "
            f"Received: {variant!r}."
        )
    return config.lock()
