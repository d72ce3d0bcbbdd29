import numpy as np
import pytest

from keras_superweights.parts import Average
from keras_superweights.parts import Plain

NORMS = [0.5, 1.0, 3.0]


@pytest.mark.parametrize("num_templates", [1, 2, 5])
def test_an_average_is_the_mean_at_the_scale_of_its_kernel(num_templates):
    draw = np.random.default_rng(0)
    templates = draw.normal(size=(num_templates, 20_000)).astype("float32")
    layer = Average().layer(NORMS, num_templates, name="it")
    assert layer.name == "it"
    mixed = np.array(layer.mix(templates))
    mean = templates.mean(axis=0)
    for row, norm in enumerate(NORMS):
        expected = norm * num_templates**0.5 * mean
        np.testing.assert_allclose(mixed[row], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            layer.mix_row(templates, row), expected, rtol=1e-4, atol=1e-5
        )
        # Templates of variance 1 become vectors of the norm.
        assert mixed[row].std() == pytest.approx(norm, rel=0.02)


def test_nothing_of_an_average_is_learned_or_tied():
    layer = Average().layer(NORMS, 4)
    assert not layer.weights and layer.ties is None
    assert layer.linear_variables() == []
    assert Average().num_scalars(3, 4) == 0
    assert Average().mixes
    assert Average().templates_of(2, 4) == (0, 1, 2, 3)


def test_a_plain_template_is_one_vector_for_all_without_a_layer():
    assert Plain().layer(NORMS, 1, name="it") is None
    assert Plain().num_scalars(3, 1) == 0
    assert not Plain().mixes
    assert Plain().templates_of(2, 1) == (0,)
    Plain().check(3, 1)
    with pytest.raises(ValueError, match="several templates need coefficients"):
        Plain().check(3, 2)


@pytest.mark.parametrize("mixing", [Average(), Plain()], ids=str)
def test_what_has_no_coefficients_cannot_be_tied(mixing):
    assert mixing.with_ties(()) == mixing
    with pytest.raises(ValueError, match=r"no coefficients to tie.*\(0, 0\)"):
        mixing.with_ties((0, 0))
