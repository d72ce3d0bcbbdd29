"""A trained network as files of plain models, which know nothing of it."""

from keras_superweights.export.exporting import ExportedFile
from keras_superweights.export.exporting import export_network
from keras_superweights.export.exporting import format_exported
from keras_superweights.export.exporting import materialize_ensemble
