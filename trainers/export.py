"""Exports the trained network of a run as plain models.

    python -m trainers.export --workdir runs/digits

Writes each member and the ensemble into `export/` of the run, or to
`--output`, as Keras files, SavedModels and, if TensorFlow has the converter,
LiteRT. None of them needs this project. Each is read back and compared with
the network; the table shows what it takes.
"""

from absl import flags

from keras_superweights.export import export_network
from keras_superweights.export import format_exported
from trainers import run
from trainers.runs.lock import only_process
from trainers.runs.model import load_network
from trainers.runs.workdir import Workdir


def export(path, formats=None, output=None):
    """Exports the saved model of a run, as `export.export_network` does.

    Raises:
        ValueError: If there is no saved model, it is damaged or none of ours,
            or cannot be exported so; nothing is written then.
    """
    workdir = Workdir(path)
    if not workdir.model.exists():
        raise ValueError(
            "`--workdir` must be the directory of a finished run. Received: "
            f"{workdir.path}, which has no model.keras. If a run was "
            "interrupted there, the command that started it continues it."
        )
    network = load_network(workdir.model)
    if output is not None:
        return export_network(network, output, formats)
    with only_process(workdir.path):
        return export_network(network, workdir.path / "export", formats)


def main(options):
    files = export(options.workdir, options.formats, options.output)
    print(format_exported(files))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Directory of the run.")
    flags.DEFINE_list("formats", None, "keras, saved_model, litert; or all.")
    flags.DEFINE_string("output", None, "Directory, or export in the run's.")
    flags.mark_flags_as_required(["workdir"])
    run(main)
