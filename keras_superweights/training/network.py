"""SuperWeightNetwork: members trained together inside a budget."""

import keras
import tensorflow as tf
from keras import ops

from keras_superweights import arguments
from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.text import check_format
from keras_superweights.banks import KernelGenerator
from keras_superweights.ensembles.choosing import choose_kind
from keras_superweights.members import allocating
from keras_superweights.members import cloning
from keras_superweights.members import skeleton
from keras_superweights.members import warm_start
from keras_superweights.members.rebuilding import check_rebuilding
from keras_superweights.optimizers.sampling import check_weight_decay
from keras_superweights.optimizers.sampling import gradients_at_samples
from keras_superweights.training import gradients
from keras_superweights.training.answers import Answers
from keras_superweights.training.distribution import DistributedFit
from keras_superweights.training.front import FrontOfMember

# Format of a network's config. Newer versions read all lower formats.
FORMAT = 1


@keras.saving.register_keras_serializable(package="keras_superweights")
class SuperWeightNetwork(FrontOfMember, Answers, DistributedFit, keras.Model):
    """Networks trained together inside a number of parameters.

    Members are ordinary Keras models whose layers share weights as an
    `Allocation` says: each shared kernel is assembled from SuperWeights,
    mixtures of templates held in banks. A training step generates all kernels
    once and differentiates in two stages:

        S = C @ T                       the vectors of a bank (generation tape)
        loss = loss(members(S))                                     (loss tape)
        dS = d loss / d S
        dC = dS @ T', dT = C' @ dS

    The kind of ensemble defines predictions and training. By default, several
    members are a `Classifier`: each is trained on the same batches with its
    own loss, and the network answers `log(mean_m softmax(logits_m))`. One
    member is `Single`: the network has its inputs, outputs and layers, and
    takes any Keras loss. An ensemble logs `loss`, the sum of the members'
    losses in training and the loss of the prediction in evaluation; each
    member's `member_0_loss`, `member_0_accuracy`, ...; and how members differ,
    such as `diversity`. Calling the network returns the prediction, also in
    training, so all members are trained inside another model.

    Freeze layers as in any Keras model, before `compile`. A layer frozen in
    the given model keeps its values and shares nothing. One frozen in the
    network, `network.members[0].get_layer("conv").trainable = False`, teaches
    its bank nothing, but its kernel follows what other layers teach the bank.

    Members keep the dtypes of their layers, whatever the global policy. Banks
    and generated kernels are float32 (float64 for members of float64) and cast
    where a layer reads them. Ensembles compute losses, predictions and metrics
    in float32.

    For several replicas, make and compile it in a `tf.distribute` scope.
    Workers of a `MultiWorkerMirroredStrategy` call `fit` and `evaluate` on the
    same batches, or on their own rows of each
    (`strategy.distribute_datasets_from_function`).

    Args:
        members: Functional or Sequential Keras models, or functions that
            return them, which saves the models' memory. Members of an ensemble
            have one input, one output, and equal shapes. They are cloned, not
            trained. Untrained layers (frozen, or adapted to data) keep their
            values.
        budget_params: Maximum number of trainable scalars: an integer, or a
            float, as a fraction of what the members have without sharing.
            Defaults to 1.0.
        sharing: A rule of `keras_superweights.sharing`. By default chosen by
            the members: see `sharing.default_rule`.
        allocation: Instead of a budget and a rule, an `Allocation` made for
            the same members.
        initialize: `"fresh"` initializes the network like a new model.
            `"weights"` starts from the members' weights: those not generated
            are copied; banks, coefficients and masks are fitted to kernels by
            least squares of relative errors, in seconds to minutes. Then
            `initial_errors` holds each kernel's error, 0 to 1; large ones warn.
        weight_decay: Coupled weight decay: `weight_decay * variable` is added
            to the gradient, and so goes through momentum, as in the papers
            (5e-4 on CIFAR). Does not apply to masks, coefficients and what
            they are computed from. Keras optimizers' own `weight_decay` is
            decoupled. Defaults to 0.
        decay_batch_norm: Whether weight decay applies to the scales and
            offsets of batch normalization. Defaults to `True` (CIFAR);
            ImageNet's recipe has `False`.
        ensemble: A kind of `keras_superweights.ensembles`. Defaults to
            `Single()` for one member and `Classifier()` for several.
        name: Name of the model.
        **kwargs: As for `keras.Model`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a member cannot be cloned or has nothing to share,
            members do not fit together or their kind, the budget is too
            small, the allocation was made for other members, or there are no
            weights to start from.

    Example:

    ```python
    members = [ksw.models.wide_resnet(16, width) for width in (4, 2)]
    network = ksw.SuperWeightNetwork(members, budget_params=0.5)
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(images, labels, epochs=10)
    plain = network.materialize()  # ordinary Keras models
    ```

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN)
    """

    def __init__(
        self,
        members,
        budget_params=None,
        sharing=None,
        allocation=None,
        initialize="fresh",
        weight_decay=0.0,
        decay_batch_norm=True,
        ensemble=None,
        name=None,
        **kwargs,
    ):
        arguments.check_number("weight_decay", weight_decay)
        arguments.check_bool("decay_batch_norm", decay_batch_norm)
        models = skeleton.skeletons(members)
        for index, model in enumerate(models):
            check_rebuilding(index, model)
        ensemble = choose_kind(ensemble, models)
        warm_start.check_initialize(initialize, models)
        allocation = allocating.allocation_for(
            models, budget_params, sharing, allocation
        )
        dtype = skeleton.dtype_policy(models)
        super().__init__(name=name, **{"dtype": dtype, **kwargs})
        # Members convert their inputs, as any Functional model does; the
        # network's own policy must not round them first.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.ensemble = ensemble
        self.weight_decay = weight_decay
        self.decay_batch_norm = decay_batch_norm
        # Texts, because Keras' tracking wraps attributes that are dicts.
        self._member_texts = tuple(map(cloning.to_json, models))
        dtype = skeleton.generated_dtype(self.variable_dtype)
        self.generator = KernelGenerator(allocation, dtype=dtype)
        self.members = cloning.generated_clones(models, self.generator)
        self._member_metrics = ensemble.member_metrics(len(models), None)
        self._recorder = None
        self._undecayed = gradients.undecayed_variables(
            self.generator, self._flatten_layers(), decay_batch_norm
        )
        self.initial_errors = ()
        if initialize == "weights":
            self.initial_errors = warm_start.begin_with_weights(
                models, self.members, self.generator
            )
        self.built = True

    @property
    def allocation(self):
        """The network's `Allocation`, with its current ties."""
        return self.generator.allocation

    def set_ties(self, ties):
        """Changes which kernels use the same coefficients; no shape changes.

        Untied kernels keep their values: the shared row and its optimizer
        slots are copied to each new owner. Newly tied ones take the row of the
        first of them, scaled to the root mean square of their norms.

        Args:
            ties: For each SuperWeight of the allocation, the row that each
                kernel uses, as in `SuperWeight.ties`.

        Raises:
            ValueError: If the ties do not fit the allocation.
        """
        for mixture, sources in self.generator.set_ties(ties):
            if self.compiled and self.optimizer.built:
                gradients.move_slot_rows(
                    self.optimizer, mixture.coefficients, sources
                )

    def record_gradients(self, recorder):
        """Adds the gradients of every training step to a `GradientRecorder`.

        Pass `None` to stop, after which steps cost nothing extra.
        """
        is_right = recorder is None or hasattr(recorder, "whole_grams")
        expected = "a `GradientRecorder`"
        arguments.check_type("recorder", recorder, is_right, expected)
        self._recorder = recorder
        if self.train_function is not None:
            self.make_train_function(force=True)

    @property
    def recorder(self):
        """The `GradientRecorder` that steps add to, or None."""
        return self._recorder

    def member_outputs(self, inputs, training=False, mask=None):
        """Returns a list of all members' outputs, in the order of `members`.

        Generates kernels once, unless called inside `generator.using`.
        """
        if self.generator.is_in_use:
            return self.ensemble.outputs(self.members, inputs, training, mask)
        with self.generator.using(self.generator.superweights()):
            return self.member_outputs(inputs, training, mask)

    def call(self, inputs, training=False, mask=None):
        outputs = self.member_outputs(inputs, training, mask)
        return self.ensemble.prediction(outputs)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """Configures training, as `keras.Model.compile`.

        An ensemble takes one loss that fits its kind (`ValueError` otherwise),
        and a list of metrics, reported for itself and for every member.
        """
        kind = self.ensemble
        check_weight_decay(optimizer, self.weight_decay)
        kind.check_loss(loss)
        metrics = kind.checked_metrics(metrics)
        super().compile(
            optimizer,
            loss,
            metrics=metrics,
            weighted_metrics=kind.checked_metrics(weighted_metrics),
            **kwargs,
        )
        self._member_metrics = kind.member_metrics(len(self.members), metrics)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self):
        return super().metrics + self._member_metrics.all

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        results, of_variables = gradients_at_samples(
            self.optimizer,
            variables,
            lambda: gradients.two_stage_gradients(
                self, variables, x, y, sample_weight
            ),
        )
        if self.weight_decay:
            of_variables = gradients.add_weight_decay(
                of_variables,
                variables,
                self.weight_decay,
                self.optimizer,
                self._undecayed,
            )
        gradients.apply(self.optimizer, of_variables, variables, self.generator)
        # Each replica has updated its own batch-norm statistics; without
        # averaging, a saved model would differ from the evaluated one.
        gradients.average_over_replicas(self._statistics(), x)
        return self._update_metrics(x, y, sample_weight, results)

    def _statistics(self):
        return gradients.statistics(
            self._flatten_layers(), self.non_trainable_variables
        )

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with self.generator.using(self.generator.superweights()):
            results = self.ensemble.objective(
                self, x, y, sample_weight, training=False
            )
        return self._update_metrics(x, y, sample_weight, results)

    def data_loss(self, y, y_pred, sample_weight=None):
        """Computes the compiled loss of one answer, scaled for its replica.

        Raises:
            ValueError: If the network was compiled without a loss.
        """
        if self._compile_loss is None:
            raise ValueError(
                "An ensemble needs a `loss` in `compile()`: every member is "
                "trained with it. Received: loss=None."
            )
        return self._compile_loss(y, y_pred, sample_weight)

    def regularization_loss(self):
        """Sums the losses of layers; call it inside `generator.using`."""
        return sum(map(self._aggregate_additional_loss, self.losses))

    def _update_metrics(self, x, y, sample_weight, results):
        outputs, of_members, loss, *of_batches = results
        kind, predict, targets = self.ensemble, self.ensemble.prediction, None
        for batches in of_batches:
            # Members have seen rows of their own.
            targets, weights = zip(*batches, strict=True)
            y, predict = ops.concatenate(targets, axis=0), kind.joined
            if weights[0] is not None:
                sample_weight = ops.concatenate(weights, axis=0)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        batch = ops.shape(keras.tree.flatten(outputs)[0])[0]
        self._loss_tracker.update_state(loss * replicas, sample_weight=batch)
        self._member_metrics.update(
            y,
            kind.observed_members(outputs),
            [each * replicas for each in of_members],
            targets,
        )
        return self.compute_metrics(x, y, predict(outputs), sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        observed = self.ensemble.observed(y_pred)
        self._member_metrics.build(y, observed)
        return super().compute_metrics(x, y, observed, sample_weight)

    def materialize(self):
        """Returns a list of the members as plain Keras models.

        They have the original classes and names, and load where this library
        is not installed.
        """
        with self.generator.using(self.generator.superweights()):
            pairs = zip(self._member_texts, self.members, strict=True)
            return [cloning.materialize(*pair) for pair in pairs]

    def export(self, *args, **kwargs):
        raise ValueError(
            "A network with generated kernels cannot be exported directly. "
            "Export its plain models with "
            "`keras_superweights.export.export_network(network, directory)`, "
            "or take them from `materialize()`."
        )

    def get_config(self):
        return super().get_config() | {
            "format": FORMAT,
            "name": self.name,
            "members": list(self._member_texts),
            "allocation": self.allocation.to_json(),
            "ensemble": keras.saving.serialize_keras_object(self.ensemble),
            "weight_decay": self.weight_decay,
            "decay_batch_norm": self.decay_batch_norm,
            "frozen": {
                "generator": not self.generator.trainable,
                "members": list(map(cloning.frozen_paths, self.members)),
            },
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        check_format(config.pop("format", 0), FORMAT, "network")
        with cloning.without_memory():
            config["members"] = list(map(cloning.from_json, config["members"]))
        config["allocation"] = Allocation.from_json(config["allocation"])
        config["ensemble"] = keras.saving.deserialize_keras_object(
            config["ensemble"]
        )
        config["dtype"] = keras.saving.deserialize_keras_object(config["dtype"])
        frozen = config.pop("frozen")
        calibration = keras.saving.deserialize_keras_object(
            config.pop("calibration", None)
        )
        network = cls(**config)
        network.calibration = calibration
        network.generator.trainable = not frozen["generator"]
        for member, paths in zip(
            network.members, frozen["members"], strict=True
        ):
            cloning.freeze(member, paths)
        return network
