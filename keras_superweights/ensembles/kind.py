"""The interface between an ensemble's members and its network."""

import inspect

import keras

from keras_superweights.ensembles.heads import check_returns_logits
from keras_superweights.ensembles.losses import check_takes_logits
from keras_superweights.ensembles.losses import is_known
from keras_superweights.ensembles.losses import loss_identity
from keras_superweights.ensembles.member_metrics import MemberMetrics
from keras_superweights.ensembles.splitting import split_batch
from keras_superweights.ensembles.tensors import at_least_float32
from keras_superweights.ensembles.tensors import joined
from keras_superweights.ensembles.tensors import with_mask_of


class EnsembleKind:
    """Base class: ensemble predictions, losses and metrics.

    A new kind is one subclass, registered with
    `keras.saving.register_keras_serializable`, that at least combines answers.
    The words:

        output      what one member returns, as its model defines it
        answer      the output as losses take it; by default the same
        prediction  what the ensemble answers, combined from the answers
        observed    an answer or a prediction as metrics take it

    By default, every member is called on the same batch and training minimises
    the sum of the members' losses; evaluation reports the loss of the
    prediction. Override `outputs` if members are not separate calls, and
    `objective` if training draws members or mixes the batch.

    Args:
        split_batch: Whether, in training, each member sees its own part of
            the batch, consecutive rows in equal number, and not all of it. A
            step then takes the time of one member, and each example is
            answered by one: in training, metrics are of its answer, and how
            members differ is not known. Defaults to `False`.

    Attributes:
        losses: A dict that maps each supported loss, as `loss_identity`
            returns it, to how this kind is written. Functions and classes of
            the user's own are accepted by every kind.
        logits_loss: If members must return logits, what to write for a loss
            that takes them; by default they need not.
        calibration: What is done to predictions, as the network's
            `calibration` has set it, or None.
        is_one_model: Whether all members are in one model, so that none
            answers alone.

    Example:

    ```python
    @keras.saving.register_keras_serializable(package="my_package")
    class Medians(ksw.ensembles.EnsembleKind):
        losses = {keras.losses.mean_absolute_error: "Medians()"}

        def combine(self, answers):
            return keras.ops.median(keras.ops.stack(answers), axis=0)


    network = ksw.SuperWeightNetwork(members, 0.5, ensemble=Medians())
    ```
    """

    losses = {}
    logits_loss = ""
    split_batch = False
    calibration = None
    is_one_model = False

    def __init__(self, split_batch=False):
        if not isinstance(split_batch, bool):
            raise TypeError(
                "`split_batch` must be a bool. Received: "
                f"split_batch={split_batch!r}."
            )
        self.split_batch = split_batch

    def check(self, models):
        """Checks that members, as Keras models, form an ensemble of this kind.

        Raises:
            ValueError: If a member does not have one input and one output, if
                their shapes differ, or the kind cannot combine them.
        """
        for index, model in enumerate(models):
            if len(model.inputs) != 1 or len(model.outputs) != 1:
                raise ValueError(
                    "Members of an ensemble must have one input and one "
                    f"output. Received for member {index} ('{model.name}'): "
                    f"{len(model.inputs)} inputs and {len(model.outputs)} "
                    "outputs."
                )
            self.check_output(index, model)
            if self.logits_loss:
                check_returns_logits(index, model)
            for what in ("input", "output"):
                first = getattr(models[0], f"{what}_shape")
                shape = getattr(model, f"{what}_shape")
                if shape != first:
                    raise ValueError(
                        f"All members must have the same {what} shape. "
                        f"Received: {first} for member 0 ('{models[0].name}') "
                        f"and {shape} for member {index} ('{model.name}')."
                    )

    def check_output(self, index, model):
        """Checks that the kind can combine the output of a member."""

    def accepts(self, identity):
        """Returns whether the kind supports a loss, given as its identity."""
        return identity in self.losses

    def check_loss(self, loss):
        """Checks that the ensemble can be trained with a loss.

        Args:
            loss: As for `keras.Model.compile`.

        Raises:
            ValueError: If there are several losses, or it is a Keras loss that
                does not fit the kind; the message names the kind that would.
        """
        if isinstance(loss, (dict, list, tuple)):
            raise ValueError(
                "`loss` must be one loss: an ensemble has one output, and "
                "every member is trained with the same loss. "
                f"Received: loss={loss!r}."
            )
        if loss is None:
            return
        identity = loss_identity(loss)
        if self.accepts(identity) or not is_known(identity):
            if self.logits_loss:
                check_takes_logits(loss, self.logits_loss)
            return
        fitting = [
            f"`ensemble=keras_superweights.ensembles.{kind.losses[identity]}`"
            for kind in EnsembleKind.__subclasses__()
            if identity in kind.losses and is_known(kind)
        ]
        raise ValueError(
            f"`loss` must fit the kind of ensemble, {self}. Received: "
            f"loss={loss!r}. "
            + (
                f"Make the network with {' or '.join(fitting)}."
                if fitting
                else "No kind of ensemble fits this loss: pass a function "
                "`loss(y_true, y_pred)` that takes what the ensemble answers."
            )
        )

    def checked_metrics(self, metrics):
        """Returns the ensemble's metrics, checked, for Keras.

        Args:
            metrics: `metrics` or `weighted_metrics` of `compile`: a list or
                `None`.

        Raises:
            ValueError: If they are in a dict, or one of them misreads what
                metrics of the kind observe.
        """
        if isinstance(metrics, dict):
            raise ValueError(
                "`metrics` of an ensemble must be a list: every member has one "
                f"output. Received: metrics={metrics}."
            )
        if isinstance(metrics, (list, tuple)):
            return [self.metric(metric) for metric in metrics]
        return metrics

    def metric(self, metric):
        """Returns one metric of `compile`, checked, or its replacement."""
        return metric

    def member_metrics(self, num_members, metrics):
        """Returns the `MemberMetrics` reported beside the ensemble's."""
        return MemberMetrics(
            num_members, metrics, self.comparisons(num_members)
        )

    def comparisons(self, num_members):
        """Returns a list of metrics of `(y, observed of each member)`."""
        return []

    def front(self, members):
        """Returns the member whose inputs and outputs the network takes over.

        `None` for kinds that combine several members.
        """
        return None

    def input(self, members):
        """Returns a Keras input like those that the network takes."""
        first = members[0].inputs[0]
        return keras.Input(batch_shape=first.shape, dtype=first.dtype)

    def outputs(self, members, inputs, training=False, mask=None):
        """Returns a list of all members' outputs for a batch.

        Called while kernels are generated for all members.
        """
        return [m(inputs, training=training, mask=mask) for m in members]

    def answer(self, output):
        """Returns the output of one member as losses take it."""
        return output

    def combine(self, answers):
        """Combines the members' answers into the ensemble's.

        Use only `keras.ops`, so that it can be exported as plain Keras.
        """
        raise NotImplementedError

    def prediction(self, outputs):
        """Predicts from the outputs of all or some members."""
        answers = [self.answer(output) for output in outputs]
        return with_mask_of(outputs, self.calibrated(self.combine(answers)))

    def calibrated(self, prediction):
        """Applies the network's calibration, if there is one."""
        return self.calibration(prediction) if self.calibration else prediction

    def observed(self, answer):
        """Returns an answer or a prediction as metrics see it, in float32."""
        return at_least_float32(answer)

    def objective(self, network, x, y, sample_weight, training):
        """Computes outputs and losses of one batch.

        Called while kernels are generated for all members.

        Args:
            network: The `SuperWeightNetwork`.
            x, y, sample_weight: The batch.
            training: Whether `loss` is minimised, or only reported.

        Returns:
            `(outputs, losses, loss)`: one output per member, its rows in the
            order of `y`; one loss per member; and the total loss, including
            regularization. Where members see other rows than the batch's, also
            `(y, sample_weight)` of each.
        """
        if training and self.split_batch:
            return self._objective_of_parts(network, (x, y, sample_weight))
        outputs = network.member_outputs(x, training=training)
        of_members = [
            network.data_loss(y, self._answer(output), sample_weight)
            for output in outputs
        ]
        if training:
            loss = sum(of_members)
        else:
            loss = network.data_loss(y, self.prediction(outputs), sample_weight)
        return outputs, of_members, loss + network.regularization_loss()

    def _objective_of_parts(self, network, batch):
        outputs, losses, batches = [], [], []
        parts = split_batch(batch, len(network.members))
        for member, part in zip(network.members, parts, strict=True):
            x, y, sample_weight = part
            outputs += self.outputs([member], x, training=True)
            answer = self._answer(outputs[-1])
            losses.append(network.data_loss(y, answer, sample_weight))
            batches.append((y, sample_weight))
        loss = sum(losses) + network.regularization_loss()
        return outputs, losses, loss, batches

    def joined(self, outputs):
        """Predicts from the outputs of each member for rows of its own."""
        return joined([self.prediction([output]) for output in outputs])

    def _answer(self, output):
        return with_mask_of([output], self.answer(output))

    def observed_members(self, outputs):
        """Returns a list of what metrics see of every member."""
        return [self.observed(self._answer(output)) for output in outputs]

    def __repr__(self):
        defaults = inspect.signature(type(self)).parameters
        values = ", ".join(
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if name not in defaults or value != defaults[name].default
        )
        return f"{type(self).__name__}({values})"

    def get_config(self):
        return {"split_batch": self.split_batch}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
