"""The report's files: whole, escaped, closed to the outside, paged, and made again without encoding anything twice."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import make_cases, make_run, make_setting, make_spec, paint, share
from fastvmt.reports.page import atlas, gallery
from fastvmt.reports.page import write as page
from fastvmt.reports.page.charts import Heat, Lines, ticks
from fastvmt.reports.page.gallery import page_name, short_names
from fastvmt.reports.page.logs import charts
from fastvmt.reports.page.write import Picture, breakable, json_text, write_report
from fastvmt.reports.tables.view import Cell, Column, Line, View
from fastvmt.reports.tidy import Tidy, gather
from hostile import CODE, payloads
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fastvmt.errors import UserError
from fastvmt.model import Case, Failure
from fastvmt.video import read_lossless

POLICY = ("default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'")  # fmt: skip
VOID = {"meta", "link", "img", "input", "br", "wbr", "hr", "line", "rect", "circle", "path"}
URLS = ("href", "src", "action", "formaction", "srcset", "data", "poster", "xlink:href", "srcdoc")


class Page(HTMLParser):
    """One page: its tags, its text, what stands in it that may not, and whether every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text, self.blocks, self.wrong, self.ids = "", {}, [], []  # type: ignore[var-annotated]
        self.feed(path.read_text())
        self.close()
        if self.open:
            self.wrong.append(f"left open: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if len(found) != len(attrs):
            self.wrong.append(f"{tag} says an attribute twice")
        self.wrong += [f"{tag} has {k}" for k in found if k.startswith("on") or k == "style"]
        self.wrong += [
            f"{tag} {k}={v}"
            for k, v in found.items()
            if k in URLS and not re.fullmatch(r"(\.\./)?[a-z0-9/._-]*(#\w+)?", v or "")
        ]
        if tag in ("style", "iframe", "object", "embed", "base", "form", "template") or (tag == "script" and "src" not in found and found.get("type") != "application/json"):  # fmt: skip
            self.wrong.append(f"{tag} {found}")
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and data.strip():
            self.blocks[dict(self.tags)["script"].get("id")] = json.loads(data)
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data[:40]}")


