"""KerasTuner, which is an extra, or what to install for it."""

try:
    import keras_tuner as keras_tuner
except ImportError as error:
    raise ImportError(
        "Tuning needs KerasTuner. Install it with "
        'pip install "keras_superweights[tuning]".'
    ) from error
