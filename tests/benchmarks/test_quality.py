"""The comparison of ways to share: its runs, cache and summary."""

import json
import statistics

import numpy as np
import pytest

from benchmarks.quality import __main__ as quality
from benchmarks.quality import run
from benchmarks.quality import summary
from benchmarks.quality.regimes import REGIMES
from benchmarks.quality.regimes import Regime
from benchmarks.quality.variants import VARIANTS
from keras_superweights.models.narrowing import count
from trainers.phases import experiment


def write(results, regime, variant, seed, **figures):
    path = summary.path_of(results, regime, variant, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    measures = {"accuracy": 0.5, "nll": 1.0, "ece": 0.1, "diversity": 0.5}
    path.write_text(
        json.dumps(
            measures
            | {"member_accuracy": [0.4, 0.4], "member_nll": [1.2, 1.2]}
            | {"params": 10, "seconds": 1.0}
            | figures
        )
    )


def test_one_network_and_the_deep_ensemble_are_the_ends_of_the_gain(tmp_path):
    for seed, shift in enumerate((0.0, 0.02)):
        deep = {
            "member_accuracy": [0.60, 0.62 + shift],
            "member_nll": [1.0, 1.1],
            "accuracy": 0.65 + shift,
            "nll": 0.9,
        }
        write(tmp_path, "B", "independent", seed, **deep)
        write(tmp_path, "B", "mixture", seed, accuracy=0.64 + shift, nll=0.95)
    table = summary.Table(tmp_path, "B", ["independent", "mixture"], [0, 1])
    assert table.gain("independent", "nll") == pytest.approx(1)
    one = statistics.mean([0.61, 0.62])
    by_hand = (0.65 - one) / (0.66 - one)
    assert table.gain("mixture", "accuracy") == pytest.approx(by_hand)
    assert table.gain("mixture", "nll") == pytest.approx(0.1 / 0.15)
    assert "67%" in str(table).splitlines()[-1]
    assert "0.6500 ±0.0141" in str(table).splitlines()[-1]
    _, *lines = str(table).splitlines()
    assert len(set(map(len, lines))) == 1  # columns end below their heads
    table.draw(tmp_path / "B.png")
    assert (tmp_path / "B.png").read_bytes().startswith(b"\x89PNG")


def test_standardized_kernels_are_compared_with_such(tmp_path):
    names = ["independent", "mixture-ws", "independent-ws"]
    write(tmp_path, "B", "independent", 0)
    write(tmp_path, "B", "mixture-ws", 0, nll=0.9)
    table = summary.Table(tmp_path, "B", names, [0])
    assert table.gain("mixture-ws", "nll") is None
    write(tmp_path, "B", "independent-ws", 0, nll=0.8)
    table = summary.Table(tmp_path, "B", names, [0])
    assert table.gain("mixture-ws", "nll") == pytest.approx(0.3 / 0.4)


def test_a_variant_without_all_seeds_is_left_out(tmp_path):
    write(tmp_path, "C", "independent", 0)
    write(tmp_path, "C", "independent", 1)
    write(tmp_path, "C", "depth", 1)
    table = summary.Table(tmp_path, "C", ["independent", "depth"], [0, 1])
    assert list(table.rows) == ["independent"]


def test_only_what_is_not_there_is_trained(tmp_path, monkeypatch):
    write(tmp_path, "B", "mixture", 0)
    started = []
    monkeypatch.setattr(quality, "train", lambda runs, *_: started.extend(runs))
    arguments = ["--regimes", "B", "B-half", "--seeds", "0", "1"]
    arguments += ["--variants", "independent", "mixture"]
    monkeypatch.setattr(
        "sys.argv", ["quality", *arguments, "--results", str(tmp_path)]
    )
    quality.main()
    assert [each[:3] for each in started] == [
        ("B", "independent", 0),  # and not once more for B-half
        ("B-half", "mixture", 0),
        ("B", "independent", 1),
        ("B", "mixture", 1),
        ("B-half", "mixture", 1),
    ]


@pytest.mark.parametrize("name", ["A", "single"])
def test_every_variant_keeps_the_budget_of_every_regime(name):
    regime = REGIMES[name]
    config = regime.config(seed=0)
    members = experiment.members(config)
    budget = regime.budget_params(members)
    assert budget == round(regime.budget * count(members))
    untrained = set(regime.variants or VARIANTS)
    for variant in untrained:
        plain = variant.removesuffix("-ws")
        if plain in ("independent", "searched", "parted"):
            continue
        trained, allocation, _ = VARIANTS[variant](regime, config, members)
        assert allocation.num_params <= budget, variant
        assert len(trained) == (1 if plain == "one" else len(members))
        names = {type(each).__name__ for each in allocation.transforms}
        assert ("Standardized" in names) == (plain != variant)


@pytest.mark.usefixtures("eager")
def test_a_run_is_trained_and_kept(tmp_path, monkeypatch):
    """The variant with a search, which does what all others do as well."""
    tiny = _Tiny("two on a batch", ((10, 1),) * 2, 0.7, num_images=None)
    monkeypatch.setitem(REGIMES, "A", tiny)
    path = summary.path_of(tmp_path, "A", "parted", 0)
    run.run("A", "parted", 0, path)
    figures = summary.read(tmp_path, "A", "parted", 0)
    assert np.isfinite([figures["accuracy"], figures["member nll"]]).all()
    assert figures["params"] <= REGIMES["A"].budget_params(
        experiment.members(tiny.config(0))
    )


class _Tiny(Regime):
    """A batch of digits, once."""

    def config(self, seed, data_dir=None):
        config = super().config(seed, data_dir)
        config.data.train_split = "train[:32]"
        config.data.test_split = "test[:20]"
        config.epochs = 1
        return config
