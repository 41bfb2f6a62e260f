"""The page: what it says, that it holds everything, and that class names stay text."""

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

from dualtail.outputs import Outputs
from dualtail.report.audit import Audit, AuditSettings, audit_outputs
from dualtail.report.audit_figures import nine_groups_figure, prior_figure
from dualtail.report.audit_page import audit_page

NASTY = ["<b>cat</b>", "a|b", 'q"$x$', "under_score", "**", "plain"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def audit(make_outputs: Callable[..., Outputs]) -> Audit:
    dumps = []
    for seed, member in enumerate(("clip", "openclip")):
        dump = make_outputs(n=240, c=6, seed=seed, class_names=NASTY, members=[member])
        logits = dump.logits + np.log([6, 3, 1, 1, 0.3, 0.1]).astype(np.float16)
        dumps.append(
            Outputs(dump.header, logits, dump.labels, dump.image_index, source=dump.source)
        )
    return audit_outputs(dumps, np.array([300, 50, 5, 300, 50, 5]), AuditSettings(bootstrap=40))


class Tags(HTMLParser):
    """Collects tags, addresses and text; complains of tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_file_and_well_formed(audit: Audit) -> None:
    figures = [
        [(prior_figure(m, audit.class_names), "prior"), (nine_groups_figure(m), "nine")]
        for m in audit.models
    ]
    page = audit_page(audit, "html", figures)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.sources) == 4
    for source in tags.sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(PNG)
    assert not re.search(r"https?://|<script|@import|url\(", page)
    for name in NASTY:
        assert name in tags.text
    assert page.count("<table>") == 2 + 2 * 4
    again = [[(prior_figure(m, audit.class_names), "prior")] for m in audit.models]
    assert [pictures[0] for pictures in figures] == [pictures[0] for pictures in again]


def test_nothing_found_is_said(make_outputs: Callable[..., Outputs]) -> None:
    rng = np.random.default_rng(0)
    base = make_outputs(n=30, c=3)
    logits = (0.01 * rng.normal(size=(30, 3))).astype(np.float16)
    dump = Outputs(base.header, logits, base.labels, base.image_index)
    page = audit_page(audit_outputs([dump], settings=AuditSettings(bootstrap=20)), "md")
    assert "no class can be told from an even share" in page
    assert "chance is 33.3 %" in page
