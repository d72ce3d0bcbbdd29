"""The table of bad arguments: search, measures, figures, data, tuning."""

import keras
import numpy as np

import keras_superweights as ksw
from benchmarks.attack.building import LEARNING
from keras_superweights import anytime
from keras_superweights import datasets
from keras_superweights import figures

_SHARDS = {"num_shards": (1, "count"), "shard": (0, "index")}


def fill(row, given):
    """Adds rows; `given` holds valid values, see `Given`."""
    pretraining = {
        "members": (given.pair, "models"),
        "data": (given.batches, "batches"),
        "verbose": (0, None),
        "budget_params": (0.9, "budget?"),
        "sharing": (None, "rule?"),
        **LEARNING,
        "pretrain_epochs": (1, "count"),
        "steps_per_epoch": (2, "count?"),
        "optimizer": (None, "optimizer?"),
        "loss": (None, "loss?"),
        "callbacks": ([], "callbacks"),
        "initial_epoch": (0, "index"),
    }
    measured = {
        "probabilities": (given.probabilities, "probabilities"),
        "labels": (given.labels, "labels"),
    }
    row(
        ksw.callbacks.CoefficientDecoupling,
        beta=(0.9, "threshold"),
        epoch=(10, "count"),
        every=(None, "count?"),
    )
    row(
        ksw.callbacks.SharingInspector,
        log_dir=("logs", "path"),
        figures_dir=(None, "path?"),
        refinement=(None, "allocation?"),
        every=(1, "count"),
        diagnose=(False, "flag"),
    )
    row(
        ksw.callbacks.write_figures,
        log_dir=("logs", "path"),
        figures=({}, "dict"),
        step=(1, "index"),
        figures_dir=(None, "path?"),
    )
    row(
        ksw.schedules.LinearWarmup,
        schedule=(given.schedule, "function"),
        warmup_steps=(4, "count"),
    )
    row(
        ksw.planning.plan_training,
        members=(given.pair, "models"),
        allocation=(given.allocation, "allocation"),
        optimizer=("sgd", "optimizer"),
        num_workers=(1, "count"),
    )
    row(
        given.plan.shared.exchanged,
        "TrainingMemory.exchanged",
        num_workers=(2, "count"),
    )

    row(
        ksw.search.find_clusters,
        tau=(0.1, "threshold"),
        beta=(0.9, "threshold?"),
        sketch_size=(None, "count?"),
        **pretraining,
    )
    row(ksw.search.learn_stores, seed=(0, "index"), **pretraining)
    row(
        ksw.search.refine,
        measured=(given.measured, "kernel"),
        sharing=(None, "rule?"),
        tau=(0.1, "threshold"),
        beta=(0.9, "threshold?"),
    )
    row(
        ksw.search.GradientRecorder,
        generator=(given.network().generator, "kernel"),
        weights=(True, "flag"),
        sketch_size=(None, "count?"),
        seed=(0, "index"),
    )

    row(
        anytime.measure_latency,
        network=([given.member], "network"),
        batch_size=(1, "count"),
        num_repeats=(1, "count"),
    )
    row(
        anytime.AnytimePredictor,
        network=([given.member], "network"),
        anytime=(given.anytime, "table"),
    )
    predictor = anytime.AnytimePredictor([given.member], given.anytime)
    row(predictor.choose, "AnytimePredictor.choose", flops=(10, "amount?"))
    row(
        predictor.choose,
        "AnytimePredictor.choose",
        milliseconds=(10, "amount"),
    )
    row(
        predictor.answers,
        "AnytimePredictor.answers",
        inputs=(np.zeros((2, 4)), "batches"),
        flops=(10**9, "amount"),
    )

    metrics = ksw.metrics
    for function in (metrics.accuracy, metrics.negative_log_likelihood):
        row(function, **measured)
    row(metrics.evaluate_probabilities, **measured)
    for function in (
        metrics.calibration_bins,
        metrics.expected_calibration_error,
        figures.reliability,
    ):
        row(function, num_bins=(15, "count"), **measured)
    row(
        metrics.diversity,
        member_probabilities=([given.probabilities] * 2, "probabilities"),
        labels=(given.labels, "labels"),
    )
    row(
        metrics.ensemble_probabilities,
        member_logits=(given.logits, "logits"),
    )
    row(
        metrics.evaluate_members,
        member_logits=(given.logits, "logits"),
        labels=(given.labels, "labels"),
        flops=([1, 2], "numbers"),
        milliseconds=(None, "numbers?"),
    )
    row(
        metrics.best_within,
        points=(given.anytime, "rows"),
        cost=("flops", "choice"),
        quality=("accuracy", "choice"),
    )
    costs = {
        "anytime": (given.anytime, "points"),
        "cost": ("flops", "choice"),
    }
    row(metrics.pareto_frontier, **costs)
    row(figures.anytime_curve, **costs)
    row(metrics.count_flops, model=(given.member, "model"))
    row(
        metrics.interpolate_members,
        first=(given.member, "model"),
        second=(given.member, "model"),
        data=(given.batches, "batches"),
        num_points=(2, "count"),
    )
    row(
        metrics.same_architecture,
        first=(given.member, "model"),
        second=(given.member, "model"),
    )
    row(
        metrics.predict_members,
        network=(given.member, "network"),
        batches=(given.batches, "stream"),
    )
    row(
        metrics.evaluate_corrupted,
        network=(given.reader, "network"),
        pipeline=(given.pipeline, "network"),
        corruptions=(("contrast",), "texts"),
        severities=((1,), "indices"),
    )

    row(figures.cluster_membership, allocation=(given.allocation, "allocation"))
    row(figures.allocation_bars, allocation=(given.allocation, "allocation"))
    row(
        figures.interpolation_curve,
        points=(given.line, "points"),
    )
    row(figures.corruption_curves, report=(given.corrupted, "points"))
    row(
        figures.pareto_front,
        points=(given.trials, "points"),
    )
    row(
        figures.sensitivity_curves,
        runs=(given.runs, "points"),
        subject=("tau", None),
    )
    row(
        figures.similarity_matrix,
        similarity=(np.eye(2), "numbers"),
        names=(["a", "b"], "texts"),
        groups=([(0,), (1,)], "indices"),
        threshold=(0.1, "threshold"),
        title=("t", None),
    )
    row(
        figures.coefficient_matrix,
        blocks=([np.eye(2)], "logits"),
        names=(["a", "b"], "texts"),
        title=("t", None),
        parts=((), "indices"),
    )
    row(figures.training_curves, history=({"loss": [1.0]}, "points"))

    row(
        ksw.export.export_network,
        network=(given.network(), "network"),
        directory=("export", "path"),
        formats=("keras", "choice?"),
        inputs=(None, "batches?"),
    )
    row(ksw.export.materialize_ensemble, network=(given.network(), "network"))
    row(ksw.export.format_exported, files=(given.exported, "points"))

    row(
        ksw.ensembles.Diversity,
        num_members=(2, "count"),
    )
    row(ksw.ensembles.Regression, variance=(False, "flag"))

    row(
        ksw.layers.register,
        layer_class=(given.layer_class, "model"),
        weights=({"kernel": "dense"}, "dict?"),
        fan_in=(None, "function?"),
    )
    row(ksw.layers.generated_class, layer_class=(keras.layers.Dense, "loss"))
    row(ksw.layers.why_not, layer_class=(keras.layers.Dense, "loss"))
    row(ksw.layers.heads, model=(given.member, "model"))

    row(
        datasets.ImagePipeline,
        name=("sklearn_digits", "choice"),
        data_dir=(given.data_dir, "path?"),
        train_split=("train", "choice"),
        test_split=("test", "choice"),
        validation_fraction=(0.0, "part"),
        label=("label", "choice"),
        size=(None, "count?"),
        crop=(None, "choice?"),
        batch_size=(64, "count"),
        seed=(0, "index"),
        pad=(0, "index"),
        flip=(False, "flag"),
        cutout=(0, "index"),
        mixup=(0.0, "amount"),
        cutmix=(0.0, "amount"),
        label_smoothing=(0.0, "part"),
    )
    row(
        given.pipeline.train,
        "ImagePipeline.train",
        epochs=(2, "count"),
        first_epoch=(0, "index"),
        **_SHARDS,
    )
    for name in ("test", "validation", "measured", "test_pixels"):
        row(getattr(given.pipeline, name), f"ImagePipeline.{name}", **_SHARDS)
    corrupting = {
        "corruption": ("contrast", "choice"),
        "severity": (1, "count"),
        "seed": (0, "index"),
    }
    row(
        datasets.corrupt,
        images=(np.zeros((2, 8, 8, 1), "uint8"), "logits"),
        **corrupting,
    )
    row(
        datasets.corrupted_test,
        pipeline=(given.pipeline, "network"),
        **corrupting,
    )

    space = {
        "budget_params": ((0.2, 0.8), "range?"),
        "learning_rate": ((0.01, 0.1), "range?"),
        "tau": ((0.0, 0.5), "range?"),
        "beta": ((0.0, 0.5), "range?"),
        "depth_bins": ((1, 2), "choices?"),
        "max_templates": ((1, 2), "choices?"),
        "num_members": ((1, 2), "choices?"),
    }
    row(ksw.tuning.Space, **space)
    row(
        ksw.tuning.HyperModel,
        members=({"m": given.member}, "models"),
        space=(ksw.tuning.Space(budget_params=(0.2, 0.8)), "kernel"),
        directory=("tuned", "path"),
        loss=(None, "loss?"),
        metrics=(["accuracy"], "texts"),
        optimizer=(None, "function?"),
        learning_rate=(0.1, "amount"),
        tau=(0.1, "threshold"),
        beta=(0.9, "threshold"),
        pretrain_epochs=(1, "count"),
        decouple_epoch=(None, "count?"),
        **LEARNING,
    )
    row(
        ksw.tuning.make_oracle,
        algorithm=("random", "choice"),
        objective=("loss", "text"),
        direction=("min", "choice"),
        hyperparameters=(given.hyperparameters, "kernel"),
        max_trials=(2, "count"),
        seed=(1, "count"),
    )
