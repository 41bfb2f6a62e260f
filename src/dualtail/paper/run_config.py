"""The resolved config of a run, as plain values: names, labels and settings of what is shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtail.config.strict_yaml import read_yaml
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext

BOOTSTRAP = {"seed": int, "scores.bootstrap": int}
FUSION = {"fusion.losses": list, "fusion.zero_shot": bool}
"""What readers of intervals and of fusions need: key -> type of its value."""


def read_context(path: Path, needs: Mapping[str, type], **files: Any) -> PaperContext:
    """Read `config.yaml` of a run, which `dualtail resolve` writes, as names, order and roles.

    It is not validated again: the model of the config is not imported here, so that editing it makes no
    table again.

    Args:
        path: The file.
        needs: Keys that are read besides (`scores.bootstrap`), and the types of their values.
        files: What `PaperContext.from_config` takes besides.

    Raises:
        UserError: see `read_yaml`; it lacks a key, or a value is of another type.
    """
    values = read_yaml(path)
    try:
        context = PaperContext.from_config(values, **files)
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not the resolved config of a run ({error!r}); `dualtail resolve` writes one"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for key, wanted in needs.items():
        value: Any = values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if type(value) is not wanted:
            raise UserError(
                f"{path}: {key}: {value!r} is no {wanted.__name__}; `dualtail resolve` writes this file"
            )
    return context
