"""A KerasTuner hypermodel of the user's own members."""

import hashlib
import json
import pathlib

import keras

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.arguments import check_bool
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_path
from keras_superweights.arguments import check_type
from keras_superweights.callbacks.decoupling import CoefficientDecoupling
from keras_superweights.ensembles import EnsembleKind
from keras_superweights.files import write_text
from keras_superweights.members.allocating import allocate
from keras_superweights.members.skeleton import skeletons
from keras_superweights.search.finding import find_clusters
from keras_superweights.search.pretraining import check_known
from keras_superweights.search.refinement import check_thresholds
from keras_superweights.sharing.superweights import SuperWeights
from keras_superweights.training.network import SuperWeightNetwork
from keras_superweights.tuning.extra import keras_tuner
from keras_superweights.tuning.space import Space
from keras_superweights.tuning.trial_space import TrialSpace


class HyperModel(TrialSpace, keras_tuner.HyperModel):
    """The networks of a space: each trial runs all phases of the method.

    A trial finds what may share (`search.find_clusters`) and trains the network
    from scratch. A budget that cannot be met is a failed trial, not a crash.
    For any tuner of KerasTuner; the data given to `tuner.search` must be
    batches.

    The allocation that a trial found is kept in `directory`, by the values of
    its hyperparameters: a trial that is run again, by a restarted tuner or a
    later round of Hyperband, does not search again, and
    `tuner.get_best_models()` knows what to load.

    Args:
        members: Dict from a name to a Keras model or a function that returns
            one. All of them are members; with `space.num_members` each member
            is one of them.
        space: The `Space`, with a range of budgets.
        directory: Directory for allocations, of one tuner only. The tuner's
            own will do.
        loss: As for `SuperWeightNetwork.compile`. Defaults to
            `SparseCategoricalCrossentropy(from_logits=True)`.
        metrics: As for `SuperWeightNetwork.compile`. Defaults to accuracy.
        optimizer: Function from a learning rate to an optimizer. Defaults to
            the papers' SGD with Nesterov momentum 0.9.
        learning_rate, tau, beta: Values that the space does not vary. Default
            to 0.1, 0.1 and 0.9.
        pretrain_epochs: Epochs of the pretraining of a search. Defaults to 20.
        decouple_epoch: Epochs to train before `CoefficientDecoupling`, 10 in
            the papers: beta then decides there. By default it does in the
            search.
        ensemble, weight_decay, decay_batch_norm: As for `SuperWeightNetwork`.
            The weight decay defaults to the papers' 5e-4.
        **kwargs: As for `keras_tuner.HyperModel`.

    Raises:
        TypeError, ValueError: If `members` is not a dict, `space` is not a
            `Space` with a range of budgets, or another argument is wrong.

    Example:

    ```python
    hypermodel = ksw.tuning.HyperModel(
        {
            "wide": lambda: ksw.models.wide_resnet(10, 2, 10, (8, 8, 1)),
            "narrow": lambda: ksw.models.wide_resnet(10, 1, 10, (8, 8, 1)),
        },
        ksw.tuning.Space(budget_params=(0.4, 1.0), tau=(-0.2, 0.4)),
        directory="runs/tuned",
    )
    tuner = keras_tuner.RandomSearch(
        hypermodel, "val_loss", max_trials=8, directory="runs/tuned"
    )
    tuner.search(train, validation_data=validation, epochs=30)
    ```
    """

    def __init__(
        self,
        members,
        space,
        directory,
        loss=None,
        metrics=("accuracy",),
        optimizer=None,
        learning_rate=0.1,
        tau=0.1,
        beta=0.9,
        pretrain_epochs=20,
        decouple_epoch=None,
        ensemble=None,
        weight_decay=5e-4,
        decay_batch_norm=True,
        **kwargs,
    ):
        if not isinstance(members, dict) or not members:
            raise TypeError(
                "`members` must be a dict from names to Keras models, or "
                f"functions that return them. Received: members={members!r}."
            )
        if not isinstance(space, Space) or space.budget_params is None:
            raise ValueError(
                "`space` must be a `Space` with `budget_params`. "
                f"Received: space={space!r}."
            )
        check_path("directory", directory)
        are_metrics = isinstance(metrics, (list, tuple)) and all(
            isinstance(each, str) or callable(each) for each in metrics
        )
        check_type("metrics", metrics, are_metrics, "a list of metrics")
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        check_known("loss", loss, keras.losses.get)
        optimizer = optimizer or _sgd
        expected = "a function from a learning rate to an optimizer"
        check_type("optimizer", optimizer, callable(optimizer), expected)
        check_number("learning_rate", learning_rate)
        check_thresholds(tau, beta)
        check_integer("pretrain_epochs", pretrain_epochs)
        if decouple_epoch is not None:
            check_integer("decouple_epoch", decouple_epoch)
        check_number("weight_decay", weight_decay)
        check_bool("decay_batch_norm", decay_batch_norm)
        is_kind = isinstance(ensemble, EnsembleKind | None)
        check_type(
            "ensemble", ensemble, is_kind, "a kind, such as Classifier()"
        )
        keras_tuner.HyperModel.__init__(self, **kwargs)
        varied = space.num_members is not None
        TrialSpace.__init__(
            self,
            space,
            candidates=members if varied else (),
            defaults={
                "learning_rate": learning_rate,
                "tau": tau,
                "beta": beta,
                "depth_bins": SuperWeights.depth_bins,
                "max_templates": SuperWeights.max_templates,
                "members": tuple(members),
            },
        )
        self.members = members
        self.directory = pathlib.Path(directory)
        self.loss = loss
        self.metrics = list(metrics)
        self.optimizer = optimizer
        self.pretrain_epochs = pretrain_epochs
        self.decouple_epoch = decouple_epoch
        self.network_settings = {
            "ensemble": ensemble,
            "weight_decay": weight_decay,
            "decay_batch_norm": decay_batch_norm,
        }

    def build(self, hp):
        """Builds a compiled network, of depth bins until a search has run."""
        settings = self._settings(hp)
        path = self._path(settings)
        if path.exists():
            allocation = Allocation.from_json(path.read_text())
        else:
            allocation = self.allocation(settings)
        return self._network(settings, allocation)

    def fit(self, hp, model, x, *args, callbacks=(), **kwargs):
        """Searches if needed, and trains; returns the `History`."""
        settings = self._settings(hp)
        decouples = self.decouple_epoch is not None
        path = self._path(settings)
        if not path.exists():
            found = find_clusters(
                self._models(settings),
                settings["budget_params"],
                x,
                sharing=_rule(settings),
                tau=settings["tau"],
                beta=None if decouples else settings["beta"],
                pretrain_epochs=self.pretrain_epochs,
                optimizer=self.optimizer(settings["learning_rate"]),
                loss=self.loss,
                verbose=kwargs.get("verbose", "auto"),
                **self.network_settings,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, found.allocation.to_json())
            model = self._network(settings, found.allocation)
        if decouples:
            # Ties change first: the tuner keeps what an epoch ends with.
            callbacks = [
                CoefficientDecoupling(settings["beta"], self.decouple_epoch),
                *callbacks,
            ]
        return model.fit(x, *args, callbacks=callbacks, **kwargs)

    def allocate(self, settings):
        """Returns the allocation that the search of a trial starts from."""
        return allocate(
            self._models(settings), settings["budget_params"], _rule(settings)
        )

    def _settings(self, hp):
        self.declare(hp)
        return self.settings(hp.values)

    def _models(self, settings):
        # The checks of a function build it without memory.
        return skeletons([self.members[name] for name in settings["members"]])

    def _path(self, settings):
        text = json.dumps(settings, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.directory / f"allocation-{key}.json"

    def _network(self, settings, allocation):
        network = SuperWeightNetwork(
            self._models(settings),
            allocation=allocation,
            **self.network_settings,
        )
        network.compile(
            self.optimizer(settings["learning_rate"]),
            self.loss,
            metrics=self.metrics,
        )
        return network


def _rule(settings):
    return SuperWeights(
        depth_bins=settings["depth_bins"],
        max_templates=settings["max_templates"],
        tied=True,
    )


def _sgd(learning_rate):
    return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)
