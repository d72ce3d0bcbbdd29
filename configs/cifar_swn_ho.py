"""SWN-HO: four WRN-28-10, every layer with coefficients of its own.

SWN, section 1.1 of the appendix: homogeneous ensembles are trained
without refining what shares; no Cutout. With the search, the variant
`searched`, they are the "SWN-Gradient Conflict" of Table 3.

    python -m trainers.train --config configs/cifar_swn_ho.py \
        --workdir runs/swn_ho
    python -m trainers.train --config configs/cifar_swn_ho.py \
        --config.budget_params=120e6 --config.sharing.clusters=position \
        --workdir runs/swn_ho_120m
    python -m trainers.train --config configs/cifar_swn_ho.py:searched \
        --config.budget_params=15e6 --workdir runs/swn_ho_searched_15m
    python -m trainers.train --config configs/cifar_swn_ho.py:searched \
        --config.budget_params=7e6 --config.sharing.depth_bins=3 \
        --workdir runs/swn_ho_searched_7m

The paper does not say which layers share. At 36.5M one template a position is
all that could be paid for (36.8M with the rest), which all members would have
to use as it is; so layers of a similar depth share, with more templates each.
At 120M there are three templates for the four layers of a position. 7M is
impossible for four depth bins, which need 9.1M (CIFAR-10: 8.9M); three need
5.4M (5.2M), one 4.2M (4.0M).

Expected (appendix, Tables 2, 3 and 5, mean of three runs), not measured here
yet:

                budget   accuracy     NLL    ECE   diversity
    CIFAR-100    36.5M     82.2 %   0.702  2.7 %        0.78
    CIFAR-100     120M     82.9 %   0.666  2.2 %        0.85
    CIFAR-100      15M     81.3 %                          searched 81.4 %
    CIFAR-100       7M     79.2 %                          searched 80.1 %
    CIFAR-10     36.5M     96.3 %   0.120  0.8 %
    CIFAR-10      120M     96.6 %   0.119  0.8 %
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = 4 * base.wide_resnets((28, 10))
    config.budget_params = 36.5e6
    config.sharing = base.rule("SuperWeights", clusters="depth", depth_bins=4)
    if variant == "searched":
        cifar_recipe.search(config)
    quick = 3 * base.wide_resnets((10, 1))
    return cifar_recipe.finish(config, variant, quick, 0.5, ("searched",))
