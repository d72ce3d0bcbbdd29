"""Two families in one budget: MobileNetV2 and WRN-28-5.

SWN, section 3.8: trained like the heterogeneous ensembles (`cifar_recipe`).

    python -m trainers.train --config configs/cifar_families.py \
        --workdir runs/families

Across the families few layers have a window in common: the 3x3 stem of
MobileNetV2 and its 1x1 convolutions with the 3x3 convolutions and the three
shortcuts of WRN-28-5.

Not in the paper, which names neither a budget nor a beta nor the data here: its
figures are in the range of CIFAR-100. 9.1M is what WRN-28-5 alone has, 79 % of
both without sharing. Nor does it say which MobileNetV2 it trains on 32 pixels.
Here it is the one of `keras.applications`, made for 224 pixels, which halves
these images five times, to a single pixel, and has momentum 0.999 in its batch
normalization. It needs 32 pixels: in the quick variant, on digits of 8x8, a
small DenseNet-BC takes its place.

Expected (Table 4), not measured here yet:

                      accuracy     NLL    ECE
    SWN-HE              80.3 %   0.762  5.3 %
    deep ensemble       80.1 %   0.776  6.5 %
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_heterogeneous_base()
    config.members = (
        {"model": "MobileNetV2"},
        *base.wide_resnets((28, 5)),
    )
    config.budget_params = 9.1e6
    quick = (
        {"model": "densenet_bc", "depth": 10, "growth": 8},
        *base.wide_resnets((10, 1)),
    )
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.9)
