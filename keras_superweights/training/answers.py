"""What a trained network answers: each member, and calibrated together."""

import copy

import keras

from keras_superweights.calibration.scaling import Calibration


class _Members(keras.Model):
    """Answers with a list of what each member of a network does."""

    def __init__(self, network):
        super().__init__(name="members", dtype=network.dtype_policy)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        # A function: a model would be tracked, and its weights be this one's.
        self._answers = lambda inputs: [
            network.ensemble.answer(output)
            for output in network.member_outputs(inputs)
        ]
        self.compile(jit_compile=network.jit_compile)

    def call(self, inputs):
        return self._answers(inputs)


class Answers:
    """Gives a network members' predictions, and a calibration.

    For a `keras.Model` with an `ensemble` and `member_outputs`.
    """

    @property
    def calibration(self):
        """What is done to the network's answers, or None.

        A `keras_superweights.calibration.Calibration`, such as
        `TemperatureScaling`, fitted on examples that were held out. Part of
        what `predict`, `evaluate` and calls answer, of saved networks and of
        exported ensembles; members are trained, and answer alone, without it.

        Raises:
            TypeError: If it is set to something else.
            ValueError: If it was fitted to answers of another shape, or the
                network has several outputs.
        """
        return self.ensemble.calibration

    @calibration.setter
    def calibration(self, calibration):
        if calibration is not None:
            if not isinstance(calibration, Calibration):
                raise TypeError(
                    "`calibration` must be one of "
                    "`keras_superweights.calibration`, such as "
                    "`TemperatureScaling.fit(logits, labels)`, or None. "
                    f"Received: calibration={calibration!r}."
                )
            outputs = self.members[0].outputs
            if len(outputs) != 1:
                raise ValueError(
                    "A network with a `calibration` must have one output. "
                    f"Received: {len(outputs)} outputs."
                )
            calibration.check(tuple(outputs[0].shape[1:]))
        # The kind may be that of other networks.
        self.ensemble = copy.copy(self.ensemble)
        self.ensemble.calibration = calibration
        # Compiled before, without it.
        self.train_function = self.test_function = self.predict_function = None

    def get_config(self):
        if self.calibration is None:
            return {}
        kept = keras.saving.serialize_keras_object(self.calibration)
        return {"calibration": kept}

    def predict_members(self, x, batch_size=None, verbose="auto", steps=None):
        """Predicts with each member, in one pass; see `keras.Model.predict`.

        Args:
            x, batch_size, verbose, steps: As for `predict`: arrays, tensors,
                dicts of them, a `tf.data.Dataset` or `keras.utils.PyDataset`
                of inputs with or without labels.

        Returns:
            A list with one array per member, in the order of `members`: its
            outputs, such as logits; of `Regression(variance=True)` means and
            positive variances. What combines them is `predict`.

        Example:

        ```python
        logits = network.predict_members(images)
        found = ksw.metrics.uncertainty(logits)
        found["mutual_information"]  # of each image
        ```
        """
        if "_members_model" not in vars(self):
            with self.distribute_strategy.scope():
                # Past Keras' tracking: it is no layer of this network.
                vars(self)["_members_model"] = _Members(self)
        return self._members_model.predict(x, batch_size, verbose, steps)
