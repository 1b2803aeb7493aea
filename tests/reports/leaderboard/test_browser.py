"""The site in headless Chromium, opened from disk: one screen, filters in the address, keys, copying, a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import LOW_CONTRAST, NAMELESS, Watched
from support.runs import make_setting
from support.submissions import make_submission

from fastvmt.reports.leaderboard.site import write_site

TRAINED = "motion_director"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two boards: three methods on one, one of which trains, and two on the other."""
    place = tmp_path_factory.mktemp("submissions")
    size = (9, 16, 16)
    for label in ("fastvmt", "ditflow", TRAINED):
        make_submission(place / label, label, frames=size, videos=True)
    published = make_setting(size, protocol="as-published")
    for label in ("fastvmt", TRAINED):
        make_submission(place / f"published-{label}", label, frames=size, setting=published, suite="a suite & more")
    make_submission(place / "gap", "moft", frames=size, missing=[("case-0001", "moft", 0)])
    return write_site(place, tmp_path_factory.mktemp("made") / "site", lambda submission: []).parent


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    made = Watched(browser, reduced_motion="reduce", viewport={"width": 1280, "height": 800})
    yield made
    made.context.close()
    made.quiet()


SHOWN = """[...document.querySelectorAll('.board')].filter(b => b.checkVisibility())
  .map(b => [...b.querySelectorAll('tr[data-kind] bdi')].filter(e => e.checkVisibility()).map(e => e.title))"""
BOTH = [["fastvmt", "ditflow", TRAINED], ["fastvmt", TRAINED]]


def test_the_first_screen_answers(watched: Watched, site: Path) -> None:
    """Filters, verdict, table and plot of the first board, none of which has to be scrolled to."""
    page = watched.go(site / "index.html")
    first = page.locator(".board").first
    places = [
        page.locator("#filter").bounding_box(),
        *(first.locator(at).bounding_box() for at in (".verdict:not(.more)", "table")),
    ]
    assert [box["y"] for box in places] == sorted(box["y"] for box in places)
    assert places[2]["y"] + places[2]["height"] <= 800 and first.locator(".picture img").bounding_box()["y"] < 300
    assert page.locator("#said").inner_text() == "5 rows on 2 boards"
    cell = first.locator("tbody tr[data-kind]").first.locator("td").first
    assert cell.inner_text().split() == ["1", "[1,", "2]"]


def test_a_phone_s_first_screen_has_verdict_and_table(browser: Any, site: Path) -> None:
    watched = Watched(browser, viewport={"width": 390, "height": 844})
    page = watched.go(site / "index.html")
    box = page.locator(".board").first.locator("tr[data-kind]").last.bounding_box()
    assert box["y"] + box["height"] <= 844 and page.locator(".verdict").first.bounding_box()["y"] < box["y"]
    watched.context.close()


def test_filters_are_kept_in_the_address(watched: Watched, site: Path) -> None:
    page = watched.go(site / "index.html")
    assert page.evaluate(SHOWN) == BOTH
    page.check("[data-filter=training-free]")
    assert page.evaluate(SHOWN) == [["fastvmt", "ditflow"], ["fastvmt"]]
    assert page.inner_text("#said") == "3 rows on 2 boards; places are among all rows of a board"
    page.select_option("[data-filter=suite]", "a suite & more")
    assert page.evaluate(SHOWN) == [["fastvmt"]]
    address = page.url
    assert address.endswith("#suite=a+suite+%26+more&training-free=1")
    page.reload()
    assert page.evaluate(SHOWN) == [["fastvmt"]] and page.input_value("[data-filter=suite]") == "a suite & more"
    page.click("#clear")
    assert page.evaluate(SHOWN) == BOTH
    page.evaluate("location.hash = '#protocol=as-published'")
    page.wait_for_function("() => document.querySelector('[data-filter=protocol]').value === 'as-published'")
    assert page.evaluate(SHOWN) == BOTH[1:]
    page.evaluate("location.hash = '#suite=%3Cscript%3E&protocol=nothing'")
    page.wait_for_function("() => document.querySelector('[data-filter=protocol]').value === ''")
    assert page.evaluate(SHOWN) == BOTH


def test_keys_reach_and_work_every_control_in_the_order_in_which_they_are_seen(watched: Watched, site: Path) -> None:
    page = watched.go(site / "index.html")
    seen, outlined = [], []
    for _ in range(11):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("(e => e.dataset.filter || e.id || e.textContent.trim().slice(0, 15))(document.activeElement)")
        )
        outlined.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        if seen[-1] == "training-free":
            page.keyboard.press("Space")
    assert seen == [
        "Skip to the con", "Motion transfer", "Add your method", "Not ranked 1", "theme", "suite", "backbone", "protocol",
        "training-free", "clear", "fake",
    ]  # fmt: skip
    assert set(outlined) == {"solid"}
    assert page.evaluate(SHOWN) == [["fastvmt", "ditflow"], ["fastvmt"]]
    page.focus("[data-filter=protocol]")
    page.keyboard.press("m")
    assert page.evaluate(SHOWN) == [["fastvmt", "ditflow"]] and "protocol=matched-start" in page.url


def test_a_method_s_page_plays_in_step_and_copies_its_recipe(browser: Any, site: Path) -> None:
    watched = Watched(browser, reduced_motion="reduce", permissions=["clipboard-read", "clipboard-write"])
    page = watched.go(site / "index.html")
    page.click(".board tr[data-kind] a >> nth=0")
    page.wait_for_url("**/methods/fastvmt-*.html")
    page.wait_for_function("() => [...document.querySelectorAll('canvas.frame')].filter(c => c.dataset.frame).length === 9")
    page.locator("#scrub").fill("5")
    assert set(page.locator("canvas.frame").evaluate_all("all => all.map(c => c.dataset.frame)")) == {"5"}
    button = page.locator("section:has(#recipe) button.copy")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('section:has(#recipe) button.copy').textContent.startsWith('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("section:has(#recipe) code >> nth=-1").text_content() and 'row = "fastvmt"' in copied
    watched.context.close()
    watched.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_nothing_is_wider_than_a_phone(browser: Any, site: Path, scheme: str) -> None:
    watched = Watched(browser, color_scheme=scheme, reduced_motion="reduce", viewport={"width": 390, "height": 844})
    for path in (site / "index.html", *site.glob("methods/moft-*"), *site.glob("methods/fastvmt-*"), *site.glob("suites/*")):
        page = watched.go(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert page.evaluate(LOW_CONTRAST) == [], path.name
        assert page.evaluate(NAMELESS, "button, select, input") == 0, path.name
    watched.context.close()
    watched.quiet()


def test_without_scripts_all_is_there(browser: Any, site: Path) -> None:
    watched = Watched(browser, java_script_enabled=False)
    page = watched.go(site / "index.html")
    assert page.locator(".board:visible").count() == 2 and page.locator("#filter:visible, .copy:visible").count() == 0
    watched.context.close()
    watched.quiet()
