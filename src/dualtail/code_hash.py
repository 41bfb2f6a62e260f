"""A hash of the code a verb uses, so that editing it re-runs the rules that call it.

Snakemake does not see edits of imported modules. Every rule therefore carries this hash in its
params. It covers the syntax trees, without comments, docstrings and texts of errors, of a module and of
all dualtail modules it can import, found without importing anything, and the data beside a module that are
named like it (`published.csv` of `published.py`).
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dualtail.errors import UserError

PACKAGE = "dualtail"
ROOT = Path(__file__).parent
STATEMENTS = {"body", "orelse", "finalbody", "handlers", "cases"}
"""Fields of statements that hold statements."""


def code_hash(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Hash modules with everything of dualtail that they import, at any level.

    Args:
        modules: Dotted names, e.g. `dualtail.tuning.job`.
        files: Source files outside the package, e.g. a user's own PEFT method.

    Returns:
        16 hex digits; they change when the code or its data change, not when a comment, a docstring or
        the text of an error does.
    """
    found: set[str] = set()
    waiting = list(modules)
    for name in waiting:
        if _file_of(name) is None:
            raise ValueError(f"no module {name}")
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting.extend(_parse(name)[1])
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}:{_parse(name)[0]};".encode())
    for file in files:
        digest.update(f"{_hash_of(_tree_of(file))};".encode())
    return digest.hexdigest()[:16]


def _file_of(name: str) -> Path | None:
    """The source of a module or package of dualtail, or None."""
    base = ROOT.joinpath(*name.split(".")[1:])
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if name.split(".")[0] == PACKAGE and candidate.is_file():
            return candidate
    return None


@functools.cache
def _parse(name: str) -> tuple[str, tuple[str, ...]]:
    """The hash of a module's syntax and the dualtail modules it imports."""
    file = _file_of(name)
    assert file is not None
    tree = _tree_of(file)
    imported: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        imported.update(c for c in candidates if c.split(".")[0] == PACKAGE)
    # Importing a.b.c runs a/__init__ and a.b/__init__ too.
    for dotted in [name, *imported]:
        parts = dotted.split(".")
        imported.update(".".join(parts[:end]) for end in range(1, len(parts)))
    known = sorted(c for c in imported if c != name and _file_of(c) is not None)
    return _hash_of(tree) + _data_beside(file), tuple(known)


def _data_beside(module: Path) -> str:
    beside = sorted(f for f in module.parent.glob(f"{module.stem}.*") if f.suffix != ".py")
    return "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in beside)


def _tree_of(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        raise UserError(f"{file}: line {error.lineno}: {error.msg}") from error


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for field in STATEMENTS & set(node._fields):
        for child in getattr(node, field):
            yield from _statements(child)


def _hash_of(tree: ast.Module) -> str:
    return hashlib.sha256(ast.dump(_WithoutText().visit(tree)).encode()).hexdigest()


class _WithoutText(ast.NodeTransformer):
    """Drop docstrings (strings that stand as statements), and all of an error but its type.

    Only statements are visited: a plan hashes all of dualtail, and expressions are most of it.
    """

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in STATEMENTS & set(node._fields):
            found = (self.visit(child) for child in getattr(node, field))
            setattr(node, field, [child for child in found if child is not None])
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=kind, cause=None)
