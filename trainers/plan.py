"""Prints what a budget buys, and what training needs; no weight is made.

    python -m trainers.plan --config configs/cifar_swn_he.py

Needs neither data nor the networks' memory: even for networks that would never
fit this machine, it takes seconds. With a search, the allocation is the one
that it starts from. `keras_superweights.planning` says what is counted.

Your own model is planned from the function that builds it, called without
arguments or with those in `--model_arguments`:

    python -m trainers.plan --budget_params 0.3 --rule MixtureEnsembles \
        --model keras_superweights.models:transformer --model_arguments \
        '{"num_layers": 96, "width": 12288, "num_heads": 96,
          "vocabulary_size": 50257, "context": 2048}' \
        --optimizer adamw --precision mixed_bfloat16 --workers 1024
"""

import functools
import importlib
import inspect
import json
import warnings

import keras
from absl import app
from absl import flags
from ml_collections import config_flags

import keras_superweights as ksw
from keras_superweights.files import write_text
from keras_superweights.members.skeleton import skeletons
from keras_superweights.planning import OPTIMIZERS
from keras_superweights.planning import plan_training
from trainers import run
from trainers.phases import experiment


def plan(config):
    """Returns a config's members, without memory, and their `Allocation`."""
    experiment.check(config)
    members = experiment.members(config)
    return members, experiment.allocate(config, members)


def _of_model(options):
    """Returns members and allocation of `--model`, from the flags."""
    budget, name = options.budget_params, options.rule
    if budget is None or name is None:
        raise ValueError(
            "`--model` needs `--budget_params`, a count or a fraction, and "
            f"`--rule`, one of {', '.join(sorted(experiment.RULES))}. "
            f"Received: budget_params={budget}, rule={name}."
        )
    build = _with_arguments(_imported(options.model), options, "model")

    def member():
        model = build()
        if not isinstance(model, keras.Model):
            raise ValueError(
                "`--model` must name a function that returns a Keras model. "
                f"Received: {options.model}, which returned {model!r}."
            )
        return model

    rule = experiment.rule_class(name, "--rule")
    rule = _with_arguments(rule, options, "rule")()
    with experiment.policy(options.precision):
        members = skeletons(member)
    return members, ksw.allocate(members, experiment.as_budget(budget), rule)


def _imported(name):
    """Imports the function `"package.module:function"`."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            "`--model` must be `package.module:function`, the function that "
            f"builds a Keras model. Received: {name!r}: {error}."
        ) from error


def _with_arguments(function, options, flag):
    """Binds a flag's function to its arguments in another flag."""
    text = getattr(options, f"{flag}_arguments")
    try:
        arguments = json.loads(text)
        inspect.signature(function).bind(**arguments)
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"`--{flag}_arguments` must be those of `{function.__name__}` as "
            f"JSON, such as '{{\"name\": 3}}'. Received: {text!r}: {error}."
        ) from error
    return functools.partial(function, **arguments)


def _cost(member):
    """Returns FLOPs as text, or nothing if not all can be counted."""
    with warnings.catch_warnings(record=True) as uncounted:
        warnings.simplefilter("always")
        try:
            flops = ksw.metrics.count_flops(member)
        except ValueError:  # a size that is not known
            return ""
    return "" if uncounted else f", {flops / 1e6:,.1f} MFLOPs an example"


def main(options):
    if (options.config is None) == (options.model is None):
        raise app.UsageError("Give either --config or --model.")
    if options.model:
        members, allocation = _of_model(options)
        optimizer = "sgd"
    else:
        members, allocation = plan(options.config)
        # Steps and examples do not change the memory.
        optimizer = experiment.optimizer(options.config, 1, 1)
    if options.optimizer:
        kind = OPTIMIZERS[options.optimizer]
        optimizer = _with_arguments(kind, options, "optimizer")()
    print(allocation, end="\n\n")
    for index, spec in enumerate(allocation.members):
        alone = f"{spec.num_params:,} parameters on its own"
        print(f"member {index}, {spec.name}: {alone}{_cost(members[index])}")
    print()
    print(plan_training(members, allocation, optimizer, options.workers))
    if options.json:
        write_text(options.json, allocation.to_json())


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    flags.DEFINE_string("model", None, "package.module:function.")
    flags.DEFINE_string("model_arguments", "{}", "Its arguments, as JSON.")
    flags.DEFINE_float(
        "budget_params", None, "Of --model; up to 100 a fraction."
    )
    flags.DEFINE_string(
        "rule", None, "Of --model: the name of a rule, or package.module:Class."
    )
    flags.DEFINE_string("rule_arguments", "{}", "Its arguments, as JSON.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        [*experiment.PRECISIONS, "bfloat16"],
        "Dtype policy of --model; a config has its own.",
    )
    flags.DEFINE_enum(
        "optimizer", None, sorted(OPTIMIZERS), "Instead of the config's."
    )
    flags.DEFINE_string("optimizer_arguments", "{}", "As JSON.")
    flags.DEFINE_integer("workers", 8, "Workers that train together.")
    flags.DEFINE_string("json", None, "File for the allocation.")
    run(main)