def some_view(tidy: Tidy, words: str = "") -> View:
    """A small table: quality and time, an interval, a best one, a missing cell."""
    lines = tuple(
        Line(label, label + words, (Cell(0.5 + n / 10, 0.4, 0.9, 2, 3, "best" if n == 2 else ""), Cell(9.0 - n, 1.0, 10.0, 2, 2) if n != 1 else Cell(None, why="failed" + words)),
             group="ours" + words if n else "controls", ranked=n > 0)
        for n, label in enumerate(tidy.methods)
    )  # fmt: skip
    columns = (Column("motion_fidelity", "motion_fidelity" + words, "", "up"), Column("time", "time", "s", "down", 2))
    return View("comparison", "Methods compared" + words, tidy.title, columns, lines, (f"A note{words}",))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    failure = Failure(
        job_key="", kind="out_of_memory", stage="denoise", message="no room left", traceback="Traceback\n  line <1>"
    )
    logs = {"loss": {"0": [3.0, 2.0, 1.5], "1": [2.0, 1.0]}, "gradients": {"0": {"at": [0, 3], "norm": [2.0, 1.0], "cosine": [[1, 0.5], [0.5, 1]]}}}  # fmt: skip
    return make_run(
        tmp_path_factory.mktemp("run") / "r", 7, methods=("none", "fastvmt", "ditflow"), seeds=(0, 1),
        failed={("case-0001", "fastvmt", 0): failure}, missing=[("case-0002", "ditflow", 1)],
        logs=lambda case, label, seed: logs if label == "fastvmt" else {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    tidy = gather([run])
    picture = out.parent / f"{out.name}-figure.png"
    Image.new("RGB", (8, 8)).save(picture)
    made = write_report(
        tidy, [some_view(tidy)], out, [Picture("f", picture, "What it shows", "A caption")], [("Beside", some_view(tidy))], 3
    )
    assert made == out / "index.html"
    return out


def pages(report: Path) -> dict[str, Page]:
    return {str(p.relative_to(report)): Page(p) for p in report.rglob("*.html")}


def test_every_page_is_whole_and_closed_to_the_outside(report: Path) -> None:
    found = pages(report)
    assert {"index.html", "cases.html", "cases-2.html", "cases-3.html", "failures.html"} < set(found) and len(found) == 12
    for name, one in found.items():
        assert not one.wrong, (name, one.wrong)
        assert len(one.ids) == len(set(one.ids)), name
        policy = [a["content"] for t, a in one.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        assert policy == [POLICY], name
        assert one.tags[0] == ("html", {"lang": "en"}) and sum(t == "h1" for t, _ in one.tags) == 1
        assert all("alt" in a for t, a in one.tags if t == "img")
        for tag, attrs in one.tags:
            for key in ("href", "src"):
                target = attrs.get(key)
                if target and not target.startswith("#"):
                    place = (report / name).parent / target
                    assert place.resolve().is_relative_to(report.resolve()) and place.exists(), (name, tag, target)


def test_no_asset_makes_markup_or_runs_text_as_code() -> None:
    for path in page.TEMPLATES.glob("*.js"):
        text = path.read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
            "fetch(",
            "http:",
            "https:",
        ):
            assert word not in text, (path.name, word)
    for path in page.TEMPLATES.glob("*.jinja"):
        assert not re.search(r"\|\s*safe|autoescape|https?:", path.read_text()), path.name
    assert (
        "url(" not in (page.TEMPLATES / "report.css").read_text()
        and "@import" not in (page.TEMPLATES / "report.css").read_text()
    )


def test_a_table_says_values_intervals_marks_and_what_is_missing(report: Path) -> None:
    text = (report / "index.html").read_text()
    assert text.count('<td class="missing">failed</td>') == 2
    assert re.search(
        r'data-value="0.7" class="best"><span class="number">0.700</span><span class="unseen"> best</span> <span class="interval">\[0.400, 0.900\]</span> <span class="n">n=2</span>',
        text,
    )
    one = Page(report / "index.html")
    for words in ("Methods compared", "A note", "controls", "Beside", "A caption", "bench run", "40 of 42", "1 failed"):
        assert words in one.text, words
    assert ("img", "What it shows") in [(t, a.get("alt")) for t, a in one.tags]


def test_points_and_bars_say_their_numbers_without_scripts(report: Path) -> None:
    one = Page(report / "index.html")
    said = [a["aria-label"] for t, a in one.tags if t == "g"]
    assert said == ["ditflow: time 7.00 s, motion_fidelity 0.700, n = 2", "none: time 9.00 s, motion_fidelity 0.500, n = 2"]
    assert any(t == "svg" and a.get("aria-label") == "time [s] ↓: none 9.00, ditflow 7.00" for t, a in one.tags)


def test_a_case_has_the_reference_and_every_method_and_says_what_failed(run: Path, report: Path) -> None:
    one = Page(report / "cases" / page_name("case-0001"))
    clips = one.blocks["clips"]["clips"]
    assert [c["seed"] for c in clips] == [None, 0, 0, 0, 1, 1, 1] and [c["frames"] for c in clips] == [5, 5, 0, 5, 5, 5, 5]
    assert "out_of_memory in denoise: no room left" in one.text
    frame = gather([run]).frame
    seconds = frame[(frame["metric"] == "time") & (frame["case"] == "case-0001") & (frame["status"] == "ok")]["value"]
    assert len(seconds) == 5 and all(f"{s:.2f} s" in one.text for s in seconds)
    assert sum(t == "canvas" for t, _ in one.tags) == 12
    other = Page(report / "cases" / page_name("case-0002"))
    assert "not made yet" in other.text
    assert "Cosine between gradients, by step" in other.text and "norm of the gradient" in other.text


def test_failures_are_listed_with_their_traceback(report: Path) -> None:
    text = (report / "failures.html").read_text()
    assert '<pre tabindex="0">Traceback\n  line &lt;1&gt;</pre>' in text and "no room left" in text and "not made yet" in text


def test_a_second_report_encodes_nothing_and_writes_nothing(
    run: Path, report: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("a clip was read again")

    before = {p: p.stat().st_mtime_ns for p in report.rglob("*.*")}
    monkeypatch.setattr("fastvmt.reports.page.gallery.read_lossless", never)
    tidy = gather([run])
    write_report(tidy, [some_view(tidy)], report, [], [("Beside", some_view(tidy))], 3)
    after = {p: p.stat().st_mtime_ns for p in report.rglob("*.*")}
    assert {p.name for p in before if before[p] != after.get(p)} == {"index.html"}
    (report / "cases" / "old-0123456789.html").write_text(f"<meta content='{page.MARK}'>")
    (report / "cases" / "mine.html").write_text("a reader's own file")
    write_report(tidy, [], report, per_page=50)
    names = {p.name for p in report.rglob("*.html")}
    assert "old-0123456789.html" not in names and "cases-2.html" not in names and "mine.html" in names
    (report / "cases" / "mine.html").unlink()


def test_a_folder_of_something_else_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(UserError, match="is not a page of a report"):
        write_report(gather([run]), [], tmp_path)
    assert (tmp_path / "index.html").read_text() == "my home page"
    with pytest.raises(UserError, match="shows .svg, .png"):
        write_report(gather([run]), [], tmp_path / "o", [Picture("x", tmp_path / "index.html", "", "")], tracks=False)


def test_a_damaged_or_absent_clip_is_shown_as_such(tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", 2, methods=("fastvmt",))
    clips = sorted((root / "artefacts").glob("case-0000*/frames.mkv"))
    clips[0].write_bytes(b"x" * clips[0].stat().st_size)
    reference = gather([root]).cases["case-0001"].reference.frames_digest
    (root / "references" / f"{reference[:16]}.mkv").unlink()
    write_report(gather([root]), [], tmp_path / "o", tracks=False)
    first, second = (Page(tmp_path / "o" / "cases" / page_name(f"case-000{n}")).text for n in (0, 1))
    assert "frames.mkv cannot be read" in first and "no frames of it" in second
    assert "1 missing" in Page(tmp_path / "o" / "cases.html").text


# --- hostile text ----------------------------------------------------------------------------------------------------


def hostile_run(folder: Path, number: int | None = None) -> Path:
    """Every payload as prompt, caption, category or source of a case; some as labels, notes, failures and log keys."""
    found = payloads()[:number]
    base = make_cases(len(found))
    cases: list[Case] = []
    for n, text in enumerate(found):
        reference = base[n].reference.model_copy(update={"source": text, "notes": (text,)})
        cases.append(
            base[n].model_copy(
                update={
                    "prompt": text,
                    "caption": found[-n - 1],
                    "category": text if n < 20 else "camera",
                    "reference": reference,
                    "negative": text,
                }
            )
        )
    setting = make_setting()
    labels = [
        make_spec("fastvmt", setting).model_copy(update={"label": text, "params": {text: text, "n": n}, "preset": text})
        for n, text in enumerate(found[:6])
    ]
    failures = {
        (c.id, labels[n % 6].label, 0): Failure(job_key="", kind=found[n], stage=found[n], message=found[n], traceback=found[n])
        for n, c in enumerate(cases)
    }
    clip = paint(None, "", 0, 3, 8, 8)
    return make_run(
        folder, cases, methods=labels, frames=(3, 8, 8), failed=failures, notes=found, suite=found[0], device=found[1],
        metrics=("motion_fidelity",), paint=lambda *a: clip, setting=make_setting((3, 8, 8), backbone=found[2]),
        logs=lambda case, label, seed: {label: {case.prompt: {label: [1.0, 2.0]}}, "loss": {case.prompt: [1.0, 2.0]}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    tidy = gather([hostile_run(place / "r")])
    view = some_view(tidy, payloads()[4])
    picture = place / "figure.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    shown = [Picture(t, picture, t, t) for t in payloads()]
    write_report(tidy, [view], place / "o", shown, [(t, view) for t in payloads()[:4]], tracks=False)
    return place / "o"


def test_two_hundred_payloads_are_text_and_nothing_else(hostile: Path) -> None:
    found = pages(hostile)
    assert len(payloads()) >= 200 and len(set(payloads())) == len(payloads())
    for name, one in found.items():
        assert not one.wrong, (name, one.wrong[:3])
        scripts = [a for t, a in one.tags if t == "script"]
        assert all(re.fullmatch(r"(\.\./)?(assets|data)/[a-z]+\.js", a["src"] or "") for a in scripts if "src" in a)
        assert all(t not in ("iframe", "object", "form", "video", "marquee", "math", "base") for t, _ in one.tags), name
    index = found["index.html"]
    squeezed = re.sub(r"\s+", " ", index.text)
    for text in payloads():
        seen = re.sub(r"\s+", " ", page.printable(text)).strip()
        assert seen in squeezed, text[:80]
    names = {p.name for p in hostile.rglob("*")}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", n) for n in names)
    assert not any(CODE in n for n in names)


def test_data_for_scripts_holds_no_markup(hostile: Path) -> None:
    text = (hostile / "data" / "cases.js").read_text()
    assert text.isascii() and not set("<>&") & set(text.partition("= {rows")[2] or text.splitlines()[1].partition("= ")[2])
    rows = json.loads(text.splitlines()[1].partition("] = ")[2].rstrip(";"))["rows"]
    assert [r[3] for r in rows] == payloads()
    for path in (hostile / "cases").glob("*.html"):
        raw = re.findall(r'<script type="application/json" id="clips">(.*?)</script>', path.read_text(), re.S)
        assert len(raw) == 1 and not set("<>&") & set(raw[0])


@given(st.text())
def test_text_survives_as_text(text: str) -> None:
    assert json.loads(json_text({"a": text}))["a"] == text
    assert json_text(text).isascii() and not set("<>&") & set(json_text(text))
    parts = HTMLParser(convert_charrefs=True)
    seen: list[str] = []
    parts.handle_data = seen.append  # type: ignore[method-assign]
    parts.feed(f"<p>{breakable(text)}</p>")
    parts.close()
    assert "".join(seen) == page.printable(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_file_names_are_made_not_taken(a: str, b: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,40}-[0-9a-f]{10}\.html", page_name(a))
    assert (page_name(a) == page_name(b)) == (a == b)


# --- clips as pictures ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 2000), st.integers(1, 2200), st.integers(1, 2200))
def test_atlases_hold_every_frame_within_the_limits(frames: int, height: int, width: int) -> None:
    found = atlas.Layout.of(frames, height, width)
    assert found.width <= 320 and found.height <= 320 and found.columns * found.rows * found.files >= frames
    assert found.columns * found.width <= 16_000 and found.rows * found.height <= 16_000
    assert found.columns * found.rows * (found.files - 1) < frames
    assert found.columns * found.rows * found.width * found.height <= 1.5 * atlas.LARGEST_AREA
    assert len(set(found.names("f" * 64))) == found.files


def test_an_atlas_gives_every_frame_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "LARGEST_AREA", 8 * 8 * 6)
    clip = np.random.default_rng(0).integers(0, 256, (14, 8, 8, 3), dtype=np.uint8)
    layout = atlas.Layout.of(14, 8, 8)
    assert layout.files > 1
    assert atlas.write_clip(tmp_path, "a" * 64, layout, lambda: clip, tracks=True, still=True)
    assert not atlas.write_clip(tmp_path, "a" * 64, layout, lambda: clip, tracks=True, still=True)
    opened = [pixels(tmp_path / n) for n in layout.names("a" * 64)]
    for n, frame in enumerate(clip):
        file, inside = divmod(n, layout.columns * layout.rows)
        row, column = divmod(inside, layout.columns)
        assert (opened[file][row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] == frame).all()
    assert pixels(tmp_path / atlas.still_name("a" * 64)).shape == (8, 24, 3)


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_tracks_follow_what_moves_and_end_where_it_is_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    world = rng.integers(0, 256, (16, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    clip = np.stack([world[:64, 60 - 2 * t : 124 - 2 * t] for t in range(6)])
    found = atlas.paths(clip)
    assert len(found) == 64 and {len(p) % 2 for p in found} == {0}
    whole = np.array([p for p in found if len(p) == 12]).reshape(-1, 6, 2) / 10
    assert len(whole) > 20 and np.abs(np.median(whole[:, -1] - whole[:, 0], 0) - [10, 0]).max() < 0.5


# --- what methods logged ----------------------------------------------------------------------------------------------------


def test_logs_become_charts_by_their_shape() -> None:
    log = {
        "loss": {"10": [3, 2], "2": [5, 4, 3]},
        "gradients": {"0": {"at": [0, 3, 6], "norm": [4, 2, 1], "cosine": [[1, 0.9, 0.1], [0.9, 1, 0.5], [0.1, 0.5, 1]]}},
        "centres": {"0": {"reference": {"spread": 1.0}, "video": {"drift": [1, 2]}}, "1": {"reference": {"spread": 2.0}, "video": {"drift": [2, 3]}}},
        "path": {"step": 0, "sketch": [[1.0]]},
    }  # fmt: skip
    found = charts(log)
    by = {c.title: c for c in found}
    assert set(by) == {"loss", "cosine of a fresh gradient to the one before", "norm of the gradient", "cosine between gradients",
                       "centres: reference spread", "centres: video drift"}  # fmt: skip
    assert isinstance(by["loss"], Lines) and [s.name for s in by["loss"].series] == ["step 2", "step 10"]
    matrix = by["cosine between gradients"]
    assert isinstance(matrix, Heat) and [q.level for q in matrix.squares] == [10, 9, 1, 9, 10, 5, 1, 5, 10]
    assert isinstance(by["norm of the gradient"], Lines) and by["norm of the gradient"].said == "step 0: from 4 to 1"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["0", "1", "at", "norm", "cosine", "x"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["loss", "gradients", "centres", "path", "other"]), junk, max_size=5))
def test_no_log_breaks_a_page(log: dict[str, Any]) -> None:
    for chart in charts(log):
        if isinstance(chart, Lines):
            places = [float(v) for s in chart.series for v in re.findall(r"-?[\d.]+(?:e-?\d+)?", s.path)]
            assert places and all(-1 <= v <= 500 for v in places)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_ticks_cover_their_range(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = ticks(low, high)
    slack = 1e-6 * max(1e-300, high - low, abs(low), abs(high))
    assert found == sorted(found) and 2 <= len(found) <= 12 and found[0] <= low + slack and found[-1] >= high - slack


def test_short_names_stay_different() -> None:
    assert short_names(["time", "m:clip=a", "n:x=1", "n:x=2"]) == {
        "time": "time",
        "m:clip=a": "m",
        "n:x=1": "n:x=1",
        "n:x=2": "n:x=2",
    }


def test_a_thousand_cases_read_every_clip_once_and_no_page_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done once too often for each case would take minutes here."""
    clips = [paint(None, str(n), 0, 3, 8, 8) for n in range(20)]
    root = make_run(
        tmp_path / "r", 1000, methods=("fastvmt",), frames=(3, 8, 8), metrics=("time",),
        paint=lambda case, label, *rest: clips[int(10 * share(case.id if case else "")) + (10 if label else 0)],
    )  # fmt: skip
    tidy = gather([root])
    reads: list[Path] = []
    monkeypatch.setattr(gallery, "read_lossless", lambda path: reads.append(path) or read_lossless(path))
    write_report(tidy, [some_view(tidy)], tmp_path / "o", tracks=False)
    assert 0 < len(reads) <= len(clips)
    assert len(list((tmp_path / "o" / "cases").glob("*.html"))) == 1000
    assert len(list((tmp_path / "o").glob("cases*.html"))) == 20
    assert len(list((tmp_path / "o" / "clips").glob("*"))) <= 30
    assert max(p.stat().st_size for p in (tmp_path / "o").rglob("*.html")) < 300_000
