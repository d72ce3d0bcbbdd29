"""SuperWeightNetwork: members that are trained together inside a budget."""

import keras
import tensorflow as tf
from keras import ops

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.banks import KernelGenerator
from keras_superweights.ensembles.classifier import MemberMetrics
from keras_superweights.ensembles.classifier import at_least_float32
from keras_superweights.ensembles.classifier import check_loss
from keras_superweights.ensembles.classifier import log_mean_probabilities
from keras_superweights.members import allocating
from keras_superweights.members import cloning
from keras_superweights.members import skeleton
from keras_superweights.members import warm_start as initialization
from keras_superweights.members.rebuilding import check_rebuilding
from keras_superweights.training.distribution import DistributedFit
from keras_superweights.training.gradients import add_weight_decay
from keras_superweights.training.gradients import average_over_replicas
from keras_superweights.training.gradients import move_slot_rows
from keras_superweights.training.gradients import statistics
from keras_superweights.training.gradients import two_stage_gradients


@keras.saving.register_keras_serializable(package="keras_superweights")
class SuperWeightNetwork(DistributedFit, keras.Model):
    """Networks that are trained together inside a number of parameters.

    Members are ordinary Keras models. Their layers share weights as an
    `Allocation` says: each shared kernel is put together from SuperWeights,
    which are mixtures of templates held in banks. All kernels are generated
    once per step, and the step differentiates in two stages:

        S = C @ T                     every bank's pieces   (generation tape)
        loss(outputs of members(S))                               (loss tape)
        dS    = d loss / d S          the gradient of every kernel's pieces
        dC, dT = the pieces' gradient times dS

    An ensemble is trained on the same batches by every member; the sum of
    their losses is minimised. With `training=True`, calling it gives the list
    of the members' logits; otherwise `log(mean_m softmax(logits_m))`, so that
    losses and metrics with `from_logits=True` mean what they say. A network
    of one member has the inputs and outputs of that member, whatever they
    are, any Keras loss, and `get_layer` finds that member's layers: see
    `keras_superweights.share`.

    Layers are frozen as in any Keras model, before `compile`. A layer that was
    frozen in the model given keeps its values and shares nothing. One frozen
    in the network, `network.members[0].get_layer("conv").trainable = False`,
    stops teaching: its kernel passes no gradient to the bank, which goes on
    learning from the layers that share it, and the kernel follows.

    Members compute in the dtypes that their own layers have, whatever the
    global dtype policy is when the network is made: a float32 model stays
    one, and a `mixed_bfloat16` model computes in bfloat16. Banks and what is
    generated from them are float32 (float64 for members of float64); a layer
    casts its kernel where it reads it, as it casts its variables. Losses, the
    ensemble's average and metrics are computed in float32.

    Made and compiled in the scope of a `tf.distribute` strategy, it trains on
    all of its replicas, also on those of several machines
    (`MultiWorkerMirroredStrategy`): there each worker calls `fit` and
    `evaluate` on the same batches, or on its own rows of each, as
    `strategy.distribute_datasets_from_function` gives them.

    In the logs of an ensemble, `loss` is the sum of the members' losses in
    training, and the loss of the ensemble's prediction in evaluation;
    `member_0_loss`, `member_0_accuracy`, ... are each member's in both, and
    `diversity` is how often members disagree (`ensemble.Diversity`).

    Args:
        members: Functional or Sequential Keras models, or functions that
            return them, which costs no memory for the models. Members of an
            ensemble have one input, one output, equal shapes, and return
            logits. The models are cloned, not trained. Layers that are not
            trained (frozen, or adapted to data) keep their values; what else
            a network starts with, `initialize` says.
        budget_params: The most trainable scalars, an integer, or a float: a
            fraction of what the members have when they share nothing.
            Defaults to 1.0.
        sharing: A rule of `keras_superweights.sharing`. Defaults to
            `SuperWeights()`.
        allocation: Instead of a budget and a rule, an `Allocation` made for
            the same members.
        initialize: `"fresh"`: the network starts anew, as a new model does.
            `"weights"`: it starts from the members' weights. What is not
            generated is copied, the statistics of batch normalization too.
            Banks, coefficients and masks are fitted to the members' kernels by
            least squares of their relative errors, which takes seconds to
            minutes; `initial_errors` says how well that went, for each kernel
            of the allocation: 0 where it is met, 1 where nothing of it is. A
            network that starts far from its members says so in a warning.
        weight_decay: Coupled weight decay: `weight_decay * variable` is added
            to the gradient, and so goes through momentum, as in the papers
            (5e-4 on CIFAR). Applies to every trainable variable but
            coefficients, what they are computed from, and masks. Keras
            optimizers' own `weight_decay` is decoupled. Defaults to 0.
        decay_batch_norm: Whether weight decay applies to the scales and
            offsets of batch normalization. Defaults to `True` (CIFAR);
            ImageNet's recipe has `False`.
        name: Name of the model.
        **kwargs: As for `keras.Model`.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If a member cannot be cloned or has nothing to share,
            members do not fit together, the budget is too small, the
            allocation was made for other members, or there are no weights to
            start from.

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
        name=None,
        **kwargs,
    ):
        if not isinstance(weight_decay, (int, float)) or not weight_decay >= 0:
            raise ValueError(
                "`weight_decay` must be a number and not negative. Received: "
                f"weight_decay={weight_decay!r}."
            )
        models = skeleton.skeletons(members)
        for index, model in enumerate(models):
            check_rebuilding(index, model)
        initialization.check_initialize(initialize, models)
        allocation = allocating.allocation_for(
            models, budget_params, sharing, allocation
        )
        dtype = skeleton.dtype_policy(models)
        super().__init__(name=name, **{"dtype": dtype, **kwargs})
        # Members convert what they are given, as any Functional model does:
        # the network's own policy must not round it before.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.weight_decay = weight_decay
        self.decay_batch_norm = decay_batch_norm
        # Text: attributes that are dicts are wrapped by Keras' tracking.
        self._member_texts = tuple(map(cloning.to_json, models))
        self.generator = KernelGenerator(
            allocation,
            dtype=skeleton.generated_dtype(self.variable_dtype),
        )
        self.members = cloning.generated_clones(models, self.generator)
        self._member_metrics = None
        self._recorder = None
        self._undecayed = self._variables_without_decay()
        self.initial_errors = ()
        if initialize == "weights":
            self.initial_errors = initialization.begin_with_weights(
                models, self.members, self.generator
            )
        self.built = True

    def _variables_without_decay(self):
        stores = {id(bank.store) for bank in self.generator.banks}
        undecayed = {
            id(variable)
            for variable in self.generator.trainable_variables
            if id(variable) not in stores
        }
        if not self.decay_batch_norm:
            undecayed |= {
                id(variable)
                for layer in self._flatten_layers()
                if isinstance(layer, keras.layers.BatchNormalization)
                for variable in layer.trainable_variables
            }
        return frozenset(undecayed)

    @property
    def inputs(self):
        """Symbolic inputs of the model, of a network of one member.

        So are `outputs`, `input_shape`, `output_shape`, `input_names` and
        `output_names`, by which losses, metrics and targets are given.
        """
        return self._only_member("inputs").inputs

    @property
    def outputs(self):
        return self._only_member("outputs").outputs

    @property
    def input_shape(self):
        return self._only_member("input_shape").input_shape

    @property
    def output_shape(self):
        return self._only_member("output_shape").output_shape

    @property
    def input_names(self):
        inputs = self._only_member("input_names").inputs
        return [tensor._keras_history.operation.name for tensor in inputs]

    @property
    def output_names(self):
        outputs = self._only_member("output_names").outputs
        return [tensor._keras_history.operation.name for tensor in outputs]

    def get_layer(self, name=None, index=None):
        """As `keras.Model.get_layer`; of one member, by name its layers too."""
        own = {layer.name for layer in self.layers}
        if name is None or name in own or len(self.members) > 1:
            return super().get_layer(name, index)
        return self.members[0].get_layer(name, index)

    def _only_member(self, attribute):
        if len(self.members) != 1:
            raise AttributeError(
                f"A network of several members has no `{attribute}`. Ask one "
                f"of them: `network.members[0].{attribute}`."
            )
        return self.members[0]

    @property
    def allocation(self):
        """The `Allocation` that the network is made of, with today's ties."""
        return self.generator.allocation

    def set_ties(self, ties):
        """Changes which kernels use the same coefficients.

        Kernels that part keep the function they compute: the row that they
        shared, and what the optimizer remembers of it, is copied to each new
        owner. Kernels that are newly tied to others take the row of the first
        of them, scaled to the root mean square of their norms. No shape and
        no optimizer slot changes.

        Args:
            ties: For each SuperWeight of the allocation, the row that each
                kernel uses, as `SuperWeight.ties`.

        Raises:
            ValueError: If the ties do not fit the allocation.
        """
        for mixture, sources in self.generator.set_ties(ties):
            if self.compiled and self.optimizer.built:
                move_slot_rows(self.optimizer, mixture.coefficients, sources)

    def record_gradients(self, recorder):
        """Lets every training step add its gradients to a recorder.

        Args:
            recorder: A `keras_superweights.search.GradientRecorder`, or `None`
                to stop. With none, a step does not cost anything more.
        """
        self._recorder = recorder
        if self.train_function is not None:
            self.make_train_function(force=True)

    def member_outputs(self, inputs, training=False, mask=None):
        """The outputs of every member, a list in the order of `members`.

        Kernels are generated once for all, unless the call is already inside
        `generator.using`.
        """
        if self.generator.is_in_use:
            return [
                member(inputs, training=training, mask=mask)
                for member in self.members
            ]
        with self.generator.using(self.generator.superweights()):
            return self.member_outputs(inputs, training, mask)

    def call(self, inputs, training=False, mask=None):
        outputs = self.member_outputs(inputs, training, mask)
        if len(outputs) == 1:
            return outputs[0]
        return outputs if training else log_mean_probabilities(outputs)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *,
        metrics=None,
        **kwargs,
    ):
        """As `keras.Model.compile`; of an ensemble, with these differences.

        It has one output, and so one loss, which takes logits, and its metrics
        are in a list. Each of them is reported for the ensemble and for every
        member.

        Raises:
            ValueError: If the loss of an ensemble has `from_logits=False`, as
                Keras' crossentropies have by default, or if there are several;
                if its metrics are in a dict.
        """
        if len(self.members) > 1:
            check_loss(loss)
        super().compile(optimizer, loss, metrics=metrics, **kwargs)
        self._member_metrics = None
        if len(self.members) > 1:
            self._member_metrics = MemberMetrics(len(self.members), metrics)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self):
        members = self._member_metrics
        return super().metrics + (members.all if members else [])

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as generation_tape:
            superweights = self.generator.superweights()
        with tf.GradientTape() as loss_tape:
            loss_tape.watch(superweights)
            with self.generator.using(superweights):
                outputs = self.member_outputs(x, training=True)
                losses = self._objective(
                    x, y, outputs, sample_weight, training=True
                )
            scaled_loss = self.optimizer.scale_loss(losses[0])
        gradients, of_superweights = two_stage_gradients(
            scaled_loss,
            self.trainable_variables,
            self.generator,
            superweights,
            loss_tape,
            generation_tape,
        )
        if self._recorder is not None:
            scale = None
            if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                scale = self.optimizer.scale_loss(tf.constant(1.0))
            self._recorder.update(of_superweights, loss_scale=scale)
        self.optimizer.apply_gradients(
            [
                (self._with_decay(gradient, variable), variable)
                for gradient, variable in zip(
                    gradients, self.trainable_variables, strict=True
                )
            ]
        )
        # Each replica has updated its own copy of the batch-norm statistics;
        # apart, a saved model would not be the one that was evaluated.
        average_over_replicas(self._statistics())
        return self._update_metrics(x, y, outputs, losses, sample_weight)

    def _statistics(self):
        return statistics(self._flatten_layers(), self.non_trainable_variables)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with self.generator.using(self.generator.superweights()):
            outputs = self.member_outputs(x, training=False)
            losses = self._objective(
                x, y, outputs, sample_weight, training=False
            )
        return self._update_metrics(x, y, outputs, losses, sample_weight)

    def _objective(self, x, y, outputs, sample_weight, training):
        """`(loss, losses of the members)`, each scaled for its replica.

        Inside `generator.using`, since regularizers see generated kernels.
        """
        if len(outputs) == 1:
            loss = self._compute_loss(
                x=x,
                y=y,
                y_pred=outputs[0],
                sample_weight=sample_weight,
                training=training,
            )
            return loss, []
        if self._compile_loss is None:
            raise ValueError(
                "An ensemble needs a `loss` in `compile()`: every member is "
                "trained with it. Received: loss=None."
            )
        of_members = [self._compile_loss(y, o, sample_weight) for o in outputs]
        if training:
            loss = sum(of_members)
        else:
            ensemble = log_mean_probabilities(outputs)
            loss = self._compile_loss(y, ensemble, sample_weight)
        for regularization in self.losses:
            loss += self._aggregate_additional_loss(regularization)
        return loss, of_members

    def _with_decay(self, gradient, variable):
        if not self.weight_decay or id(variable) in self._undecayed:
            return gradient
        return add_weight_decay(
            gradient, variable, self.weight_decay, self.optimizer
        )

    def _update_metrics(self, x, y, outputs, losses, sample_weight):
        loss, of_members = losses
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        batch = ops.shape(keras.tree.flatten(outputs)[0])[0]
        self._loss_tracker.update_state(loss * replicas, sample_weight=batch)
        outputs = at_least_float32(outputs)
        prediction = outputs[0]
        if self._member_metrics:
            self._member_metrics.update(
                y,
                outputs,
                [each * replicas for each in of_members],
            )
            prediction = log_mean_probabilities(outputs)
        return self.compute_metrics(x, y, prediction, sample_weight)

    def materialize(self):
        """The members as ordinary Keras models, their weights computed once.

        Returns:
            A list of one `keras.Model` a member, of the original classes and
            with the original names. They know nothing of this library, and
            load where it is not installed.
        """
        with self.generator.using(self.generator.superweights()):
            return [
                cloning.materialize(text, member)
                for text, member in zip(
                    self._member_texts, self.members, strict=True
                )
            ]

    def export(self, *args, **kwargs):
        raise ValueError(
            "A network whose kernels are generated is not exported as it is. "
            "Export its plain models with "
            "`keras_superweights.export.export_network(network, directory)`, "
            "or take them from `materialize()`."
        )

    def get_config(self):
        return {
            "name": self.name,
            "members": list(self._member_texts),
            "allocation": self.allocation.to_json(),
            "weight_decay": self.weight_decay,
            "decay_batch_norm": self.decay_batch_norm,
            "frozen": self._frozen(),
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        with cloning.without_memory():
            config["members"] = list(map(cloning.from_json, config["members"]))
        config["allocation"] = Allocation.from_json(config["allocation"])
        config["dtype"] = keras.saving.deserialize_keras_object(config["dtype"])
        frozen = config.pop("frozen")
        network = cls(**config)
        network.generator.trainable = not frozen["generator"]
        for member, paths in zip(
            network.members, frozen["members"], strict=True
        ):
            cloning.freeze(member, paths)
        return network

    def _frozen(self):
        """What the user has frozen, for `from_config`."""
        return {
            "generator": not self.generator.trainable,
            "members": list(map(cloning.frozen_paths, self.members)),
        }
