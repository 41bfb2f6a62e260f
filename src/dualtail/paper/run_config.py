"""The resolved config of a run, as plain values: names, labels and settings of what is shown."""

from pathlib import Path
from typing import Any

import yaml

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext


def read_context(path: Path, **files: Any) -> PaperContext:
    """Read `config.yaml` of a run, which `dualtail resolve` writes, as names, order and roles.

    It is not validated again: the model of the config is not imported here, so that editing it makes no
    table again.

    Args:
        files: What `PaperContext.from_config` takes besides.

    Raises:
        UserError: it cannot be read, is not YAML, or lacks a key.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PaperContext.from_config(values, **files)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not the resolved config of a run ({error!r}); `dualtail resolve` writes one"
        ) from error
