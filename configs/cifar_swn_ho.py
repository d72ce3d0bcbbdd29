"""SWN-HO: four WRN-28-10, every layer with coefficients of its own.

Seed 000, section 1.1 of the appendix: homogeneous ensembles are trained
without refining what shares; no Cutout.

    python -m trainers.train --config configs/cifar_swn_ho.py \
        --workdir runs/swn_ho
    python -m trainers.train --config configs/cifar_swn_ho.py \
        --config.budget_params=120e6 --config.sharing.clusters=position \
        --workdir runs/swn_ho_120m

The paper does not say which layers share. At 36.5M one template a position is
all that could be paid for (36.8M with the rest), which all members would have
to use as it is; so layers of a similar depth share, with more templates each.
At 120M there are three templates for the four layers of a position. 7M is
below the smallest budget of four depth bins, 9.1M.

Expected (appendix, Tables 2, 3 and 5, mean of three runs), not measured here
yet:

                budget   accuracy     NLL    ECE   diversity
    CIFAR-100    36.5M     82.2 %   0.702  2.7 %        0.78
    CIFAR-100     120M     82.9 %   0.666  2.2 %        0.85
    CIFAR-100      15M     81.3 %
    CIFAR-10     36.5M     96.3 %   0.120  0.8 %
    CIFAR-10      120M     96.6 %   0.119  0.8 %
"""

from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = 4 * cifar_recipe.wide_resnets((28, 10))
    config.budget_params = 36.5e6
    config.sharing.rule = "SuperWeights"
    config.sharing.clusters = "depth"
    return cifar_recipe.finish(
        config,
        variant,
        quick_members=3 * cifar_recipe.wide_resnets((10, 1)),
        quick_budget_params=0.5,
    )
