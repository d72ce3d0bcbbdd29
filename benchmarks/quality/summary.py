"""What the runs of a regime say together: a table and a picture."""

import json
import statistics

from benchmarks.comparing import table
from benchmarks.quality.regimes import REGIMES
from benchmarks.quality.regimes import SAME_UNSHARED
from keras_superweights.figures import style


def deep_ensemble(variant):
    """Returns the deep ensemble that is trained as a variant is."""
    return "independent-ws" if variant.endswith("-ws") else "independent"


def path_of(results, regime, variant, seed):
    """Returns the file that a run's figures are kept in.

    Members that share nothing are the same in regimes of other budgets.
    """
    if variant == deep_ensemble(variant):
        regime = SAME_UNSHARED.get(regime, regime)
    return results / regime / f"{variant}-{seed}.json"


def read(results, regime, variant, seed):
    """Returns a run's figures, or None if it was not trained yet."""
    path = path_of(results, regime, variant, seed)
    if not path.exists():
        return None
    figures = json.loads(path.read_text())
    for measure in ("accuracy", "nll"):
        each = figures.pop(f"member_{measure}")
        figures[f"member {measure}"] = statistics.mean(each)
    return figures


class Table:
    """The figures of all variants of a regime that have every seed.

    One network is the mean member of `independent`: a network that shares
    nothing, trained on the same images in the same order. Standardized kernels
    are compared with the standardized ones of `independent-ws`.
    """

    MEASURES = (
        "accuracy",
        "nll",
        "ece",
        "member accuracy",
        "member nll",
        "diversity",
    )

    def __init__(self, results, regime, variants, seeds):
        self.regime = regime
        self.seeds = seeds
        self.rows = {}
        for variant in variants:
            runs = [read(results, regime, variant, seed) for seed in seeds]
            if None not in runs:
                self.rows[variant] = {
                    name: [run[name] for run in runs] for name in runs[0]
                }

    def gain(self, variant, measure):
        """Returns the share of the deep ensemble's gain that is reached."""
        deep = self.rows.get(deep_ensemble(variant))
        if deep is None:
            return None
        one = statistics.mean(deep[f"member {measure}"])
        gain = statistics.mean(deep[measure]) - one
        return (statistics.mean(self.rows[variant][measure]) - one) / gain

    def __str__(self):
        title = (
            f"{self.regime}: {REGIMES[self.regime].says}; seeds "
            f"{', '.join(map(str, self.seeds))}"
        )
        rows = {
            variant: {
                "params": figures["params"],
                **{measure: figures[measure] for measure in self.MEASURES},
                "accuracy's gain": self._percent(variant, "accuracy"),
                "NLL's gain": self._percent(variant, "nll"),
            }
            for variant, figures in self.rows.items()
        }
        return f"{title}\n{table(rows) if rows else 'no runs yet'}"

    def _percent(self, variant, measure):
        gain = self.gain(variant, measure)
        return "-" if gain is None else f"{gain:.0%}"

    def draw(self, path):
        """Draws accuracy and NLL: a dot per seed, a line at the mean."""
        if not self.rows:
            return
        names = list(self.rows)
        figure = style.new_figure(9, 1.4 + 0.3 * len(names))
        figure.suptitle(f"{self.regime}: {REGIMES[self.regime].says}")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, measure in zip(axes, ("accuracy", "nll"), strict=True):
            style.tidy(axis)
            axis.set_xlabel(f"test {style.METRIC_LABELS[measure]}")
            axis.locator_params(axis="x", nbins=5)
            for row, name in enumerate(names):
                values = self.rows[name][measure]
                axis.plot(values, [row] * len(values), "o", color=style.BLUE)
                axis.plot(
                    statistics.mean(values), row, "|", color=style.INK, ms=14
                )
            if "independent" in self.rows:
                deep = self.rows["independent"]
                for label, color, key in (
                    ("one network", style.GREY, f"member {measure}"),
                    ("deep ensemble", style.RED, measure),
                ):
                    axis.axvline(
                        statistics.mean(deep[key]), color=color, label=label
                    )
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        style.legend_beside(axes[1])
        figure.savefig(path)
