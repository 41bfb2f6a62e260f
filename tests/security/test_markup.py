"""Class names and labels stay text in pages and tables. (What a spreadsheet makes of a CSV cell that
begins with `=` is out of scope: the files are for programs, and escaping would change the names.)"""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualtail.outputs import Outputs
from dualtail.paper.layout import Table, grid, to_markdown
from dualtail.report.audit import Audit, AuditSettings, audit_outputs
from dualtail.report.audit_page import audit_page

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</td></tr></table><h1>",
    "a | b | c",
    "line\nbreak\r\n\n# heading",
    "**bold** __x__ `code` [x](javascript:alert(1))",
    "\\input{/etc/passwd} $x$ % & # _ ^ ~ {",
    "&lt;script&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "</title><script>",
]
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("<>/\"'&|*_`[](){}$%#~^\\ ab\n"), max_size=20),
)
PICTURE = [(b"png", "plain")]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def audit(make_outputs: Callable[..., Outputs]) -> Audit:
    dumps = [make_outputs(n=120, c=4, seed=k, members=[m]) for k, m in enumerate("ab")]
    return audit_outputs(dumps, np.array([300, 50, 5, 300]), AuditSettings(bootstrap=5))


def renamed(audit: Audit, name: str) -> Audit:
    """The audit with every name of the user's replaced."""
    models = [replace(model, name=name) for model in audit.models]
    return replace(audit, dataset=name, class_names=[name] * 4, models=models, cautions=[name])


def without_bold(page: Page) -> list[str]:
    return [tag for tag in page.tags if tag != "strong"]


@given(names)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_audit_page_holds_only_its_own_tags(audit: Audit, name: str) -> None:
    plain = Page(audit_page(renamed(audit, "plain"), "html", [PICTURE, PICTURE]))
    found = Page(audit_page(renamed(audit, name), "html", [[(b"png", name)], PICTURE]))
    assert without_bold(found) == without_bold(plain)
    assert found.attributes == plain.attributes
    if name.strip():
        assert name.replace("*", "") in "".join(found.texts).replace("*", "")


@given(names)
@settings(max_examples=150)
def test_tables_keep_their_shape(name: str) -> None:
    rows, columns = [((name,), 0), (("b",), 1)], [((name,), 0), (("y",), 1)]
    cells = grid(rows, columns, ["row"], lambda i, j: float(i + j))
    table = Table(name, f"On {name}.", cells, 3, notes=(name,))
    lines = to_markdown(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert not re.search(r"<[A-Za-z/!?]", to_markdown(table))


@pytest.mark.parametrize("name", HOSTILE)
def test_an_audit_as_markdown_holds_no_html(audit: Audit, name: str) -> None:
    plain, page = (audit_page(renamed(audit, n), "md") for n in ("plain", name))
    assert "<" not in page
    starts = [[line[:2] for line in text.splitlines() if line] for text in (plain, page)]
    assert starts[0] == starts[1], "names begin no lines of their own"
