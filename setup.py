"""Metadata and dependencies; BUILD.md says what each one is for."""

import setuptools

setuptools.setup(
    name="keras_superweights",
    version="0.2.0",
    description=(
        "Trains Keras networks and ensembles inside a fixed number of "
        "parameters by letting their layers share weights."
    ),
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=setuptools.find_packages(
        include=["keras_superweights", "keras_superweights.*"]
    ),
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.0",
        "importlib_resources>=6.0",
        "keras>=3.13",
        "matplotlib>=3.8",
        "ml_collections>=1.0",
        "numpy>=1.26",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tensorboard>=2.19",
        "tensorflow>=2.19",
        "tensorflow-datasets>=4.9.7",
    ],
    extras_require={
        "tests": [
            "keras-hub>=0.32",
            "pytest>=8.0",
            "pytest-xdist>=3.5",
            "ruff>=0.9",
            "setuptools>=77",
        ],
        "tuning": ["keras-tuner[bayesian]>=1.4.7"],
    },
)
