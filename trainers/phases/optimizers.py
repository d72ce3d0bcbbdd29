"""The optimizer that a config names, and who decays the weights."""

import inspect

import keras

import keras_superweights as ksw
from keras_superweights.optimizers.ivon import check_arguments
from trainers.phases import schema

KINDS = {
    "adam": keras.optimizers.Adam,
    "ivon": ksw.optimizers.IVON,
    "sgd": keras.optimizers.SGD,
}
# Arguments that a config says in other keys, if at all.
_ELSEWHERE = {"momentum", "nesterov", "weight_decay", "seed"}
_ELSEWHERE |= {"learning_rate", "name", "kwargs"}


def check(config):
    """Refuses a name or arguments that are none; makes no variable."""
    options = config.optimizer
    schema.check_choice("optimizer.name", options.name, KINDS)
    known = set(inspect.signature(KINDS[options.name]).parameters)
    schema.check_keys(
        "config.optimizer.arguments", options.arguments, known - _ELSEWHERE, ()
    )
    if options.name != "ivon":
        return
    if not options.decay_batch_norm:
        raise ValueError(
            "`config.optimizer.decay_batch_norm` must be True with 'ivon', "
            "whose weight decay is the prior of all weights. Received: False."
        )
    try:
        check_arguments(**_arguments(config, num_examples=1))
    except (TypeError, ValueError) as error:
        raise ValueError(f"In `config.optimizer.arguments`: {error}") from error


def build(config, learning_rate, num_examples):
    """Returns the optimizer, for so many training examples."""
    arguments = _arguments(config, num_examples)
    return KINDS[config.optimizer.name](learning_rate, **arguments)


def _arguments(config, num_examples):
    options = config.optimizer
    given = dict(options.arguments)
    if options.name == "sgd":
        given |= {"momentum": options.momentum, "nesterov": options.nesterov}
    elif options.name == "ivon":
        own = {"weight_decay": options.weight_decay, "seed": config.seed}
        given = {"ess": num_examples, **given, **own}
    return given


def of_network(config):
    """Returns the arguments of a network that say how weights decay.

    IVON decays them itself.
    """
    options = config.optimizer
    decays = options.name != "ivon"
    return {
        "weight_decay": options.weight_decay if decays else 0.0,
        "decay_batch_norm": options.decay_batch_norm,
    }
