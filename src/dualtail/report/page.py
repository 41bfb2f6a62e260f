"""Pages for people from the templates beside this file: HTML that needs nothing else, or Markdown."""

import base64
import functools
import hashlib
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, kind: str, content: dict[str, Any]) -> str:
    """Fill in a template.

    Args:
        template: Its name beside this file.
        kind: html or md: the layout and the parts (heading, table, figure ...) that it takes.
        content: What it names. Text is text: markup in it is escaped, but for **bold** in sentences.
    """
    page = _environment().get_template(template).render(kind=kind, **content)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def asset(name: str) -> Markup:
    """Return a style sheet or a script beside this file, as it is."""
    return Markup(files("dualtail.report").joinpath(name).read_text(encoding="utf-8"))


def script_hash(script: str) -> str:
    """Return what a page's security policy calls a script that it allows."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def json_for_script(value: Any) -> Markup:
    """Return JSON that cannot end the script element which it stands in."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for special in "<>&":
        text = text.replace(special, f"\\u{ord(special):04x}")
    return Markup(text)


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dualtail.report", ""),
        autoescape=True,
        finalize=lambda value: _unbroken(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sentence": _sentence,
        "line": _line,
        "inline": _inline,
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "json": json_for_script,
    }
    environment.globals["asset"] = asset
    return environment


def _unbroken(text: str) -> str:
    """Keep `84.8 %` in one line."""
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)


def _sentence(text: str) -> Markup:
    """Escape for HTML, and turn **...** into bold."""
    parts = escape(_unbroken(text)).split("**")
    if len(parts) % 2 == 0:  # a class name with two stars of its own
        return Markup("**").join(parts)
    bold = (Markup("<strong>{}</strong>").format(p) if i % 2 else p for i, p in enumerate(parts))
    return Markup("").join(bold)


_LINK = re.compile(r"\[([^\[\]]+)\]\((#?[\w./-]+)\)")


def _inline(text: str) -> Markup:
    """Escape for HTML, and turn **...** into bold and [text](place) into a link to a place or a file."""
    linked = _LINK.sub(r'<a href="\2">\1</a>', str(_sentence(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", linked))


def _line(text: str) -> Markup:
    """Keep Markdown from taking text for markup of HTML or for cells and lines of its own."""
    for special, escaped in (("|", r"\|"), ("<", "&lt;"), ("_", r"\_"), ("\r", " "), ("\n", " ")):
        text = text.replace(special, escaped)
    return Markup(text)
