"""Parts that a config names: PEFT methods, losses and fusion rules, ours or from a user's file.

A part is one module named like it (`vpt-deep` -> `vpt_deep.py`) that sets `METHOD` to its class, and
another of the same name with its options, free of torch. A user's own part needs neither:
`path/to/file.py:Class`. Looking up a name imports only that module; checking one imports nothing.
"""

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dualtail.config.names import nearest, unknown_name
from dualtail.config.section import Section
from dualtail.errors import UserError


def is_own(name: str) -> bool:
    """Whether `name` points at a user's file: `path/to/file.py:Class`."""
    return ".py:" in name


def own_file(name: str) -> Path:
    """The file of a user's own part."""
    return Path(name.rpartition(":")[0])


def check_name(name: str, known: Collection[str], what: str) -> None:
    """Check that a part is known, or that its file has such a class; nothing is imported.

    Raises:
        UserError: no such part or file, a file that is not Python, or nothing of that name in it.
    """
    if is_own(name):
        file, attribute = own_file(name), name.rpartition(":")[2]
        if not file.is_file():
            raise UserError(f"{what} {name!r}: no such file {file}")
        classes, others = _names_in(file, f"{what} {name!r}")
        if attribute not in classes + others:
            raise UserError(
                f"{what} {name!r}: {file} has no class {attribute!r}{nearest(attribute, classes)}; "
                f"it has: {', '.join(classes) or 'none'}"
            )
    elif name not in known:
        raise UserError(
            f"{unknown_name(name, known, what)}; one of your own is given as path/to/file.py:Class"
        )


def _names_in(file: Path, where: str) -> tuple[list[str], list[str]]:
    """The classes that a source file defines, and the names that it imports or sets."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UserError(f"{where}: {file} is not a readable Python file ({error})") from error
    nodes = list(ast.walk(tree))
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    others = [node.id for node in nodes if isinstance(node, ast.Name)]
    others += [n.asname or n.name for n in nodes if isinstance(n, ast.alias)]
    return classes, others


class ListedOptions(Mapping[str, type[Section]]):
    """Name -> options of all parts of a kind, without a list of them: a module each, read when asked for.

    So nothing but the part itself imports its options, and a new part leaves the code hash of the others
    as it is.

    Args:
        package: Package of modules with a class `Options`; those that begin with `_` are none.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def __getitem__(self, name: str) -> type[Section]:
        if name not in self._names():
            raise KeyError(name)
        return importlib.import_module(self.module(name)).Options

    def module(self, name: str) -> str:
        """Dotted name of the module of one part's options."""
        return f"{self._package}.{name.replace('-', '_')}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        folder = importlib.import_module(self._package).__path__
        modules = (module.name for module in pkgutil.iter_modules(folder))
        return sorted(m.replace("_", "-") for m in modules if not m.startswith("_"))


@dataclass(frozen=True, eq=False)
class Registry:
    """The parts of one kind."""

    what: str
    """word for messages"""

    package: str
    """package of the modules"""

    base: str
    """class of `<package>.method` that every part extends; it has `Options`"""

    options: Mapping[str, type[Section]]
    """name -> options"""

    def module(self, name: str) -> str:
        """Dotted name of the module of one of our parts."""
        return f"{self.package}.{name.replace('-', '_')}"

    def check(self, name: str) -> None:
        """Check that a part is known (or its file exists) without importing it.

        Raises:
            UserError: no such part or file.
        """
        check_name(name, self.options, self.what)

    def find(self, name: str) -> Any:
        """Import the class of a part.

        Raises:
            UserError: no such part, file or class, or the class does not extend `base`.
        """
        self.check(name)
        if not is_own(name):
            return importlib.import_module(self.module(name)).METHOD
        return self._own_class(name)

    def parse(self, name: str, options: Mapping[str, Any]) -> Section:
        """Validate the options of a part; torch is imported only for a user's own.

        Raises:
            UserError: unknown part, unknown key or a value that is not allowed.
        """
        self.check(name)
        model = self.find(name).Options if is_own(name) else self.options[name]
        try:
            return model.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"][:1])  # then tags of a union
            allowed = ", ".join(model.model_fields) or "none"
            raise UserError(
                f"{self.what} {name!r}: option {key!r}: {first['msg']} (options: {allowed})"
            ) from error

    def _own_class(self, name: str) -> Any:
        base = getattr(importlib.import_module(f"{self.package}.method"), self.base)
        file, attribute = own_file(name), name.rpartition(":")[2]
        spec = importlib.util.spec_from_file_location(f"dualtail_own_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise UserError(f"{self.what} {name!r}: {file} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise UserError(f"{self.what} {name!r}: importing {file} failed: {error!r}") from error
        found = getattr(module, attribute, None)
        if not (isinstance(found, type) and issubclass(found, base)):
            classes = [
                key
                for key, value in vars(module).items()
                if isinstance(value, type) and issubclass(value, base) and value is not base
            ]
            raise UserError(
                f"{self.what} {name!r}: {file} has no subclass of {self.base} named "
                f"{attribute!r}; it has: {', '.join(classes) or 'none'}"
            )
        return found


def sources(parts: Iterable[tuple[Registry, str]]) -> tuple[list[str], list[Path]]:
    """Where the code of parts stands: the modules of ours, and the users' own files."""
    modules, files = [], []
    for registry, name in parts:
        if is_own(name):
            files.append(own_file(name))
        else:
            modules.append(registry.module(name))
            if isinstance(registry.options, ListedOptions):
                modules.append(registry.options.module(name))
    return modules, files
