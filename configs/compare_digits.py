"""What a fixed budget buys on 300 digits: sharing beside what people use.

Three WRN-16-1 of 174,778 parameters each in 190,000, a little more than one of
them, which the vectors and batch norms of BatchEnsemble need; and the same
budget spent without sharing.

    python -m trainers.compare --config configs/compare_digits.py \
        --workdir runs/compare

Measured with seeds 0, 1 and 2 on 500 test images, where one is 0.2 %, in 12
minutes on two CPU cores; accuracy and NLL, the best NLL first:

    fair_shares     94.3 %  0.232    shared, 185,442 parameters
    unshared        94.5 %  0.241    the deep ensemble, 524,334
    narrow          93.8 %  0.246
    mixture         94.5 %  0.250
    searched        94.0 %  0.255
    batch_ensemble  92.6 %  0.315
    one_network     93.1 %  0.321
    mimo            88.3 %  0.499
"""

from configs import base
from configs import digits


def get_config(variant=""):
    """Returns the comparison; `"quick"` is one seed of two methods."""
    base.check_variant(variant, ("quick",))
    experiment = digits.get_config(variant or "few").unlock()
    experiment.members = base.wide_resnets((16, 1), (16, 1), (16, 1))
    experiment.sharing = base.rule("FairShares")
    experiment.search.pretrain_epochs = 0
    mimo = {"kind": "MIMO", "num_members": 3}
    methods = {
        "one_network": {"baseline": "one_network"},
        "narrow": {"baseline": "narrow"},
        "unshared": {"baseline": "unshared"},
        "mimo": {"baseline": "one_network", "ensemble": mimo},
        "batch_ensemble": {"sharing": base.rule("BatchEnsemble")},
        "mixture": {"sharing": base.rule("MixtureEnsembles")},
        "fair_shares": {},
        "searched": {
            "sharing": base.rule("SuperWeights", clusters="depth"),
            "search": {"pretrain_epochs": 4},
        },
    }
    if variant == "quick":
        methods = {name: methods[name] for name in ("narrow", "fair_shares")}
        return base.comparison(experiment.lock(), methods, (190_000.0,), (0,))
    return base.comparison(experiment.lock(), methods, (190_000.0,))
