"""SSN-WRN-50-2: a network in 27.5 % of its parameters, on ImageNet.

NPAS, sections 3.2 and 4.3, Tables 4 and 7: WRN-50-2, all layers from one store,
mixed by embeddings. The recipe is that of SWN, appendix 1, for the same
network; NPAS names its own only as that of other authors, with Cutout.

    python -m trainers.train --config configs/imagenet_ssn.py \
        --workdir runs/imagenet_ssn

Expected: the paper's error is that of the best five answers, 6.69 % (WAvg,
`--config.sharing.mixing=wavg`: 7.38 %; a narrower network of as many
parameters: 10.08 %), where the tables here have that of the best one. Not
measured here yet.
"""

from configs import base
from configs import imagenet_recipe


def get_config(variant=""):
    config = imagenet_recipe.get_base()
    config.members = ({"model": "wide_resnet_50_2"},)
    config.budget_params = 0.275
    config.sharing = base.rule("Shapeshifter", mixing="emb")
    quick = base.wide_resnets((16, 1))
    return base.finish(config, variant, quick, quick_budget_params=0.3)
