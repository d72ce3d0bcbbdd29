"""What `config.precision` and `config.jit_compile` change in a run."""

import keras
import pytest

import keras_superweights as ksw
from trainers import evaluate
from trainers.phases import experiment
from trainers.phases.training import train


@pytest.fixture
def compile_options(monkeypatch):
    """The arguments of all calls of `compile`; XLA itself is left out."""
    options = []
    compile_network = ksw.SuperWeightNetwork.compile

    def keep(network, *args, **kwargs):
        options.append(kwargs)
        compile_network(network, *args, **{**kwargs, "jit_compile": False})

    monkeypatch.setattr(ksw.SuperWeightNetwork, "compile", keep)
    return options


def test_precision_and_compilation_reach_search_training_and_evaluation(
    tiny_config, tmp_path, compile_options, no_figures
):
    tiny_config.members = tiny_config.members[:1]
    tiny_config.budget_params = 0.95
    tiny_config.search.pretrain_epochs = 1
    tiny_config.data.train_split = "train[:128]"
    tiny_config.epochs = 1
    tiny_config.precision = "mixed_bfloat16"
    tiny_config.jit_compile = True
    metrics = train(tiny_config, tmp_path)
    assert [each["jit_compile"] for each in compile_options] == [True, True]
    # The next run of this process finds what this one has found.
    assert keras.config.dtype_policy().name == "float32"
    network = keras.saving.load_model(tmp_path / "model.keras")
    names = [layer.dtype_policy.name for layer in network.members[0].layers]
    assert names[1:-1] == ["mixed_bfloat16"] * len(names[1:-1])
    assert names[-1] == "float32"  # the head
    found = evaluate.evaluate(tmp_path)
    assert found["accuracy"] == pytest.approx(metrics["accuracy"])


def test_the_policy_is_restored_when_members_are_refused(tiny_config):
    tiny_config.precision = "mixed_float16"
    tiny_config.members = (
        {"model": "wide_resnet", "depth": 11, "width": 1, "name": "wrong"},
    )
    with pytest.raises(ValueError, match="depth=11"):
        experiment.members(tiny_config)
    assert keras.config.dtype_policy().name == "float32"
