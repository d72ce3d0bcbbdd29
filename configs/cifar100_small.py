"""Three WRN-16-2 in the size of one, on a part of CIFAR-100, for two cores.

What the search adds, small enough to be measured on any machine: 2,500
training images, 20 epochs, the CIFAR recipe (SWN, section 1) with a cosine
schedule and smaller batches. In a WRN-10 no two layers have one shape, so that
at the size of one network nothing but copies could be shared; in a WRN-16
there are three of each.

    python -m trainers.train --config configs/cifar100_small.py \
        --config.data.data_dir=DIR --workdir runs/cifar100_small

At this length members that begin tied stay copies of one another: with the
search 14.8 % (±1.0, three seeds) right and NLL 3.693; without, every kernel
with coefficients of its own from the beginning, 17.1 % and 3.583; one network
18.0 % and 3.562; three that share nothing 20.0 % and 3.404. `python -m
benchmarks.quality` compares the ways of sharing on fewer classes.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.data.train_split = "train[:2500]"
    config.data.batch_size = 32
    config.members = base.wide_resnets((16, 2), (16, 2), (16, 2))
    config.budget_params = 703284.0  # a WRN-16-2 for 100 classes
    config.sharing = base.rule("SuperWeights", clusters="depth")
    config.search.pretrain_epochs = 2
    config.search.beta = None  # the papers' way
    config.decouple.epoch = 1
    config.optimizer.drop_epochs = ()
    config.optimizer.drop_factor = None
    config.optimizer.schedule = "cosine"
    config.epochs = 20
    quick = base.wide_resnets((16, 1), (10, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.7)
