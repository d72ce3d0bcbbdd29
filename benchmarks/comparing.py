"""What the programs that compare trained networks have in common."""

import argparse
import importlib
import json
import pathlib
import time

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights.metrics import evaluate_members
from trainers.phases import experiment


def parser(description, config, output):
    """Returns a parser of the options that these programs share."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    result.add_argument("--config", default=config)
    result.add_argument("--data_dir")
    result.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    result.add_argument("--json", default=output, type=pathlib.Path)
    return result


def compare(ways, measures, arguments, run):
    """Runs every way with every seed, except for results already in --json.

    Args:
        ways: Names of what is compared.
        measures: Names of the figures to return.
        arguments: What `parser` parsed.
        run: Function of a way and a config that returns a dict of figures.

    Returns:
        Dict from a way to a dict from a measure to its values, one per seed.
    """
    results = {}
    if arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    for seed in arguments.seeds:
        for name in (f"{way}/{seed}" for way in ways):
            if name in results:
                continue
            start = time.perf_counter()
            config = importlib.import_module(arguments.config).get_config()
            config.seed = seed
            if arguments.data_dir:
                config.data.data_dir = arguments.data_dir
            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
            results[name] = run(name.split("/")[0], config)
            results[name]["seconds"] = time.perf_counter() - start
            arguments.json.write_text(json.dumps(results, indent=1))
            print(name, json.dumps(results[name]), flush=True)
    return {
        way: {
            m: [results[f"{way}/{seed}"][m] for seed in arguments.seeds]
            for m in measures
        }
        for way in ways
    }


def trained(network, config, images, callbacks=()):
    """Trains a network by a config's recipe; returns its test figures."""
    network.compile(
        experiment.optimizer(config, images.steps_per_epoch),
        experiment.loss(config),
    )
    network.fit(
        images.train(config.epochs),
        epochs=config.epochs,
        steps_per_epoch=images.steps_per_epoch,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    logits, labels = ksw.metrics.predict_members(network, images.test())
    measured = evaluate_members(logits, labels, [1] * len(logits))
    return {
        **{m: measured[m] for m in ("accuracy", "nll", "ece", "diversity")},
        "members": [member["accuracy"] for member in measured["members"]],
        "params": network.allocation.num_params,
    }


def half_range(values):
    return (max(values) - min(values)) / 2


def table(values, title="", spread=half_range):
    """Formats what `compare` returns: means over the seeds, and spreads."""
    measures = next(iter(values.values()))
    lines = [f"{title:<13}" + "".join(f"{m:>18}" for m in measures)]
    for way, figures in values.items():
        line = f"{way:<13}"
        for measure, each in figures.items():
            if None in each:
                line += f"{'-':>18}"
            elif measure in ("params", "seconds"):
                line += f"{np.mean(each):>18,.0f}"
            else:
                line += f"{np.mean(each):>10.4f} ±{spread(each):.4f}"
        lines.append(line)
    return "\n".join(lines)
