"""The page of a run in headless Chromium: it works, asks for nothing, and fits narrow screens."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dualtail.paper.lookup import ScoreLookup
from dualtail.report.pictures import read_picture
from dualtail.report.run_page import Beside, run_page

pytestmark = pytest.mark.slow

HOSTILE = ("</script><script>document.title='no'</script>", "<img src=x onerror=alert(1)>")
NAMES = (*HOSTILE, *(f"class {k}" for k in range(7)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Without it tests are skipped; they fail if DUALTAIL_REQUIRE names chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if "chromium" in os.environ.get("DUALTAIL_REQUIRE", "").split(","):
            pytest.fail("DUALTAIL_REQUIRE names chromium, which is not here")
        pytest.skip("chromium is not here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox of its own.
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    pictures = []
    for name in ("figure_02.png", "figure_03.png"):
        Image.new("RGB", (1400, 500), "white").save(folder / name)
        pictures.append(read_picture(folder / name))
    beside = Beside(pictures=pictures, tables=(1, 3, 8), settings={"tuning": {"lr": 0.1}})
    lookup: ScoreLookup = make_run(names=NAMES)
    (folder / "index.html").write_text(run_page(lookup, beside), encoding="utf-8")
    return folder / "index.html"


@pytest.fixture(params=[400, 1000, 1600])
def page(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page at a width; afterwards no error may be in the console, and nothing may have been asked for."""
    size = {"width": getattr(request, "param", 1000), "height": 900}
    context = browser.new_context(viewport=size)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    shown.on("request", lambda made: asked.append(made.url))
    shown.goto(file.as_uri())
    yield shown
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    context.close()


only_once = pytest.mark.parametrize("page", [1000], indirect=True)


def column(page: Any, table: str, index: int) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr:not([hidden])",
        f"rows => rows.map(row => row.cells[{index}].textContent)",
    )


def test_nothing_sticks_out(page: Any) -> None:
    for details in page.query_selector_all("details:not([open]) > summary"):
        details.click()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == page.viewport_size["width"]
    picture = page.locator("#figure-2 img").bounding_box()
    assert picture["width"] >= 640, "its text is readable; narrow windows scroll it sideways"
    assert page.title() == "What came out of the run “toy”"


@only_once
def test_a_class_is_found_and_pointed_at(page: Any) -> None:
    page.fill("#x-search", "CLASS 3")
    assert column(page, "#x-list table", 0) == ["class 3"]
    assert "1 of 9 classes" in page.inner_text("#x-chosen")
    page.focus("#x-points")
    page.keyboard.press("ArrowRight")
    assert "class 3" in page.inner_text("#x-tip")
    assert "class 3" in page.inner_text("#x-said")
    page.click("#x-clear")
    assert "All 9 classes" in page.inner_text("#x-chosen")


@only_once
def test_hostile_names_are_shown_as_they_are(page: Any) -> None:
    assert column(page, "#x-list table", 0) == list(NAMES)


@only_once
def test_tables_are_sorted_and_searched(page: Any) -> None:
    table = "#all_predictors-rows"
    heading = page.locator(f"{table} thead th", has_text="Overall")

    def values() -> list[float]:
        return [float(text.split()[0]) for text in column(page, table, 2)]

    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    heading.locator("button").press("Enter")
    assert values() == sorted(values())
    page.fill('input[data-for="all_predictors-rows"]', "photos zero")
    assert set(column(page, table, 0)) == {"Photos"}
    assert len(column(page, table, 1)) == 2


@only_once
def test_classes_are_selected_by_group_and_by_a_drag(page: Any) -> None:
    page.locator('#x-nine button[aria-label*="D-Few/P-Few"]').first.click()
    assert "1 of 9 classes" in page.inner_text("#x-chosen")
    assert column(page, "#x-list table", 0) == ["class 6"]
    page.click("#x-clear")
    page.locator("#x-points").scroll_into_view_if_needed()
    box = page.locator("#x-points").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] - 50, steps=4)
    page.mouse.up()
    assert "3 of 9 classes" in page.inner_text("#x-chosen"), "those with five training images"


@only_once
def test_any_two_predictors_are_compared(page: Any) -> None:
    page.select_option("#x-dataset", label="Places")
    page.select_option("#x-a", label="OPENCLIP, AdaptFormer, CE")
    page.select_option("#x-b", label="CLIP, zero-shot")
    assert "no interval: the scores do not compare these two" in page.inner_text("#x-overall")
    page.click("#x-list th:has-text('Gain') button")
    gains = [float(text.replace("−", "-")) for text in column(page, "#x-list table", 5)]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) == 9


@only_once
def test_claims_open_to_their_figures_and_latex_is_copied(page: Any) -> None:
    claim = page.locator("details.claim").nth(1)
    claim.locator("summary").click()
    assert claim.locator(".figures img").count() == 2
    page.click("#table-8 > summary")
    page.click("#table-8 .copy")
    page.wait_for_function("document.querySelector('#table-8 .copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("\\begin{table*}")
    assert "OPENCLIP" in copied
