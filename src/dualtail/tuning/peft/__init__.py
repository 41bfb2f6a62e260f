"""Registry of parameter-efficient tuning methods; looking up a name imports only that method.

A method is one module here named like the method (`vpt-deep` -> `vpt_deep.py`) that sets `METHOD`
to its class, plus an entry in `dualtail.tuning.settings.PEFT_OPTIONS`. A user's own method needs
neither: `path/to/file.py:Class`, a `PeftMethod` with its own `Options`.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dualtail.errors import UserError
from dualtail.section import Section
from dualtail.tuning.settings import PEFT_OPTIONS

if TYPE_CHECKING:
    from dualtail.tuning.peft.method import PeftMethod


def is_own_method(name: str) -> bool:
    """Whether `name` points at a user's file: `path/to/file.py:Class`."""
    return ".py:" in name


def check_peft_name(name: str) -> None:
    """Check that a method is known (or its file exists) without importing it.

    Raises:
        UserError: no such method or file.
    """
    if is_own_method(name):
        path = Path(name.rpartition(":")[0])
        if not path.is_file():
            raise UserError(f"peft {name!r}: no such file {path}")
    elif name not in PEFT_OPTIONS:
        close = difflib.get_close_matches(name, PEFT_OPTIONS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(
            f"peft {name!r} is unknown: {hint}known are {', '.join(PEFT_OPTIONS)}; "
            "a method of your own is given as path/to/file.py:Class"
        )


def peft_class(name: str) -> "type[PeftMethod]":
    """Import the class of a method.

    Raises:
        UserError: no such method, file or class, or the class is not a `PeftMethod`.
    """
    check_peft_name(name)
    if not is_own_method(name):
        return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").METHOD
    return _own_class(name)


def parse_peft_options(name: str, options: Mapping[str, Any]) -> Section:
    """Validate the options of a method; torch is imported only for a user's own method.

    Raises:
        UserError: unknown method, unknown key or a value that is not allowed.
    """
    check_peft_name(name)
    model = peft_class(name).Options if is_own_method(name) else PEFT_OPTIONS[name]
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(model.model_fields) or "none"
        raise UserError(
            f"peft {name!r}: option {key!r}: {first['msg']} (options: {allowed})"
        ) from error


def _own_class(name: str) -> "type[PeftMethod]":
    from dualtail.tuning.peft.method import PeftMethod

    file, _, attribute = name.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"dualtail_own_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"peft {name!r}: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"peft {name!r}: importing {file} failed: {error!r}") from error
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, PeftMethod)):
        classes = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, PeftMethod) and value is not PeftMethod
        ]
        raise UserError(
            f"peft {name!r}: {file} has no subclass of PeftMethod named {attribute!r}; "
            f"it has: {', '.join(classes) or 'none'}"
        )
    return found
