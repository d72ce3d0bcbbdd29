"""What the attack makes of answers, and that it attacks everything public."""

import inspect
import json
import random

import pytest

import keras_superweights as ksw
from benchmarks.attack import allocations
from benchmarks.attack import judging
from benchmarks.attack import python
from benchmarks.attack.given import Given

# What users derive from, and what they are given and do not make.
BASES = {"EnsembleKind", "GeneratedKernel", "Geometry", "Mixing", "Rule"}
BASES |= {"Plan", "Transform"}
RESULTS = {"ExportedFile", "LearnedStores", "Measurement", "Refinement"}
RESULTS |= {"TrainingMemory", "TrainingPlan"}
# Without arguments, or of layers that Keras has made.
OTHERS = {"Average", "Plain", "Classifier", "MultiLabel", "Single"}
OTHERS |= {"GaussianNLL", "generate", "is_model", "measure_similarity"}
OTHERS |= {"pairs", "walk"}

# Internal, and what is not attacked yet.
OTHERS |= {"Bank", "KernelGenerator", "describe", "skeletons"}
YET = """adaptive_calibration_error brier_score uncertainty aurc crps comparison
ood_detection ood_scores risk_coverage interval_coverage predict_samples mimo
mixture_moments mixture_quantiles ConformalIntervals ConformalSets Calibration
PlattScaling TemperatureScaling VectorScaling MIMO BatchEnsemble IVON
sampled_weights"""


def function(source, module="keras_superweights.fake"):
    """A function `attempt`, as if it were one of this module."""
    names = {"__name__": module}
    exec(source, names)
    return names["attempt"]


TOLD = "def attempt(): raise ValueError('`width` must be 1. Received: 2.')"
LEAVES = TOLD.replace("raise", "open('left', 'w'); raise")


@pytest.mark.parametrize(
    "kind, attempt",
    [
        (judging.CLEAR, function(TOLD)),
        (judging.RAW, function(TOLD, "keras.layers")),
        (judging.RAW, function(TOLD.replace("width", "depth"))),
        (judging.RAW, function(TOLD.replace("2.", "2" * 2000))),
        (judging.RAW, function(TOLD.replace("Value", "Runtime"))),
        (judging.RAW, function("def attempt(): int('`width`')")),
        (judging.SILENT, function("def attempt(): return 1")),
        (judging.LOSES, function(LEAVES)),
    ],
)
def test_an_answer_is_judged_by_what_it_says_and_leaves(
    tmp_path, kind, attempt
):
    case = judging.Case("a case", attempt, ("width",))
    assert judging.judge(case, tmp_path).kind == kind


def test_what_is_no_bad_input_does_not_count(tmp_path):
    def attempt():
        raise judging.HarmlessError

    case = judging.Case("a case", attempt, ("width",))
    assert judging.judge(case, tmp_path) is None


@pytest.mark.parametrize(
    "kind, status, errors, before",
    [
        (judging.CLEAR, 2, "`width` must be 1. Received: 2.\n", {}),
        (judging.RAW, 1, "`width` must be 1. Received: 2.\n", {}),
        (judging.RAW, 2, "Traceback:\n`width` must be 1.\n", {}),
        (judging.RAW, 2, "", {}),
        (judging.RAW, -9, "`width` must be 1. Received: 2.\n", {}),
        (judging.SILENT, 0, "", {}),
        (judging.SILENT, None, "", {}),  # it had to be stopped
        (judging.LOSES, 2, "`width` must be 1.\n", {"lost": b""}),
    ],
)
def test_the_end_of_a_program_is_judged_by_status_line_and_files(
    tmp_path, kind, status, errors, before
):
    case = judging.Case("a case", None, ("width",))
    answer = judging.judge_end(case, tmp_path, status, errors, before)
    assert answer.kind == kind


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return Given(tmp_path_factory.mktemp("given"))


def test_everything_public_is_attacked(given):
    attacked = {name.split(".")[-1] for name, _, _ in python.rows(given)}
    public = {
        name
        for module in filter(inspect.ismodule, (ksw, *vars(ksw).values()))
        if module.__file__.endswith("__init__.py")
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", "").startswith(ksw.__name__)
        and not name.startswith("_")
    }
    assert public - attacked <= BASES | RESULTS | OTHERS | {*YET.split()}


def test_a_mutation_changes_one_place_of_a_document():
    text = allocations.documents()["SuperWeights"]
    draw = random.Random(0)
    for mutate in allocations.MUTATIONS.values():
        data = json.loads(text)
        place, _ = mutate(data, draw)
        assert json.dumps(data) != json.dumps(json.loads(text)), place


def test_bad_inputs_are_refused_clearly(given, tmp_path):
    draw = random.Random(0)
    called = [c for row in python.rows(given) for c in python.bad_calls(*row)]
    read = list(allocations.cases(tmp_path, seed=0))
    for case in (*draw.sample(called, 60), *draw.sample(read, 60)):
        answer = judging.judge(case, tmp_path)
        assert answer is None or answer.kind == judging.CLEAR, answer
