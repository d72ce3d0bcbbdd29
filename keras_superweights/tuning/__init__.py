"""Tuning budgets and thresholds with KerasTuner."""

from keras_superweights.tuning.space import Space as Space


def __getattr__(name):
    # KerasTuner is an extra: imported when it is first asked for (PEP 562).
    if name == "HyperModel":
        from keras_superweights.tuning.hypermodel import HyperModel

        return HyperModel
    if name == "make_oracle":
        from keras_superweights.tuning.oracles import make_oracle

        return make_oracle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
