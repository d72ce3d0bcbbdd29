"""Finding a set that tfds has prepared, without touching the network."""

import contextlib
import io
import os
import pathlib


def open_builder(name, data_dir=None):
    """Returns the tfds builder of a set that lies prepared in a directory.

    Only files are looked at: nothing is downloaded and the set's own code need
    not be installed. The one set prepared here, on first use, is
    `"sklearn_digits"`, which needs no network.

    Args:
        name: the set as tfds names it: `"cifar100"`, `"cifar100:3.0.2"` or
            `"set/config"`. Without a version the newest one there is taken.
        data_dir: the tfds directory. Defaults to the environment variable
            `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`, as in tfds.

    Returns:
        A `tfds.core.DatasetBuilder` ready for `as_dataset`.

    Raises:
        ValueError: if the set is not there. Says where it was looked for,
            what is there instead, and how to prepare it.

    Example:

    >>> open_builder("sklearn_digits", "data").info.splits["test"].num_examples
    500
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    data_dir = os.path.abspath(os.path.expanduser(data_dir))
    if name == "sklearn_digits":
        _prepare_digits(data_dir)
    try:
        # `tfds.builder` would prefer the set's code, whose version need not be
        # the one that was prepared.
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(_missing_message(name, data_dir)) from error


def _prepare_digits(data_dir):
    """Does nothing where the set is prepared already."""
    import tensorflow_datasets as tfds

    from keras_superweights.datasets.digits import SklearnDigits

    # tfds would announce a download that there is none of.
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
            # tfds prepares under another name and renames, which fails where
            # another process has done so meanwhile: then all is there.
            if not builder.data_path.exists():
                raise
    tfds.enable_progress_bar()


def _missing_message(name, data_dir):
    """Says what was searched, what is there, and how to prepare a set."""
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
        f"none is downloaded. Received: name={name!r}. "
        f"Searched: {data_dir} ({contents}). "
        "Prepare it where there is a network, then copy the directory:\n"
        '    python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder({name!r}, data_dir={data_dir!r})"
        '.download_and_prepare()"\n'
        "For a set of your own, run `download_and_prepare()` of its builder. "
        "'sklearn_digits' needs no preparation."
    )
