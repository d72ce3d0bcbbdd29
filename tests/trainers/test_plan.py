"""The plan of a config, and of a model of the user's own."""

import types

import keras
import pytest

from trainers import plan

TRANSFORMER = "keras_superweights.models:transformer"
ARGUMENTS = (
    '{"num_layers": 2, "width": 81920, "num_heads": 64, '
    '"vocabulary_size": 50257}'
)


def options(**changes):
    """What the flags say, with the defaults of the program."""
    defaults = {
        "model": TRANSFORMER,
        "model_arguments": ARGUMENTS,
        "budget_params": 0.3,
        "rule": "MixtureEnsembles",
        "rule_arguments": "{}",
        "precision": "mixed_bfloat16",
    }
    return types.SimpleNamespace(**{**defaults, **changes})


def test_a_model_is_built_by_the_precision_and_allocated():
    (member,), allocation = plan._of_model(options())
    assert member.get_layer("layer0_dense1").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert 160e9 < allocation.independent_params < 180e9
    part = allocation.num_params / allocation.independent_params
    assert 0.27 < part <= 0.3
    _, other = plan._of_model(
        options(rule_arguments='{"kinds": ["dense"]}', budget_params=60e9)
    )
    assert other.budget_params == 60_000_000_000
    assert other.sharing != allocation.sharing


def no_model(size=3):
    return size


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "no.such:thing"}, "`--model`.*'no.such:thing'"),
        ({"model": "keras_superweights.models"}, "`--model`.*function"),
        ({"model": "keras_superweights.models:gpt"}, "`--model`.*gpt"),
        ({"model": ""}, "`--model`"),
        (
            {"model": f"{__name__}:no_model", "model_arguments": "{}"},
            "returns a Keras model.*returned 3",
        ),
        (
            {"model_arguments": '{"depth": 3}'},
            "`--model_arguments`.*`transformer`.*depth",
        ),
        ({"model_arguments": "{depth: 3}"}, "`--model_arguments`.*JSON"),
        ({"model_arguments": "[3]"}, "`--model_arguments`"),
        ({"rule_arguments": '{"depth": 3}'}, "`--rule_arguments`.*depth"),
        ({"budget_params": None}, "`--model` needs `--budget_params`"),
        ({"rule": None}, "`--rule`.*Shapeshifter"),
        ({"budget_params": 1e-6}, "smallest budget"),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        plan._of_model(options(**changes))
    assert keras.config.dtype_policy().name == "float32"
