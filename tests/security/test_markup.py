"""Class names and labels stay text in pages and tables. (What a spreadsheet makes of a CSV cell that
begins with `=` is out of scope: the files are for programs, and escaping would change the names.)"""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.paper.layout import Table, grid, to_latex, to_markdown
from dualtail.report import audit_page
from dualtail.report.audit_page import Answer, Bullets, Heading, Paragraph, Picture

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
    "</title><script>",
]
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("<>/\"'&|*_`[](){}$%#~^\\ ab\n"), max_size=20),
)
TAGS = "html head meta title style body h1 h2 p ul li div table thead tbody tr th td img strong"
ALLOWED = {*TAGS.split(), "details", "summary"}


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


@given(names)
@settings(max_examples=150)
def test_the_audit_page_holds_only_its_own_tags(name: str) -> None:
    blocks = [
        Heading(1, name),
        Answer([name]),
        Bullets([name, f"**{name}** is under-served"]),
        Paragraph(name),
        audit_page.Table([name, "q"], [[name, name]], folded=name),
        Picture(b"png", name),
    ]
    found = Page(audit_page.to_html(blocks))
    assert set(found.tags) <= ALLOWED
    plain = Page(audit_page.to_html([*blocks[:0], Heading(1, "x")]))
    assert found.tags.count("img") == 1
    assert found.tags.count("tr") == 2
    assert found.attributes <= plain.attributes | {"class", "alt", "src"}
    assert name.replace("*", "") in "".join(found.texts).replace("*", "")


@given(names)
@settings(max_examples=150)
def test_tables_keep_their_shape(name: str) -> None:
    cells = grid([(name,), ("b",)], [(name,), ("y",)], ["row"], lambda i, j: float(i + j))
    table = Table(3, name, f"On {name}.", cells, notes=(name,))
    lines = to_markdown(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert not re.search(r"<[A-Za-z/!?]", to_markdown(table))

    latex = to_latex(table)
    assert latex.count("\\begin{") == latex.count("\\end{") == 2
    bare = re.sub(r"\\[a-zA-Z]+|\\.", "", latex)
    assert bare.count("{") == bare.count("}")
    assert "%" not in bare
    assert "#" not in bare
    assert not re.search(r"\\(input|include|write|def)", latex)
    assert [row.count("&") for row in bare.splitlines() if row.endswith("2.00")] in ([2], [])


@pytest.mark.parametrize("name", HOSTILE)
def test_an_audit_as_markdown_holds_no_html(name: str) -> None:
    page = audit_page.to_markdown(
        [Heading(1, name), audit_page.Table([name, "q"], [[name, "1"]]), Paragraph(name)]
    )
    assert "<" not in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 3
