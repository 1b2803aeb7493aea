"""The report's text: two hundred payloads, and whatever else, stay text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import CODE, payloads
from support.page_runs import hostile_run, pages, some_view

from fastvmt.reports.figures.style import Picture
from fastvmt.reports.page.atlas import json_text
from fastvmt.reports.page.gallery import page_name
from fastvmt.reports.page.write import write_report
from fastvmt.reports.page.writer import breakable, printable
from fastvmt.reports.tidy import gather


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    tidy = gather([hostile_run(place / "r")])
    view = some_view(tidy, payloads()[4])
    picture = place / "figure.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    shown = [Picture(t, picture, t, t) for t in payloads()]
    write_report(tidy, [view, *(replace(view, title=t) for t in payloads()[:4])], place / "o", shown, tracks=False)
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
        seen = re.sub(r"\s+", " ", printable(text)).strip()
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
    assert "".join(seen) == printable(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_file_names_are_made_not_taken(a: str, b: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,40}-[0-9a-f]{10}\.html", page_name(a))
    assert (page_name(a) == page_name(b)) == (a == b)
