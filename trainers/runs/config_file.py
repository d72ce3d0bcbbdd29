"""A config of a run as a Python file, which `trainers.train` takes."""

import pprint
import textwrap

from keras_superweights import files

_TEXT = '''\
"""{says}.

    python -m trainers.train --config {file} --workdir DIR
"""

from configs import base


def get_config():
    return base.loaded(
{values}
    )
'''


def write_config(file, config, says):
    """Writes a `ConfigDict` to a Python file; `says` is what it is of."""
    values = pprint.pformat(config.to_dict(), width=72, sort_dicts=False)
    values = textwrap.indent(values, "        ")
    files.write_text(file, _TEXT.format(says=says, file=file, values=values))
