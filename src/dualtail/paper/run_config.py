"""The resolved config of a run, as plain values: names, labels and settings of what is shown."""

from pathlib import Path
from typing import Any

import yaml

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext


def read_run_config(path: Path) -> dict[str, Any]:
    """Read `config.yaml` of a run, which `dualtail resolve` writes.

    It is not validated again: the model of the config is not imported here, so that editing it makes no
    table again.

    Raises:
        UserError: it cannot be read, or is not a mapping in YAML.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return values


def read_context(path: Path, **files: Any) -> PaperContext:
    """Read `config.yaml` of a run as names, order and roles.

    Args:
        path: The file.
        files: What `PaperContext.from_config` takes besides.

    Raises:
        UserError: it cannot be read, or lacks a key.
    """
    values = read_run_config(path)
    try:
        return PaperContext.from_config(values, **files)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not the resolved config of a run ({error!r}); `dualtail resolve` writes one"
        ) from error
