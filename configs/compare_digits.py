"""What a fixed budget buys on 300 digits: sharing beside what people use.

The members of the demo, WRN-16-2, WRN-16-1 and WRN-10-2, in 30 % of their size,
and the same budget spent without sharing.

    python -m trainers.compare --config configs/compare_digits.py \
        --workdir runs/compare
"""

from configs import base
from configs import digits


def get_config(variant=""):
    """Returns the comparison; `"quick"` is one seed of two methods."""
    base.check_variant(variant, ("quick",))
    experiment = digits.get_config(variant or "few")
    experiment = experiment.unlock()
    experiment.sharing = base.rule("FairShares")
    experiment.search.pretrain_epochs = 0
    methods = {
        "one_network": {"baseline": "one_network"},
        "narrow": {"baseline": "narrow"},
        "unshared": {"baseline": "unshared"},
        "mixture": {"sharing": base.rule("MixtureEnsembles")},
        "fair_shares": {},
        "searched": {
            "sharing": base.rule("SuperWeights", clusters="depth"),
            "search": {"pretrain_epochs": 4},
        },
    }
    if variant == "quick":
        methods = {name: methods[name] for name in ("narrow", "fair_shares")}
        return base.comparison(experiment.lock(), methods, (0.6,), (0,))
    return base.comparison(experiment.lock(), methods, (0.3,))
