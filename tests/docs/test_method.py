"""The method on one page computes what the library does, and checks it."""

import ast
import pathlib

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "method.py"
SOURCE = PAGE.read_text()
# Two steps instead of a whole epoch.
SHORT = SOURCE.replace("(x / 16, y)", "(x[:128] / 16, y[:128])")


def run(source):
    exec(compile(source, str(PAGE), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("source", [SOURCE, SHORT], ids=["whole", "short"])
def test_the_page_agrees_with_the_library(source, capsys):
    run(source)
    assert "agree" in capsys.readouterr().out


def test_it_is_one_page():
    assert len(SOURCE.splitlines()) <= 80
    assert max(map(len, SOURCE.splitlines())) <= 80


def test_the_library_is_imported_only_for_the_comparison():
    body = ast.parse(SOURCE).body
    (place,) = (
        index
        for index, statement in enumerate(body)
        if "keras_superweights" in ast.unparse(statement)
    )
    assert isinstance(body[place], ast.Import)
    made_before = {
        name.id
        for statement in body[:place]
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    assert {"owner", "start", "psi", "groups"} <= made_before


@pytest.mark.parametrize(
    "right, wrong",
    [
        pytest.param("(np.prod(box), box)", "-np.prod(box)", id="regions"),
        pytest.param("output_gradients=dW", "", id="chain_rule"),
        pytest.param("total + dw for", "dw for", id="sum_over_the_epoch"),
        pytest.param("np.minimum", "np.maximum", id="common_box"),
        pytest.param("psi[i, j] > 0.1", "psi[i, j] > 0.2", id="threshold"),
    ],
)
def test_a_slip_in_the_method_is_noticed(right, wrong):
    assert SHORT.count(right) == 1
    with pytest.raises((AssertionError, ValueError)):
        run(SHORT.replace(right, wrong))
