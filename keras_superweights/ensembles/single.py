"""A single member with any inputs and outputs."""

import keras

from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.member_metrics import MemberMetrics


@keras.saving.register_keras_serializable(package="keras_superweights")
class Single(EnsembleKind):
    """A network of one member, with that member's inputs and outputs.

    The default for one member. As the member itself would, it takes any loss,
    dicts of losses and metrics by output name, masks and sample weights, and
    reports nothing else; `get_layer` finds the member's layers.

    Example:

    ```python
    network = ksw.SuperWeightNetwork(model, budget_params=0.5)
    network.compile("adam", "mse", metrics=["mae"])
    ```
    """

    def __init__(self):
        super().__init__()  # nobody to split a batch with

    def check(self, models):
        if len(models) != 1:
            raise ValueError(
                "`ensemble=Single()` must have one member. Received: "
                f"{len(models)} members. Leave `ensemble` out, or pass the "
                "kind that combines what they answer, such as "
                "`keras_superweights.ensembles.Classifier()`."
            )

    def check_loss(self, loss):
        """Does nothing: Keras checks the losses of a model."""

    def checked_metrics(self, metrics):
        return metrics

    def member_metrics(self, num_members, metrics):
        return MemberMetrics(0, [], [])

    def front(self, members):
        return members[0]

    def prediction(self, outputs):
        return self.calibrated(outputs[0])

    def objective(self, network, x, y, sample_weight, training):
        outputs = network.member_outputs(x, training=training)
        loss = network.compute_loss(
            x,
            y,
            outputs[0] if training else self.prediction(outputs),
            sample_weight,
            training,
        )
        return outputs, [], loss

    def observed_members(self, outputs):
        return []

    def get_config(self):
        return {}
