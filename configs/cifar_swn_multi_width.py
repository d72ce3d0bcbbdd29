"""SWN-Multi-Width: WRN-28-7, 28-4 and 28-3 in the size of the widest.

SWN, section 1.1 of the appendix: the recipe of heterogeneous ensembles
(`cifar_recipe`), for CIFAR-10 with beta 0.95.

    python -m trainers.train --config configs/cifar_swn_multi_width.py \
        --workdir runs/swn_multi_width

The paper gives no budget. 17.9M is what WRN-28-7 alone has, two thirds of the
three without sharing: narrow layers lie inside wide ones. Its results are a
curve over FLOPs, not a number; not measured here yet.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_heterogeneous_base()
    config.members = base.wide_resnets((28, 7), (28, 4), (28, 3))
    config.budget_params = 17.9e6
    if variant == "cifar10":
        config.decouple.beta = 0.95
    quick = base.wide_resnets((10, 3), (10, 2), (10, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.6)
