"""SuperWeightNetwork: members that are trained together inside a budget."""

import keras
import tensorflow as tf
from keras import ops

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import check_format
from keras_superweights.banks import KernelGenerator
from keras_superweights.ensembles.choosing import choose_kind
from keras_superweights.members import allocating
from keras_superweights.members import cloning
from keras_superweights.members import skeleton
from keras_superweights.members import warm_start as initialization
from keras_superweights.members.rebuilding import check_rebuilding
from keras_superweights.training.distribution import DistributedFit
from keras_superweights.training.front import FrontOfMember
from keras_superweights.training.gradients import add_weight_decay
from keras_superweights.training.gradients import average_over_replicas
from keras_superweights.training.gradients import loss_scale
from keras_superweights.training.gradients import move_slot_rows
from keras_superweights.training.gradients import statistics
from keras_superweights.training.gradients import two_stage_gradients
from keras_superweights.training.gradients import undecayed_variables

# Of a network's config. A version that changes it reads all that are lower.
FORMAT = 1


@keras.saving.register_keras_serializable(package="keras_superweights")
class SuperWeightNetwork(FrontOfMember, DistributedFit, keras.Model):
    """Networks that are trained together inside a number of parameters.

    Members are ordinary Keras models. Their layers share weights as an
    `Allocation` says: each shared kernel is put together from SuperWeights,
    mixtures of templates held in banks. All kernels are generated once per
    step, and the step differentiates in two stages:

        S = C @ T                     every bank's pieces   (generation tape)
        loss(outputs of members(S))                               (loss tape)
        dS    = d loss / d S          the gradient of every kernel's pieces
        dC, dT = the pieces' gradient times dS

    A kind of `keras_superweights.ensembles` says what members answer together
    and how they are trained. Several members are a `Classifier` by default:
    each is trained on the same batches with its own loss, and the network
    answers `log(mean_m softmax(logits_m))`. One member is `Single`: the
    network has its inputs, outputs and layers, and takes any Keras loss. In
    the logs of an ensemble, `loss` is the sum of the members' losses in
    training, and the loss of the prediction in evaluation; `member_0_loss`,
    `member_0_accuracy`, ... are each member's in both, and a kind adds how
    much members differ, such as `diversity`.

    Calling the network gives the prediction, in training too: inside another
    model, all members are trained. `member_outputs(x)` has the output of each.

    Layers are frozen as in any Keras model, before `compile`. A layer that was
    frozen in the model given keeps its values and shares nothing. One frozen
    in the network, `network.members[0].get_layer("conv").trainable = False`,
    stops teaching: its kernel passes no gradient to the bank, which goes on
    learning from the layers that share it, and the kernel follows.

    Members compute in the dtypes of their own layers, whatever the global
    dtype policy is when the network is made. Banks and generated kernels are
    float32 (float64 for members of float64); a layer casts its kernel where it
    reads it, as it casts its variables. Losses, predictions and metrics of
    ensembles are computed in float32.

    Made and compiled in the scope of a `tf.distribute` strategy, it trains on
    all of its replicas. Each worker of a `MultiWorkerMirroredStrategy` calls
    `fit` and `evaluate` on the same batches, or on its own rows of each, as
    `strategy.distribute_datasets_from_function` gives them.

    Args:
        members: Functional or Sequential Keras models, or functions that
            return them, which costs no memory for the models. Members of an
            ensemble have one input, one output, and equal shapes. They are
            cloned, not trained. Layers that are not trained (frozen, or
            adapted to data) keep their values; `initialize` says what else a
            network starts with.
        budget_params: The most trainable scalars, an integer, or a float: a
            fraction of what the members have when they share nothing.
            Defaults to 1.0.
        sharing: A rule of `keras_superweights.sharing`. Defaults to
            `SuperWeights()`.
        allocation: Instead of a budget and a rule, an `Allocation` made for
            the same members.
        initialize: `"fresh"`: the network starts anew, as a new model does.
            `"weights"`: it starts from the members' weights. What is not
            generated is copied. Banks, coefficients and masks are fitted to
            the members' kernels by least squares of their relative errors,
            which takes seconds to minutes; `initial_errors` says how well that
            went, for each kernel of the allocation: 0 where it is met, 1 where
            nothing of it is. A network that starts far from its members warns.
        weight_decay: Coupled weight decay: `weight_decay * variable` is added
            to the gradient, and so goes through momentum, as in the papers
            (5e-4 on CIFAR). Applies to every trainable variable but
            coefficients, what they are computed from, and masks. Keras
            optimizers' own `weight_decay` is decoupled. Defaults to 0.
        decay_batch_norm: Whether weight decay applies to the scales and
            offsets of batch normalization. Defaults to `True` (CIFAR);
            ImageNet's recipe has `False`.
        ensemble: A kind of `keras_superweights.ensembles`. Defaults to
            `Single()` for one member and `Classifier()` for several.
        name: Name of the model.
        **kwargs: As for `keras.Model`.

    Raises:
        TypeError: If an argument is of another kind.
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
        if not isinstance(weight_decay, (int, float)) or not weight_decay >= 0:
            raise ValueError(
                "`weight_decay` must be a number and not negative. Received: "
                f"weight_decay={weight_decay!r}."
            )
        models = skeleton.skeletons(members)
        for index, model in enumerate(models):
            check_rebuilding(index, model)
        ensemble = choose_kind(ensemble, models)
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
        self.ensemble = ensemble
        self.weight_decay = weight_decay
        self.decay_batch_norm = decay_batch_norm
        # Text: attributes that are dicts are wrapped by Keras' tracking.
        self._member_texts = tuple(map(cloning.to_json, models))
        dtype = skeleton.generated_dtype(self.variable_dtype)
        self.generator = KernelGenerator(allocation, dtype=dtype)
        self.members = cloning.generated_clones(models, self.generator)
        self._member_metrics = ensemble.member_metrics(len(models), None)
        self._recorder = None
        self._undecayed = undecayed_variables(
            self.generator, self._flatten_layers(), decay_batch_norm
        )
        self.initial_errors = ()
        if initialize == "weights":
            self.initial_errors = initialization.begin_with_weights(
                models, self.members, self.generator
            )
        self.built = True

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
        """As `keras.Model.compile`; of an ensemble, with these differences.

        It has one output, and so one loss, which fits its kind, and its
        metrics are in a list. Each of them is reported for the ensemble and
        for every member.

        Raises:
            ValueError: If the loss of an ensemble does not fit its kind, or
                there are several; if its metrics are in a dict, or take what
                the kind does not answer.
        """
        kind = self.ensemble
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
        with tf.GradientTape() as generation_tape:
            superweights = self.generator.superweights()
        with tf.GradientTape() as loss_tape:
            loss_tape.watch(superweights)
            with self.generator.using(superweights):
                results = self.ensemble.objective(
                    self, x, y, sample_weight, training=True
                )
            scaled_loss = self.optimizer.scale_loss(results[-1])
        gradients, of_superweights = two_stage_gradients(
            scaled_loss,
            self.trainable_variables,
            self.generator,
            superweights,
            loss_tape,
            generation_tape,
        )
        if self._recorder is not None:
            scale = loss_scale(self.optimizer)
            self._recorder.update(of_superweights, loss_scale=scale)
        variables = self.trainable_variables
        if self.weight_decay:
            gradients = add_weight_decay(
                gradients,
                variables,
                self.weight_decay,
                self.optimizer,
                self._undecayed,
            )
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        # Each replica has updated its own copy of the batch-norm statistics;
        # apart, a saved model would not be the one that was evaluated.
        average_over_replicas(self._statistics())
        return self._update_metrics(x, y, sample_weight, *results)

    def _statistics(self):
        return statistics(self._flatten_layers(), self.non_trainable_variables)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with self.generator.using(self.generator.superweights()):
            results = self.ensemble.objective(
                self, x, y, sample_weight, training=False
            )
        return self._update_metrics(x, y, sample_weight, *results)

    def data_loss(self, y, y_pred, sample_weight=None):
        """The compiled loss of one answer, without regularization.

        Scaled for its replica, as is `regularization_loss`.

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
        """The sum of what layers add to the loss in this step.

        Inside `generator.using`, since regularizers see generated kernels.
        """
        return sum(map(self._aggregate_additional_loss, self.losses))

    def _update_metrics(self, x, y, sample_weight, outputs, of_members, loss):
        kind = self.ensemble
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        batch = ops.shape(keras.tree.flatten(outputs)[0])[0]
        self._loss_tracker.update_state(loss * replicas, sample_weight=batch)
        self._member_metrics.update(
            y,
            kind.observed_members(outputs),
            [each * replicas for each in of_members],
        )
        return self.compute_metrics(
            x, y, kind.prediction(outputs), sample_weight
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        observed = self.ensemble.observed(y_pred)
        self._member_metrics.build(y, observed)
        return super().compute_metrics(x, y, observed, sample_weight)

    def materialize(self):
        """The members as ordinary Keras models, their weights computed once.

        Returns:
            A list of one `keras.Model` per member, of the original classes
            and with the original names. They know nothing of this library, and
            load where it is not installed.
        """
        with self.generator.using(self.generator.superweights()):
            return list(
                map(cloning.materialize, self._member_texts, self.members)
            )

    def export(self, *args, **kwargs):
        raise ValueError(
            "A network whose kernels are generated is not exported as it is. "
            "Export its plain models with "
            "`keras_superweights.export.export_network(network, directory)`, "
            "or take them from `materialize()`."
        )

    def get_config(self):
        return {
            "format": FORMAT,
            "name": self.name,
            "members": list(self._member_texts),
            "allocation": self.allocation.to_json(),
            "ensemble": keras.saving.serialize_keras_object(self.ensemble),
            "weight_decay": self.weight_decay,
            "decay_batch_norm": self.decay_batch_norm,
            "frozen": self._frozen(),
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
