"""Exports trained networks as files of plain Keras models."""

from keras_superweights.export.exporting import ExportedFile
from keras_superweights.export.exporting import export_network
from keras_superweights.export.exporting import format_exported
from keras_superweights.export.exporting import materialize_ensemble
