"""Members inside one network: several inputs, an answer for each."""

import keras
import tensorflow as tf
from keras import ops

from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_integer
from keras_superweights.ensembles.classifier import Classifier

# Of MixMo: the distribution of ratios, and the root that softens weights.
_ALPHA, _ROOT = 2.0, 3.0


@keras.saving.register_keras_serializable(package="keras_superweights")
class MIMO(Classifier):
    """An ensemble inside one network, which answers several inputs at once.

    The network has one model, of `models.mimo`: it takes the channels of
    `num_members` inputs and returns as many logits. In training every member
    sees examples of its own,

        index   = shuffle(tile(rows of the batch, batch_repetition))
        of m    = shuffle(first part of index), then its rest in common,

    where the rest is the fraction `input_repetition`, and the loss is the sum
    of the members' [1]. In prediction all see the same example, and the
    ensemble averages their probabilities, as `Classifier`. It costs what one
    network costs, and answers at one speed.

    `mixing` says how the inputs of two members become one. `"linear"` and
    `"cut"` are those of MixMo [2]: with `k` drawn from Beta(2, 2) for every
    row, inputs are weighed by `2 k` and `2 (1 - k)`, or the second is seen in
    a box of `1 - k` of the image and the first elsewhere, both twice as large;
    with `"cut"` this is done to half of the rows, the others are weighed. The
    losses of the members are weighed by

        w(k) = 2 k^(1/3) / (k^(1/3) + (1 - k)^(1/3))    and    w(1 - k).

    Here boxes are cut from images, not from the features of the first
    convolution, which differs at their edges.

    Losses and metrics are those of `Classifier`. In training, metrics are of
    each member's own examples.

    Args:
        num_members: Positive integer.
        batch_repetition: How often a step sees each example of its batch.
            Defaults to 4, as for CIFAR [1].
        input_repetition: Fraction of the rows in which all members see the
            same example. Defaults to 0.
        mixing: `"concatenate"`, or for two members `"linear"` or `"cut"`.
        seed: Integer. With the number of the step it decides who sees what.

    Raises:
        ValueError: If an argument is not as above.

    Example:

    ```python
    model = ksw.models.mimo(ksw.models.wide_resnet(16, 2), num_members=3)
    network = ksw.SuperWeightNetwork(
        model, budget_params=0.5, ensemble=ksw.ensembles.MIMO(3)
    )
    ```

    References:
        - [1] Havasi et al., Training independent subnetworks for robust
          prediction (ICLR 2021), sections 2 and 3:
          https://arxiv.org/abs/2010.06610
        - [2] Ramé et al., MixMo: Mixing Multiple Inputs for Multiple Outputs
          via Deep Subnetworks (ICCV 2021), section 3:
          https://arxiv.org/abs/2103.06132
    """

    is_one_model = True

    def __init__(
        self,
        num_members=3,
        batch_repetition=4,
        input_repetition=0.0,
        mixing="concatenate",
        seed=0,
    ):
        super().__init__()
        check_integer("num_members", num_members)
        check_integer("batch_repetition", batch_repetition)
        check_choice("mixing", mixing, ("concatenate", "linear", "cut"))
        check_integer("seed", seed, least=0)
        if not 0 <= input_repetition <= 1:
            raise ValueError(
                "`input_repetition` must be a number from 0 to 1. Received: "
                f"input_repetition={input_repetition!r}."
            )
        if mixing != "concatenate" and num_members != 2:
            raise ValueError(
                f"`mixing={mixing!r}` is of two members. Received: "
                f"num_members={num_members}. Write num_members=2, or "
                'mixing="concatenate".'
            )
        self.num_members = num_members
        self.batch_repetition = batch_repetition
        self.input_repetition = input_repetition
        self.mixing = mixing
        self.seed = seed

    def check(self, models):
        if len(models) != 1:
            raise ValueError(
                "`ensemble=MIMO()` must have one model, which holds all "
                f"members. Received: {len(models)} models."
            )
        super().check(models)

    def check_output(self, index, model):
        sizes = model.inputs[0].shape[-1], model.outputs[0].shape[-1]
        if any(size is None or size % self.num_members for size in sizes):
            raise ValueError(
                f"The model of `ensemble={self}` must have channels and logits "
                f"for {self.num_members} members, as from "
                "`keras_superweights.models.mimo(model, num_members)`. "
                f"Received: '{model.name}' with inputs "
                f"{model.inputs[0].shape} and outputs {model.outputs[0].shape}."
            )
        if self.mixing == "cut" and len(model.inputs[0].shape) != 4:
            raise ValueError(
                '`mixing="cut"` cuts boxes from images (batch, height, width, '
                f"channels). Received: '{model.name}' with inputs "
                f"{model.inputs[0].shape}."
            )

    def member_metrics(self, num_members, metrics):
        return super().member_metrics(self.num_members, metrics)

    def input(self, members):
        shape = members[0].inputs[0].shape
        shape = (*shape[:-1], shape[-1] // self.num_members)
        return keras.Input(batch_shape=shape, dtype=members[0].inputs[0].dtype)

    def outputs(self, members, inputs, training=False, mask=None):
        return self._outputs(members, [inputs] * self.num_members, training)

    def _outputs(self, members, inputs, training):
        together = ops.concatenate(inputs, axis=-1)
        output = members[0](together, training=training)
        return ops.split(output, self.num_members, axis=-1)

    def objective(self, network, x, y, sample_weight, training):
        if not training:
            return super().objective(network, x, y, sample_weight, training)
        keys = self._keys(network.optimizer.iterations)
        inputs, batches = [], []
        for rows in self._rows(ops.shape(x)[0], keys[0]):
            inputs.append(ops.take(x, rows, axis=0))
            own = (y, sample_weight)
            batches.append(keras.tree.map_structure(_taker(rows), own))
        if self.mixing != "concatenate":
            inputs, weights = self._mixed(inputs, keys[1])
            batches = [
                (target, own if weight is None else weight * own)
                for (target, weight), own in zip(batches, weights, strict=True)
            ]
        outputs = self._outputs(network.members, inputs, training=True)
        losses = [
            network.data_loss(target, self._answer(output), weight)
            for output, (target, weight) in zip(outputs, batches, strict=True)
        ]
        loss = sum(losses) + network.regularization_loss()
        return outputs, losses, loss, batches

    def _keys(self, step):
        """Returns two random keys of this step on this replica."""
        replica = tf.distribute.get_replica_context()
        key = tf.constant([self.seed, 0])
        for number in (step, replica.replica_id_in_sync_group):
            number = tf.cast(ops.convert_to_tensor(number), "int32")
            key = tf.random.fold_in(key, number)
        return tf.unstack(tf.random.split(key, 2))

    def _rows(self, batch_size, key):
        """Returns which rows of the batch each member sees."""
        keys = tf.unstack(tf.random.split(key, self.num_members + 1))
        rows = tf.tile(tf.range(batch_size), [self.batch_repetition])
        rows = tf.random.experimental.stateless_shuffle(rows, keys[0])
        share = 1.0 - self.input_repetition
        own = tf.cast(share * tf.cast(tf.shape(rows)[0], "float32"), "int32")
        return [
            tf.concat(
                [
                    tf.random.experimental.stateless_shuffle(rows[:own], each),
                    rows[own:],
                ],
                axis=0,
            )
            for each in keys[1:]
        ]

    def _mixed(self, inputs, key):
        """Mixes the inputs of two members; returns them and loss weights."""
        of_ratio, of_coin, of_box = tf.unstack(tf.random.split(key, 3))
        count = tf.shape(inputs[0])[0]
        # Beta(a, a), by two gamma variates.
        pairs = tf.random.stateless_gamma([2, count], of_ratio, alpha=_ALPHA)
        ratio = pairs[0] / (pairs[0] + pairs[1])
        shape = [count] + [1] * (len(inputs[0].shape) - 1)
        first = tf.reshape(ratio, shape)
        if self.mixing == "cut":
            coins = tf.random.stateless_uniform([count], of_coin) < 0.5
            seen = _outside_boxes(inputs[0], ratio, of_box)
            # A box at an edge is smaller than it was drawn.
            true = tf.reduce_mean(seen, axis=[1, 2, 3])
            ratio = tf.where(coins, true, ratio)
            first = tf.where(tf.reshape(coins, shape), seen, first)
        first = tf.cast(first, inputs[0].dtype)
        roots = ratio ** (1 / _ROOT), (1 - ratio) ** (1 / _ROOT)
        weights = [2 * root / (roots[0] + roots[1]) for root in roots]
        mixed = [2 * first * inputs[0], 2 * (1 - first) * inputs[1]]
        return mixed, weights

    def get_config(self):
        return {
            "num_members": self.num_members,
            "batch_repetition": self.batch_repetition,
            "input_repetition": self.input_repetition,
            "mixing": self.mixing,
            "seed": self.seed,
        }


def _taker(rows):
    return lambda t: None if t is None else ops.take(t, rows, axis=0)


def _outside_boxes(images, ratios, key):
    """Returns masks `(rows, height, width, 1)`: 0 in a box of `1 - ratio`."""
    count, height, width = tf.unstack(tf.shape(images)[:3])
    centres = tf.random.stateless_uniform([2, count, 1], key)
    half = tf.sqrt(1.0 - ratios)[:, None] / 2

    def inside(size, centre):
        size = tf.cast(size, "float32")
        places = (tf.range(size) + 0.5) / size
        return tf.abs(places - centre) < half

    down, across = inside(height, centres[0]), inside(width, centres[1])
    box = down[:, :, None] & across[:, None, :]
    return 1.0 - tf.cast(box, "float32")[..., None]
