"""The report in headless Chromium, opened from disk: clips in step, tables, search, keys, and text that stays text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.browser import LOW_CONTRAST, NAMELESS, Watched
from support.hostile import payloads
from support.page_runs import hostile_run, some_view
from support.runs import make_cases, make_run

from fastvmt.media.files import Frames
from fastvmt.model import Case
from fastvmt.reports.figures.style import Picture
from fastvmt.reports.page.gallery import page_name
from fastvmt.reports.page.write import write_report
from fastvmt.reports.tables.view import Cell, Column, View
from fastvmt.reports.tidy import Tidy, gather

T = 9
CASES = 13
VERDICT = (
    "One follows the motion, and 12 clips say so.",
    "It costs nothing.",
    "One seed was run: another may give other numbers.",
)


def painted(case: Case | None, label: str, seed: int, frames: int, height: int, width: int) -> Frames:
    """A clip whose red says the frame and whose green says the method; a brighter square wanders over it."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = (20 * np.arange(frames) + 15)[:, None, None]
    clip[..., 1] = 40 * len(label) % 200 + 30 * seed
    clip[..., 2] = (np.indices((height, width)).sum(0) % 7 * 30)[None]
    return clip


def wide_view(tidy: Tidy) -> View:
    """The small table with a metric whose name is as long as they get."""
    view, head = some_view(tidy), "vbench:background_consistency:backend=tiny-shapes"
    lines = tuple(replace(line, cells=(*line.cells, Cell(0.9))) for line in view.lines)
    columns = (*view.columns, Column(head, head, "", "up"))
    return replace(view, columns=columns, lines=lines, main=("motion_fidelity", "time"), verdict=VERDICT)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("browser")
    cases = [
        c.model_copy(update={"prompt": f"a thing called {'needle' if n == 11 else 'hay'} {n}"})
        for n, c in enumerate(make_cases(CASES, frames=(T, 32, 48)))
    ]
    root = make_run(
        place / "r", cases, methods=("none", "fastvmt", "ditflow"), seeds=(0, 1), frames=(T, 32, 48), paint=painted,
        failed={("case-0003", "fastvmt", 0): "a failure"}, metrics=("motion_fidelity", "time"),
        logs=lambda case, label, seed: {"loss": {"0": [2.0, 1.0]}} if label == "fastvmt" else {},
    )  # fmt: skip
    tidy = gather([root])
    Image.new("RGB", (680, 560)).save(place / "plot.png")
    plot = Picture("quality-time", place / "plot.png", "Motion against seconds", "Bars: 95 % interval.")
    write_report(tidy, [wide_view(tidy)], place / "o", [plot], per_page=5)
    return place / "o"


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    made = Watched(browser, reduced_motion="reduce")
    yield made
    made.context.close()
    made.quiet()


FRAMES = "[...document.querySelectorAll('figure:not([hidden]) canvas.frame')].map(c => c.dataset.frame)"
LOADED = "n => { const all = [...document.querySelectorAll('figure:not([hidden]) canvas.frame')]; return all.length === n && all.every(c => c.dataset.frame !== undefined); }"


def gallery(watched: Watched, report: Path, case: str = "case-0000", clips: int = 4) -> Any:
    page = watched.go(report / "cases" / page_name(case))
    page.wait_for_function(LOADED, arg=clips)
    return page


