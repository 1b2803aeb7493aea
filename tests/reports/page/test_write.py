"""The report's files: whole, closed to the outside, paged, and made again without encoding anything twice."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.page_runs import Page, pages, some_view
from support.runs import make_run, paint, share

from fastvmt.errors import UserError
from fastvmt.media.files import read_lossless
from fastvmt.model import Failure
from fastvmt.reports.figures.style import Picture
from fastvmt.reports.page import gallery
from fastvmt.reports.page import write as page
from fastvmt.reports.page.gallery import page_name
from fastvmt.reports.page.write import write_report
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy, gather

POLICY = ("default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'")  # fmt: skip


def two_views(tidy: Tidy) -> list[View]:
    return [some_view(tidy), replace(some_view(tidy), title="Beside")]


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
    made = write_report(tidy, two_views(tidy), out, [Picture("f", picture, "What it shows", "A caption")], 3)
    assert made == out / "index.html"
    return out


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


def test_a_case_has_the_reference_and_every_method_and_says_what_failed(run: Path, report: Path) -> None:
    one = Page(report / "cases" / page_name("case-0001"))
    clips = one.blocks["clips"]["clips"]
    assert [c["seed"] for c in clips] == [None, 0, 0, 0, 1, 1, 1] and [c["frames"] for c in clips] == [5, 0, 5, 5, 5, 5, 5]
    assert "out_of_memory in denoise: no room left" in one.text
    frame = gather([run]).frame
    seconds = frame[(frame["metric"] == "time") & (frame["case"] == "case-0001") & (frame["status"] == "ok")]["value"]
    assert len(seconds) == 5 and all(f"{s:.2f} s" in one.text for s in seconds)
    assert sum(t == "canvas" for t, _ in one.tags) == 12
    other = Page(report / "cases" / page_name("case-0002"))
    assert "not made yet" in other.text
    assert "gradients norm" in other.text


def test_failures_are_listed_with_their_traceback(report: Path) -> None:
    text = (report / "failures.html").read_text()
    assert '<pre tabindex="0">Traceback\n  line &lt;1&gt;</pre>' in text and "no room left" in text and "not made yet" in text


def test_a_second_report_encodes_nothing_and_writes_nothing(
    run: Path, report: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("a clip was read again")

    report = shutil.copytree(report, tmp_path / "report")  # others read theirs, in any order
    before = {p: p.stat().st_mtime_ns for p in report.rglob("*.*")}
    monkeypatch.setattr("fastvmt.reports.page.gallery.read_lossless", never)
    tidy = gather([run])
    write_report(tidy, two_views(tidy), report, [], 3)
    after = {p: p.stat().st_mtime_ns for p in report.rglob("*.*")}
    assert {p.name for p in before if before[p] != after.get(p)} == {"index.html"}
    (report / "cases" / "old-0123456789.html").write_text(f"<meta content='{page.MARK}'>")
    (report / "cases" / "mine.html").write_text("a reader's own file")
    write_report(tidy, [], report, per_page=50)
    names = {p.name for p in report.rglob("*.html")}
    assert "old-0123456789.html" not in names and "cases-2.html" not in names and "mine.html" in names


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


def test_a_thousand_cases_read_every_clip_once_and_no_page_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done once too often for each case would take minutes here."""
    clips = [paint(None, str(n), 0, 3, 8, 8) for n in range(20)]
    root = make_run(
        tmp_path / "r", 1000, methods=("fastvmt",), frames=(3, 8, 8), metrics=("time",),
        paint=lambda case, label, *rest: clips[int(10 * share(case.id if case else "")) + (10 if label else 0)],
    )  # fmt: skip
    tidy = gather([root])
    reads: list[Path] = []
    monkeypatch.setattr(gallery, "read_lossless", lambda path, shape: reads.append(path) or read_lossless(path, shape))
    write_report(tidy, [some_view(tidy)], tmp_path / "o", tracks=False)
    assert 0 < len(reads) <= len(clips)
    assert len(list((tmp_path / "o" / "cases").glob("*.html"))) == 1000
    assert len(list((tmp_path / "o").glob("cases*.html"))) == 20
    assert len(list((tmp_path / "o" / "clips").glob("*"))) <= 30
    assert max(p.stat().st_size for p in (tmp_path / "o").rglob("*.html")) < 300_000
