"""SWN-HE: WRN-34-8, 28-12, 28-10 and 28-8 in the size of one WRN-28-10.

Seed 000, sections 1.1 and 3.6 of the appendix: layers of a similar depth
share. The paper refines these clusters by gradient similarity (tau 0.1) and
unties coefficients in training; here every layer has its own from the start.

    python -m trainers.train --config configs/cifar_swn_he.py \
        --workdir runs/swn_he

Expected (appendix, Tables 3 and 5, with the refinement), not measured here
yet:

                budget   accuracy     NLL    ECE
    CIFAR-100    36.5M     82.4 %   0.663  3.0 %
    CIFAR-100      15M     81.6 %
    CIFAR-10     36.5M     96.5 %   0.115  0.8 %
"""

from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_heterogeneous_base()
    config.members = cifar_recipe.wide_resnets(
        (34, 8), (28, 12), (28, 10), (28, 8)
    )
    config.budget_params = 36.5e6
    config.sharing.rule = "SuperWeights"
    config.sharing.clusters = "depth"
    return cifar_recipe.finish(
        config,
        variant,
        quick_members=cifar_recipe.wide_resnets(
            (16, 1), (10, 3), (10, 2), (10, 1)
        ),
        quick_budget_params=0.5,
    )