def reds(page: Any) -> list[int]:
    """The red of the middle of every clip as seen on the screen."""
    found = []
    for canvas in page.query_selector_all("figure:not([hidden]) canvas.frame"):
        with Image.open(BytesIO(canvas.screenshot(animations="disabled"))) as seen:
            found.append(seen.convert("RGB").getpixel((seen.width // 2, seen.height // 2))[0])
    return found


def test_the_first_screen_answers(browser: Any, report: Path) -> None:
    """Verdict, table, plot and three cases in step, in this order, on one screen; nothing has to be opened or pressed."""
    watched = Watched(browser, viewport={"width": 1280, "height": 800})
    page = watched.go(report / "index.html")
    page.wait_for_function(LOADED, arg=12)
    places = [page.locator(at).first.bounding_box() for at in (".verdict", "#first", "#telling", ".strip")]
    assert [box["y"] for box in places] == sorted(box["y"] for box in places)
    plot, shown = (
        page.locator(".picture img").bounding_box(),
        page.locator(".told figure").evaluate_all("all => all.map((one) => one.getBoundingClientRect().bottom)"),
    )
    assert plot["y"] < places[2]["y"] and len(shown) == 12 and max(shown) <= 800
    assert all(page.get_by_text(sentence).count() == 1 for sentence in VERDICT)
    assert page.locator("#first thead th").count() == 3 and page.locator("#numbers").get_attribute("open") is None
    assert page.get_attribute("#play", "aria-pressed") == "true" and len(set(page.evaluate(FRAMES))) == 1
    assert page.locator(".told h3").evaluate_all("all => all.map((one) => one.innerText.split(' ')[0])") == [
        "Best", "Typical", "Worst",
    ]  # fmt: skip
    before = page.evaluate("window.scrollY")
    page.keyboard.press("End")
    page.wait_for_function(f"() => window.scrollY > {before}")
    watched.context.close()
    watched.quiet()


def test_names_are_those_people_say_and_ids_are_on_hover(watched: Watched, report: Path) -> None:
    page = gallery(watched, report)
    titled = "[...document.querySelectorAll('.clip [title]')].map(e => [e.textContent, e.title])"
    assert {("FastVMT", "fastvmt"), ("No transfer", "none"), ("Motion fid.", "motion_fidelity")} <= {
        *map(tuple, page.evaluate(titled))
    }
    page = watched.go(report / "index.html")
    assert page.get_attribute("#first thead th:nth-child(2)", "title") == "motion_fidelity"
    assert page.get_attribute(".strip .name [title=fastvmt]", "title") == "fastvmt"


def test_the_reference_stays_in_sight_and_in_step_on_a_phone(watched: Watched, report: Path) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 844})
    page = gallery(watched, report)
    last = page.locator("#gallery figure:not([hidden])").last
    last.evaluate("one => window.scrollTo(0, one.getBoundingClientRect().bottom + window.scrollY - 600)")
    page.wait_for_function("() => window.scrollY > 200")
    box, screen = page.locator("figure.reference").bounding_box(), page.locator("figure.reference canvas.frame").bounding_box()
    assert 0 <= box["y"] < 60 and screen["width"] > 60 and box["height"] < 200
    bar = page.locator("#controls").bounding_box()
    assert bar["y"] + bar["height"] == 844 and last.bounding_box()["y"] >= box["y"] + box["height"]
    page.keyboard.press("End")
    assert page.evaluate(FRAMES) == [str(T - 1)] * 4 and reds(page)[0] == 20 * (T - 1) + 15


def test_all_clips_show_the_scrubbed_frame(watched: Watched, report: Path) -> None:
    page = gallery(watched, report)
    assert page.get_attribute("#scrub", "max") == str(T - 1)
    for frame in (0, 5, T - 1, 2):
        page.locator("#scrub").fill(str(frame))
        assert page.evaluate(FRAMES) == [str(frame)] * 4
        assert reds(page) == [20 * frame + 15] * 4
        assert page.inner_text("#at") == f"{frame + 1} / {T}"


def test_all_clips_play_in_step(watched: Watched, report: Path) -> None:
    """At every animation frame while it plays, all clips show one index, and the index goes through the whole clip."""
    page = gallery(watched, report)
    page.select_option("#speed", "2")
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    seen = page.evaluate(
        "count => new Promise(done => { const seen = []; const look = () => { const now = " + FRAMES + "; "
        "const at = now.join(','); if (seen[seen.length - 1] !== at) seen.push(at); "
        "if (new Set(seen).size >= count) done(seen); else requestAnimationFrame(look); }; look(); })", T,
    )  # fmt: skip
    assert all(len(set(at.split(","))) == 1 and len(at.split(",")) == 4 for at in seen)
    assert {int(at.split(",")[0]) for at in seen} == set(range(T))
    page.click("#play")
    still = page.evaluate(FRAMES)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(FRAMES) == still and reds(page) == [20 * int(still[0]) + 15] * 4


def test_keys(watched: Watched, report: Path) -> None:
    page = gallery(watched, report)
    for key, frame in (("End", T - 1), ("ArrowRight", 0), ("ArrowLeft", T - 1), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert page.evaluate(FRAMES) == [str(frame)] * 4, key
    page.keyboard.press("+")
    assert page.input_value("#speed") == "2"
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert page.input_value("#speed") == "0.5"
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    page.focus("#scrub")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FRAMES) == ["1"] * 4
    page.focus("#play")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "true", "a button's own space must act once"


def test_seeds_are_chosen_and_what_failed_is_said(watched: Watched, report: Path) -> None:
    page = gallery(watched, report, "case-0003", 3)
    assert "a failure" in page.inner_text("figure:not([hidden]) .gone")
    assert page.locator("section.logged:not([hidden])").count() == 0
    page.keyboard.press("End")
    page.select_option("#seed", "1")
    page.wait_for_function(LOADED, arg=4)
    assert page.evaluate(FRAMES) == [str(T - 1)] * 4
    assert page.locator("section.logged:not([hidden]) svg").count() == 1
    page.select_option("#seed", "all")
    page.wait_for_function(LOADED, arg=6)


def test_tracks_are_drawn_and_taken_away(watched: Watched, report: Path) -> None:
    page = gallery(watched, report)
    inked = (
        "() => { const c = document.querySelector('canvas.over'); if (c.hidden) return 0; "
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; "
        "for (let k = 3; k < d.length; k += 4) n += d[k] > 0; return n; }"
    )
    assert page.evaluate(inked) == 0
    page.keyboard.press("t")
    page.wait_for_function(f"() => ({inked})() > 20")
    assert {page.evaluate("document.querySelector('canvas.over').dataset.frame")} == {"0"}
    page.keyboard.press("t")
    assert page.evaluate(inked) == 0


def test_a_table_sorts_by_numbers_with_missing_last(watched: Watched, report: Path) -> None:
    page = watched.go(report / "index.html")
    names = "[...document.querySelectorAll('#first tbody tr:not(.group) th bdi')].map(b => b.textContent)"
    printed = page.evaluate(names)
    assert printed == ["none", "fastvmt", "ditflow"]
    head = page.locator("#first thead th").nth(1)
    press = head.locator("button")
    press.click()
    assert head.get_attribute("aria-sort") == "descending" and page.evaluate(names) == ["none", "ditflow", "fastvmt"]
    press.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and page.evaluate(names) == ["none", "fastvmt", "ditflow"]
    time = page.locator("#first thead th").nth(2)
    for way in ("ascending", "descending"):
        time.locator("button").click()
        assert time.get_attribute("aria-sort") == way and head.get_attribute("aria-sort") is None
        assert page.evaluate(names) == ["none", "ditflow", "fastvmt"], "the missing one stays last"
    time.locator("button").click()
    assert time.get_attribute("aria-sort") is None and page.evaluate(names) == printed


def test_the_list_of_cases_pages_filters_and_searches(watched: Watched, report: Path) -> None:
    page = watched.go(report / "cases.html")
    shown = "[...document.querySelectorAll('.card strong')].filter(e => e.checkVisibility()).map(e => e.textContent)"
    assert page.evaluate(shown) == [f"case-{n:04d}" for n in range(5)]
    page.click("a[rel=next]")
    page.wait_for_url("**/cases-2.html")
    assert page.evaluate(shown) == [f"case-{n:04d}" for n in range(5, 10)]
    page.fill("#words", "NEEDLE thing")
    assert page.evaluate(shown) == ["case-0011"] and "1 to 1 of 1 found among 13" in page.inner_text("#said")
    page.fill("#words", "hay")
    assert len(page.evaluate(shown)) == 5 and "of 12 found" in page.inner_text("#said")
    page.click("#found .pager button:last-child")
    page.click("#found .pager button:last-child")
    assert page.evaluate(shown) == ["case-0010", "case-0012"]
    page.fill("#words", "")
    page.select_option("#category", "single_object")
    assert page.evaluate(shown) == ["case-0001", "case-0007"]
    page.click("#clear")
    page.check("#incomplete")
    assert page.evaluate(shown) == ["case-0003"]
    page.fill("#words", "nowhere")
    assert page.evaluate(shown) == [] and page.inner_text("#said") == "No case is like that"
    page.click("#clear")
    assert page.evaluate(shown) == [f"case-{n:04d}" for n in range(5, 10)]
    page.fill("#words", "needle")
    page.click(".card a:visible")
    page.wait_for_url("**/cases/case-0011-*.html")


def test_light_dark_and_the_reader_s_choice(browser: Any, report: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = Watched(browser, color_scheme="dark")
    page = dark.go(report / "index.html")
    night = page.evaluate(ground)
    page.click("#theme")
    day = page.evaluate(ground)
    assert page.inner_text("#theme") == "Theme: light" and day != night
    page = dark.go(report / "cases.html")
    assert page.evaluate(ground) == day, "the choice holds on the next page"
    page.click("#theme")
    assert page.evaluate(ground) == night
    dark.context.close()
    light = Watched(browser, color_scheme="light")
    assert light.go(report / "index.html").evaluate(ground) == day
    light.context.close()
    dark.quiet()
    light.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_nothing_is_wider_than_a_phone(browser: Any, report: Path, scheme: str) -> None:
    watched = Watched(browser, color_scheme=scheme, reduced_motion="reduce")
    watched.page.set_viewport_size({"width": 390, "height": 800})
    for name in ("index.html", "cases.html", "failures.html", f"cases/{page_name('case-0003')}"):
        page = watched.go(report / name)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(LOW_CONTRAST) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.locator("#play[aria-pressed=true]").count() == 0
        assert page.evaluate(NAMELESS, "button, input, select") == 0
    watched.context.close()
    watched.quiet()


def test_without_scripts_everything_but_playing_is_there(browser: Any, report: Path) -> None:
    plain = Watched(browser, java_script_enabled=False)
    page = plain.go(report / "index.html")
    assert page.locator("table.sortable").first.is_visible() and page.locator(".told .still").count() == 12
    page = plain.go(report / "cases.html")
    assert page.locator(".card").count() == 5 and page.locator("#filter").is_hidden()
    page = plain.go(report / "cases" / page_name("case-0000"))
    assert page.get_by_text("Playing needs JavaScript").is_visible() and page.locator("#controls").is_hidden()
    for still in page.locator(".still").all():
        with Image.open(BytesIO(still.screenshot())) as seen:
            found = seen.convert("RGB").getpixel((seen.width // 2, seen.height // 2))
        assert seen.width > 100 and found[0] == 20 * (T // 2) + 15, "the frame in the middle of the clip"
    plain.context.close()


def test_two_hundred_payloads_execute_nothing(browser: Any, tmp_path: Path) -> None:
    root = hostile_run(tmp_path / "r")
    tidy = gather([root])
    texts = payloads()
    assert len(texts) >= 200
    write_report(tidy, [some_view(tidy, t) for t in (texts[4], *texts[:12])], tmp_path / "o", tracks=False)
    watched = Watched(browser)
    watched.context.add_init_script("window.__pwned = 0;")
    names = [tmp_path / "o" / n for n in ("index.html", "failures.html", "failures-2.html", "cases.html", "cases-2.html")]
    names += sorted((tmp_path / "o" / "cases").glob("*.html"))[::24]
    for path in names:
        page = watched.go(path)
        for element in page.query_selector_all("details:not([open]) > summary")[:8]:
            element.click()
        page.keyboard.press("Tab")
        assert page.evaluate("window.__pwned") == 0, path.name
    page = watched.go(tmp_path / "o" / "cases.html")
    page.fill("#words", "p")
    cards = "() => document.querySelectorAll('#found .card').length"
    for _ in range(-(-len(texts) // 50) - 1):  # every payload goes through the search's own way of making cards
        assert page.evaluate(cards) == 50
        page.click("#found .pager button:last-child")
    assert page.evaluate(cards) == (len(texts) - 1) % 50 + 1
    typed = "texts => { const w = document.getElementById('words'); for (const t of texts) { w.value = t; w.dispatchEvent(new Event('input')); } }"
    page.evaluate(typed, texts[::5])
    page.fill("#words", "p1")
    assert page.locator("#found .card").count() == 50
    assert page.evaluate("window.__pwned") == 0
    assert (
        page.evaluate(
            "document.querySelectorAll('main script, main iframe, main [onerror], main [onload], main svg script').length"
        )
        == 0
    )
    watched.context.close()
    watched.quiet()
