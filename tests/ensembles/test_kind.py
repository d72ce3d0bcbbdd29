"""Contracts of every kind of ensemble."""

import inspect

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from tests.builders import dtype_policy
from tests.ensembles.cases import CASES
from tests.ensembles.cases import mlp


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def names_of(case):
    """Returns the names in the logs of a case."""
    of_network = ["loss"]
    for metric in case.metrics():
        of_network.append(metric if isinstance(metric, str) else metric.name)
    reported = list(of_network)
    if not isinstance(case.kind, ksw.ensembles.Single):
        for member in range(case.num_members):
            reported += [f"member_{member}_{name}" for name in of_network]
    return {*reported, *case.comparisons}


def test_it_trains_evaluates_and_predicts(case):
    network = case.compiled(case.network())
    x, y = case.batch()
    history = network.fit(
        x, y, batch_size=4, validation_data=(x, y), verbose=0
    ).history
    names = names_of(case)
    assert set(history) == names | {f"val_{name}" for name in names}
    assert np.isfinite(history["loss"]).all()
    predicted = network.predict(x, verbose=0)
    assert np.isfinite(predicted).all()
    assert len(predicted) == len(x)
    np.testing.assert_allclose(network(x), predicted, atol=1e-5)
    np.testing.assert_allclose(network(x, training=True), predicted, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["classifier of pixels", "multi-label", "mean and variance"]
)
def test_a_compiled_step_equals_an_eager_one(name):
    case = CASES[name]
    x, y = case.batch()
    results = []
    for kwargs in ({"jit_compile": True}, {"run_eagerly": True}):
        keras.utils.set_random_seed(1)
        network = case.compiled(case.network(), **kwargs)
        logs = network.train_on_batch(x, y, return_dict=True)
        assert set(logs) == names_of(case)
        results.append([*logs.values(), *network.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["single", "classifier", "multi-label", "values of pixels"]
)
def test_its_metrics_are_made_before_the_first_step_is_traced(name):
    """By a symbolic build, which changes no value."""
    case = CASES[name]
    network = case.compiled(case.network(), jit_compile=False)
    traces = []
    step = network.test_step
    network.test_step = lambda data: traces.append(1) or step(data)
    x, y = case.batch()
    logs = network.evaluate(x, y, verbose=0, return_dict=True)
    assert len(traces) == 1
    case.compiled(network)
    expected = network.evaluate(x, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_its_config_is_its_arguments(case):
    parameters = inspect.signature(type(case.kind)).parameters
    assert set(case.kind.get_config()) == set(parameters)
    for name, value in case.kind.get_config().items():
        assert getattr(case.kind, name) == value
    assert repr(case.kind).startswith(f"{type(case.kind).__name__}(")


def test_inside_another_model_all_members_learn(case):
    network = case.network()
    x, _ = case.batch()
    inputs = keras.Input(x.shape[1:], dtype=x.dtype)
    outer = keras.Model(inputs, network(inputs))
    outer.compile(
        keras.optimizers.SGD(1.0),
        lambda y_true, y_pred: keras.ops.mean((y_true - y_pred) ** 2),
        run_eagerly=True,
    )
    heads = [member.layers[-1].kernel for member in network.members]
    before = [np.array(head) for head in heads]
    outer.train_on_batch(x, np.ones(network(x).shape, "float32"))
    for head, value in zip(heads, before, strict=True):
        assert np.abs(head - value).max() > 1e-6


def test_members_are_measured_as_if_they_were_alone(case):
    """In two batches, of which the second is smaller."""
    if isinstance(case.kind, ksw.ensembles.Single):
        return
    network = case.compiled(case.network())
    x, y = case.batch()
    settings = {"batch_size": 5, "verbose": 0, "return_dict": True}
    logs = network.evaluate(x, y, **settings)
    for index, plain in enumerate(network.materialize()):
        alone = ksw.SuperWeightNetwork(
            plain, ensemble=case.kind, initialize="weights"
        )
        expected = case.compiled(alone).evaluate(x, y, **settings)
        for name in names_of(case) & set(expected):
            if f"member_{index}_{name}" in logs:
                found = logs[f"member_{index}_{name}"]
                assert found == pytest.approx(expected[name], abs=1e-5), name


def test_narrow_members_are_combined_and_measured_in_float32(case):
    with dtype_policy("mixed_bfloat16"):
        network = case.compiled(case.network())
    x, y = case.batch()
    logs = network.fit(x, y, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    outputs = network.member_outputs(x)
    assert {o.dtype.name for o in outputs} == {"bfloat16"}
    for seen in (
        case.kind.observed(network(x)),
        *case.kind.observed_members(outputs),
    ):
        assert seen.dtype == "float32"


def test_the_plain_ensemble_predicts_the_same_and_is_of_keras(case, tmp_path):
    network = case.network()
    x, _ = case.batch()
    plain = ksw.export.materialize_ensemble(network)
    for layer in plain._flatten_layers():
        assert type(layer).__module__.startswith("keras.src."), layer
    plain.save(tmp_path / "plain.keras")
    for model in (plain, keras.models.load_model(tmp_path / "plain.keras")):
        np.testing.assert_allclose(model(x), network(x), atol=1e-5)


def test_several_losses_are_refused(case):
    if isinstance(case.kind, ksw.ensembles.Single):
        return
    for losses in ({"a": "mse"}, ["mse"], ("mse", "mae")):
        with pytest.raises(ValueError, match="`loss` must be one.*Received: l"):
            case.kind.check_loss(losses)
    with pytest.raises(ValueError, match="`metrics`.*must be a list"):
        case.network().compile("sgd", metrics={"head": ["accuracy"]})


def test_losses_of_the_users_own_are_accepted(case):
    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    for loss in (None, Own(), lambda y_true, y_pred: y_pred[:, 0]):
        case.kind.check_loss(loss)


CLASSIFIER = ksw.ensembles.Classifier()
MULTI_LABEL = ksw.ensembles.MultiLabel()
REGRESSION = ksw.ensembles.Regression()
VARIANCE = ksw.ensembles.Regression(variance=True)
FITTING = {
    keras.losses.SparseCategoricalCrossentropy(from_logits=True): CLASSIFIER,
    keras.losses.CategoricalCrossentropy(from_logits=True): CLASSIFIER,
    keras.losses.BinaryCrossentropy(from_logits=True): MULTI_LABEL,
    keras.losses.BinaryFocalCrossentropy(from_logits=True): MULTI_LABEL,
    "mse": REGRESSION,
    "MeanAbsoluteError": REGRESSION,
    keras.losses.Huber(): REGRESSION,
    keras.losses.LogCosh(): REGRESSION,
    "poisson": REGRESSION,
    ksw.ensembles.GaussianNLL(): VARIANCE,
}


@pytest.mark.parametrize(("loss", "fitting"), FITTING.items())
def test_a_loss_that_does_not_fit_names_the_kind_that_does(loss, fitting):
    fitting.check_loss(loss)
    name = type(fitting).__name__ + r"\("
    name += r"variance=True\)" if fitting is VARIANCE else r"\)"
    for kind in (CLASSIFIER, MULTI_LABEL, REGRESSION, VARIANCE):
        if kind is not fitting:
            message = f"fit the kind of ensemble.*ensembles.{name}`"
            with pytest.raises(ValueError, match=message):
                kind.check_loss(loss)


def test_losses_that_fit_no_kind_say_so():
    for kind in (ksw.ensembles.Classifier(), ksw.ensembles.MultiLabel()):
        for loss in ("hinge", keras.losses.Dice(), "kl_divergence"):
            with pytest.raises(ValueError, match="No kind.*fits this loss"):
                kind.check_loss(loss)


def test_a_kind_of_the_users_own_is_one_class():
    @keras.saving.register_keras_serializable(package="test_kind")
    class Largest(ksw.ensembles.EnsembleKind):
        def combine(self, answers):
            return keras.ops.max(keras.ops.stack(answers), axis=0)

    network = ksw.SuperWeightNetwork([mlp(2), mlp(2)], 1.0, ensemble=Largest())
    x = np.ones((3, 4), "float32")
    expected = np.max([model(x) for model in network.materialize()], axis=0)
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ("classifier", "ensemble='classifier'"),
        (ksw.ensembles.Classifier, r"Write `Classifier\(\)`"),
        (dict, "ensemble=<class 'dict'>"),
    ],
)
def test_other_objects_are_refused_as_kinds(ensemble, message):
    with pytest.raises(TypeError, match=message):
        ksw.SuperWeightNetwork(mlp(3), ensemble=ensemble)
