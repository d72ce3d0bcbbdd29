"""What is installed: complete, without the programs around it, and light."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]

TRAIN = """
import sys, numpy as np, keras, keras_superweights as ksw
import keras_superweights.anytime, keras_superweights.datasets
import keras_superweights.figures
print(ksw.__file__)
assert "keras_tuner" not in sys.modules  # an extra
assert "keras_hub" not in sys.modules  # for the tests
net = ksw.SuperWeightNetwork(ksw.models.wide_resnet(10, 1, 2, (8, 8, 1)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
net.compile("sgd", loss, run_eagerly=True)
net.fit(np.zeros((4, 8, 8, 1)), np.zeros(4), verbose=0)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy: building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("keras_superweights", "trainers", "configs", "tests"):
        shutil.copytree(
            ROOT / name,
            source / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run(
        [*command, "--no-build-isolation", "."], cwd=source, check=True
    )
    (path,) = source.glob("*.whl")
    return path


def test_the_wheel_holds_the_whole_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    files = {name for name in names if ".dist-info/" not in name}
    assert files == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "keras_superweights").rglob("*.py")
    }
    assert any(name.endswith("LICENSE") for name in names)


def test_the_installed_wheel_works_elsewhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    ran = subprocess.run(
        [sys.executable, "-P", "-c", TRAIN],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert str(tmp_path / "site") in ran.stdout


def test_importing_costs_little_more_than_importing_keras():
    program = (
        "import keras, time; start = time.perf_counter(); "
        "import keras_superweights; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", program]
    tries = (float(subprocess.check_output(command)) for _ in range(2))
    assert any(seconds < 0.5 for seconds in tries)
