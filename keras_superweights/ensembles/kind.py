"""What every kind of ensemble answers: one interface for the network."""

from keras_superweights.ensembles.losses import is_known
from keras_superweights.ensembles.losses import loss_identity
from keras_superweights.ensembles.member_metrics import MemberMetrics
from keras_superweights.ensembles.tensors import at_least_float32
from keras_superweights.ensembles.tensors import with_mask_of


class EnsembleKind:
    """What members answer together, how they are trained and measured.

    The base class of all kinds. A kind is one file: it derives from this
    class, is registered with `keras.saving.register_keras_serializable`, and
    says at least how answers are combined. The words:

        output      what one member returns, as its model defines it
        answer      the output as losses take it; by default the same
        prediction  what the ensemble answers, combined from the answers
        observed    an answer or a prediction as metrics take it

    By default every member is called on the same batch and trained with its
    own loss, the sum of which is minimised; in evaluation the loss is that of
    the prediction. A kind whose members are not separate calls overrides
    `outputs`; one whose training draws members, or mixes the batch, overrides
    `objective`.

    Attributes:
        losses: A dict of the losses of Keras and of this library that the
            kind is trained with, as `loss_identity` has them, to the way to
            write the kind. Functions and classes of the user's own are
            accepted by every kind.

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

    def check(self, models):
        """Refuses members that are no ensemble of this kind.

        Args:
            models: The members, as Keras models.

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
        """Refuses one member whose output the kind cannot combine."""

    def accepts(self, identity):
        """Whether a loss, as `loss_identity` has it, is one of the kind."""
        return identity in self.losses

    def check_loss(self, loss):
        """Refuses a loss that the kind cannot be trained with.

        Args:
            loss: As for `keras.Model.compile`.

        Raises:
            ValueError: If there are several losses, or the loss is one of
                Keras that does not fit the kind; the message names the kind
                that would fit.
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
        """The metrics for the ensemble, checked.

        Args:
            metrics: `metrics` or `weighted_metrics` of `compile`, a list, or
                `None`.

        Returns:
            What Keras is given in their place.

        Raises:
            ValueError: If they are in a dict, or one of them is wrong on what
                metrics of the kind see.
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
        """One metric of `compile`, checked, or what stands in its place."""
        return metric

    def member_metrics(self, num_members, metrics):
        """The `MemberMetrics` that are reported besides the ensemble's."""
        return MemberMetrics(
            num_members, metrics, self.comparisons(num_members)
        )

    def comparisons(self, num_members):
        """Metrics of `(y, what is observed of each member)`, a list."""
        return []

    def front(self, members):
        """The member that the network has inputs, outputs and layers of.

        `None` of a kind that combines several.
        """
        return None

    def outputs(self, members, inputs, training=False, mask=None):
        """What every member returns for a batch, a list.

        Called while kernels are generated for all members.
        """
        return [m(inputs, training=training, mask=mask) for m in members]

    def answer(self, output):
        """The output of one member as losses take it."""
        return output

    def combine(self, answers):
        """The ensemble's answer, of one per member.

        Made of `keras.ops` only, so that it can be exported as plain Keras.
        """
        raise NotImplementedError

    def prediction(self, outputs):
        """What the ensemble predicts from the outputs of (some) members."""
        answers = [self.answer(output) for output in outputs]
        return with_mask_of(outputs, self.combine(answers))

    def observed(self, answer):
        """An answer, or a prediction, as metrics see it: in float32."""
        return at_least_float32(answer)

    def objective(self, network, x, y, sample_weight, training):
        """One batch: what members return, their losses, and the loss.

        Called while kernels are generated for all members.

        Args:
            network: The `SuperWeightNetwork`.
            x, y, sample_weight: The batch.
            training: Whether `loss` is minimised, or only reported.

        Returns:
            `(outputs, losses, loss)`: one output per member, in the order of
            the rows of `y`; one loss per member; and the loss of all, with
            that of regularizers.

        Raises:
            ValueError: If the network was compiled without a loss.
        """
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

    def _answer(self, output):
        return with_mask_of([output], self.answer(output))

    def observed_members(self, outputs):
        """What metrics see of every member, a list."""
        return [self.observed(self._answer(output)) for output in outputs]

    def __repr__(self):
        values = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({values})"

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
