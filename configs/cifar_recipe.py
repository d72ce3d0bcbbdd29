"""The recipe of all CIFAR experiments, and their variants.

SWN, appendix 1, and ME, appendix A.1: 200 epochs of SGD in batches of 128,
Nesterov momentum 0.9, rate 0.1 times 0.2 at epochs 60, 120 and 180, weight
decay 5e-4 on all but coefficients; images padded by 4, cropped, flipped and
normalised.

The papers' homogeneous ensembles train on two devices, each of which
normalises its half of the batch, 64 images: `--config.strategy=mirrored` on a
machine with two GPUs. The heterogeneous ones train on one device.

CIFAR must be prepared on disk, in tfds' own directory or in
`--config.data.data_dir`. Each experiment is `configs/<file>.py` for CIFAR-100
and `configs/<file>.py:cifar10` for CIFAR-10; `configs/<file>.py:quick` trains
one epoch of a tiny ensemble of the same kind on digits and needs no CIFAR.
"""

from configs import base


def get_base():
    """Returns the recipe, without members, budget and sharing."""
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


def search(config):
    """Adds the papers' search: clusters, tied, whose coefficients decouple.

    Clusters are refined by gradient similarity (tau 0.1) after 20 epochs of
    pretraining, coefficients decoupled (beta 0.9) after 10 of training.
    """
    config.search.pretrain_epochs = 20
    config.search.beta = None
    config.decouple.epoch = 10


def get_heterogeneous_base():
    """The recipe of heterogeneous ensembles: Cutout and an earlier last drop.

    Layers of a similar depth share, as the `search` says. The papers do not
    give the size of the square; 16 pixels is the value of DeVries and Taylor
    (2017) for CIFAR-10.
    """
    config = get_base()
    config.sharing = base.rule("SuperWeights", clusters="depth", depth_bins=4)
    search(config)
    config.data.cutout = 16
    config.optimizer.drop_epochs = (60, 120, 160)
    return config


def finish(config, variant, quick_members, quick_budget_params, others=()):
    """Applies `base.finish`, and the variant `"cifar10"`."""
    if variant == "cifar10":
        config.data.name = "cifar10"
    others = (*others, "cifar10")
    return base.finish(
        config, variant, quick_members, quick_budget_params, others
    )
