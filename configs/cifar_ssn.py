"""SSN-WRN-28-10: a network in a ninth of its parameters, stores learned.

NPAS, sections 3.4 and 4, Tables 10 and 12: WRN-28-10 with the recipe of
Savarese and Maire (2019), with Cutout, in four stores that are learned in a
short pretraining; layers mix their templates by embeddings.

    python -m trainers.train --config configs/cifar_ssn.py --workdir runs/ssn

The paper does not say how long the pretraining is; 20 epochs are those of SWN.

Expected (error on CIFAR-100, Table 10): 21.31 % with 4M parameters and four
stores, 19.24 % with 36M and fourteen. Not measured here yet.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.data.cutout = 16
    config.members = base.wide_resnets((28, 10))
    config.budget_params = 4e6
    config.sharing = base.rule("Shapeshifter", mixing="emb", num_stores=4)
    config.search.pretrain_epochs = 20
    quick = base.wide_resnets((16, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.3)
