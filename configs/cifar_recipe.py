"""The recipe that all CIFAR experiments start from, and their variants.

SWN, appendix 1, and ME, appendix A.1: 200 epochs of SGD in batches
of 128, Nesterov momentum 0.9, rate 0.1 times 0.2 at epochs 60, 120 and 180,
weight decay 5e-4 on all but coefficients; images padded by 4, cropped,
flipped and normalised.

The papers' homogeneous ensembles see batch normalization over 64 images: they
train on two devices, each of which normalises its half of the batch. That is
`--config.strategy=mirrored` on a machine with two GPUs; on one device it is
over 128. The heterogeneous ensembles train on one device.

CIFAR must lie prepared on disk, in tfds' own directory or in
`--config.data.data_dir`. Each experiment is `configs/<file>.py` for CIFAR-100,
`configs/<file>.py:cifar10` for CIFAR-10, and `configs/<file>.py:quick` for the
same kind of ensemble made tiny, which trains one epoch on digits and needs no
CIFAR.
"""

from configs import base


def get_base():
    """The recipe, without members, budget and sharing."""
    config = base.get_base()
    config.data.name = "cifar100"
    config.data.batch_size = 128
    config.data.pad = 4
    config.data.flip = True

    config.optimizer.schedule = "steps"
    config.optimizer.drop_epochs = (60, 120, 180)
    config.optimizer.drop_factor = 0.2
    config.epochs = 200
    return config


def get_heterogeneous_base():
    """The recipe of heterogeneous ensembles: with Cutout, drops a bit sooner.

    Clusters are refined after 20 epochs of pretraining, coefficients decoupled
    after 10 of training. The size of the square is not in the papers; 16
    pixels is the value of DeVries and Taylor (2017) for CIFAR-10.
    """
    config = get_base()
    config.sharing = base.rule("SuperWeights", clusters="depth", depth_bins=4)
    config.search.pretrain_epochs = 20
    config.decouple.epoch = 10
    config.data.cutout = 16
    config.optimizer.drop_epochs = (60, 120, 160)
    return config


def wide_resnets(*sizes):
    """Members WRN-depth-width from `(depth, width)` pairs."""
    return tuple(
        {"model": "wide_resnet", "depth": depth, "width": width}
        for depth, width in sizes
    )


def finish(config, variant, quick_members, quick_budget_params):
    """Applies a variant and locks the config.

    Args:
        config: The experiment on CIFAR-100.
        variant: `""`, `"cifar10"` or `"quick"`.
        quick_members: The members of the quick variant.
        quick_budget_params: The budget of the quick variant.

    Raises:
        ValueError: If there is no such variant.
    """
    if variant == "cifar10":
        config.data.name = "cifar10"
    elif variant == "quick":
        base.shorten(config, quick_members, quick_budget_params)
    elif variant:
        raise ValueError(
            "The variant after the config's `:` must be 'cifar10' or 'quick'. "
            f"Received: {variant!r}."
        )
    return config.lock()
