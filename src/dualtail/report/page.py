"""Pages for people from the templates beside this file: HTML that needs nothing else, or Markdown."""

import base64
import functools
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, kind: str, content: dict[str, Any]) -> str:
    """Fill in a template.

    Args:
        template: Its name in `templates/`.
        kind: html or md: the layout and the parts (heading, table, figure ...) that it takes.
        content: What it names. Text is text: markup in it is escaped, but for **bold** in sentences.
    """
    page = _environment().get_template(template).render(kind=kind, **content)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dualtail.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sentence": _sentence,
        "line": _line,
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
    }
    return environment


def _sentence(text: str) -> Markup:
    """Escape for HTML, and turn **...** into bold."""
    parts = escape(text).split("**")
    if len(parts) % 2 == 0:  # a class name with two stars of its own
        return Markup("**").join(parts)
    bold = (Markup("<strong>{}</strong>").format(p) if i % 2 else p for i, p in enumerate(parts))
    return Markup("").join(bold)


def _line(text: str) -> Markup:
    """Keep Markdown from taking text for markup of HTML or for cells and lines of its own."""
    for special, escaped in (("|", r"\|"), ("<", "&lt;"), ("_", r"\_"), ("\r", " "), ("\n", " ")):
        text = text.replace(special, escaped)
    return Markup(text)
