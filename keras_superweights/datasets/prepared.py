"""Finds sets that tfds has prepared, without using the network."""

import contextlib
import io
import os
import pathlib


def open_builder(name, data_dir=None):
    """Returns the tfds builder of a set that is prepared in a directory.

    Only reads files: it downloads nothing and does not need the code of the
    set. Only `"sklearn_digits"`, which needs no network, is prepared on first
    use. The arguments are those of `ImagePipeline`; without a version in its
    name, a set is the newest in the directory.

    Raises:
        ValueError: if the set is missing. The message has the directory, the
            sets in it, and the command that prepares the missing one.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    data_dir = os.path.abspath(os.path.expanduser(data_dir))
    if name == "sklearn_digits":
        _prepare_digits(data_dir)
    try:
        # `tfds.builder` would prefer the code of the set, which may be of
        # another version than the prepared files.
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(_missing_message(name, data_dir)) from error


def _prepare_digits(data_dir):
    """Prepares the digits unless that is done already."""
    import tensorflow_datasets as tfds

    from keras_superweights.datasets.digits import SklearnDigits

    # tfds would announce a download, though there is none.
    tfds.disable_progress_bar()
    builder = SklearnDigits(data_dir=data_dir)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(
                    try_download_gcs=False
                )
            )
        except OSError:
            # tfds prepares a temporary directory and renames it, which fails
            # if another process was faster; then the set is complete.
            if not builder.data_path.exists():
                raise
    tfds.enable_progress_bar()


def _missing_message(name, data_dir):
    root = pathlib.Path(data_dir)
    # <data_dir>/<set>/[<config>/]<version>/dataset_info.json
    found = sorted(
        info.parent.relative_to(root).as_posix()
        for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json")
        for info in root.glob(pattern)
    )
    if found:
        contents = f"prepared there: {', '.join(found)}"
    elif root.is_dir():
        contents = "no set is prepared there"
    else:
        contents = "that directory does not exist"
    return (
        "`name` must be a tfds set that is already prepared in `data_dir`; "
        f"nothing is downloaded. Received: name={name!r}. "
        f"Searched: {data_dir} ({contents}). "
        "Prepare it on a machine with a network, then copy the directory:\n"
        '    python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder({name!r}, data_dir={data_dir!r})"
        '.download_and_prepare()"\n'
        "For a set of your own, call `download_and_prepare()` of its builder. "
        "'sklearn_digits' needs no preparation."
    )
