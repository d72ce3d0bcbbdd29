"""The table of bad arguments: models, networks, allocations, rules, parts."""

import keras_superweights as ksw
from keras_superweights import allocation
from keras_superweights import parts

LEARNING = {
    "weight_decay": (0.0, "amount"),
    "decay_batch_norm": (True, "flag"),
    "ensemble": (None, "kind?"),
}
_OF_RULE = {
    "kinds": (None, "texts?"),
    "exclude": ((), "texts"),
    "transforms": ((), "parts"),
}
_IMAGE = {
    "num_classes": (3, "count"),
    "input_shape": ((32, 32, 3), "shape"),
}


def fill(row, given):
    """Adds rows; `given` holds valid values, see `Given`."""
    models = ksw.models
    row(models.wide_resnet, depth=(10, "count"), width=(1, "count"), **_IMAGE)
    row(models.densenet_bc, depth=(10, "count"), growth=(4, "count"), **_IMAGE)
    row(models.vgg11, **_IMAGE)
    row(models.wide_resnet_50_2, **_IMAGE)
    row(
        models.transformer,
        num_layers=(1, "count"),
        width=(4, "count"),
        num_heads=(2, "count"),
        vocabulary_size=(7, "count"),
        context=(8, "count"),
    )
    row(
        models.gru_sentence_encoder,
        vocabulary_size=(7, "count"),
        units=(4, "count"),
        word_size=(4, "count"),
        embedding_size=(None, "count?"),
    )
    row(
        models.narrowed, model=(given.member, "model"), factor=(0.5, "positive")
    )
    row(models.fitted, models=(given.member, "models"), params=(40, "count"))

    row(
        ksw.allocate,
        members=(given.pair, "models"),
        budget_params=(0.9, "budget"),
        sharing=(None, "rule?"),
    )
    row(
        ksw.share,
        model=(given.member, "model"),
        budget_params=(0.9, "budget"),
        sharing=(None, "rule?"),
        strict=(False, "flag"),
        initialize=("fresh", "choice"),
        **LEARNING,
    )
    row(
        ksw.SuperWeightNetwork,
        members=(given.pair, "models"),
        budget_params=(0.9, "budget?"),
        sharing=(None, "rule?"),
        initialize=("fresh", "choice"),
        **LEARNING,
    )
    row(
        ksw.SuperWeightNetwork,
        "SuperWeightNetwork of an allocation",
        members=(given.pair, "models"),
        allocation=(given.allocation, "allocation?"),
    )
    row(
        lambda ties: given.network().set_ties(ties),
        "SuperWeightNetwork.set_ties",
        ties=(given.ties, "ties"),
    )
    row(
        lambda recorder: given.network().record_gradients(recorder),
        "SuperWeightNetwork.record_gradients",
        recorder=(None, "network?"),
    )

    row(ksw.Allocation.from_json, text=(given.allocation.to_json(), "text"))
    row(
        ksw.Allocation,
        members=(given.allocation.members, "kernel"),
        banks=(given.allocation.banks, "kernel"),
        superweights=(given.allocation.superweights, "kernel"),
        budget_params=(given.allocation.budget_params, "count"),
        transforms=((), "parts"),
        sharing=("", "text"),
        note=("", "text"),
    )
    row(
        given.allocation.with_ties,
        "Allocation.with_ties",
        ties=(given.ties, "ties"),
    )
    row(
        allocation.KernelSpec,
        member=(0, "integer"),
        layer=("l", "text"),
        shape=((3, 4), "sides"),
        weight=("kernel", "text"),
        kind=("dense", "choice"),
        fan_in=(3, "integer"),
    )
    row(
        allocation.MemberSpec,
        name=("m", "text"),
        kernels=(given.spec.kernels, "kernel"),
        other_params=(3, "index"),
        unshared=((), "kernel"),
    )
    row(allocation.BankSpec, name=("b", "text"), size=(3, "count"))
    row(
        allocation.SuperWeight,
        bank=(0, "integer"),
        kernels=((0,), "indices"),
        geometry=(parts.Flat(4), "kernel"),
        mixing=(parts.Plain(), "kernel"),
        num_templates=(1, "integer"),
        first=(0, "integer"),
    )
    row(
        allocation.resolve_budget,
        budget_params=(0.5, "budget"),
        members=([given.spec], "kernel"),
    )
    for part in (parts.Flat, parts.Mask, parts.Repeat, parts.Bilinear):
        row(part, length=(4, "count"))
    for part in (parts.Mask, parts.RankOne, parts.Standardized):
        valid = {"length": 4} if part is parts.Mask else {}
        row(
            lambda kernels, part=part, valid=valid: part(
                kernels=kernels, **valid
            ),
            f"parts.{part.__name__}",
            kernels=((), "indices"),
        )
    row(parts.RankOne, start=("signs", "choice"))
    row(
        parts.Region,
        window=((), "sides"),
        rectangles=(((0, 3, 0, 4),), "kernel"),
    )
    row(
        parts.WeightedSum,
        ties=((0, 1), "indices"),
        choices=(((0,), (1,)), "indices"),
    )
    row(parts.Embedded, ties=((0, 1), "indices"))

    sharing = ksw.sharing
    row(sharing.Independent, **_OF_RULE)
    row(sharing.FairShares, rank_one=(True, "flag"), **_OF_RULE)
    row(
        sharing.HardSharing,
        layers=("all", "choice"),
        scope=("network", "choice"),
        **_OF_RULE,
    )
    row(
        sharing.MixtureEnsembles,
        max_templates=(5, "count"),
        disjoint=(False, "flag"),
        mix_single_layers=(False, "flag"),
        **_OF_RULE,
    )
    row(
        sharing.Shapeshifter,
        mixing=("wavg", "choice"),
        max_templates=(8, "count"),
        upsampling=("mask", "choice"),
        stores=("single", "stores"),
        num_stores=(4, "count"),
        seed=(0, "index"),
        **_OF_RULE,
    )
    row(sharing.SoftSharing, max_templates=(None, "count?"), **_OF_RULE)
    row(
        sharing.SuperWeights,
        clusters=("depth", "choice"),
        depth_bins=(4, "count"),
        tied=(False, "flag"),
        max_templates=(None, "count?"),
        **_OF_RULE,
    )
    row(
        sharing.default_rule,
        members=([given.spec], "kernel"),
        budget_params=(1000, "count"),
    )
    for rule in (sharing.SuperWeights(), sharing.Shapeshifter()):
        row(
            rule.allocate,
            f"{type(rule).__name__}.allocate",
            members=([given.spec], "kernel"),
            budget_params=(1000, "count"),
        )
