"""Our own results on ``tiny`` as a site, from stored submissions, by the line of the workflow that publishes one.

A method, suite or backbone that has changed since makes them fail their checks; they are then made anew:

    bench run --suite shapes --frames 9 --steps 4 --no-controls --methods none,fastvmt,ditflow --threads 1 \\
        --metrics trajectory,text_similarity,time,forwards --out RUN
    bench submit RUN --method fastvmt --videos 1 --out tests/data/submissions/fastvmt    # and ditflow
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from support.cli import bench
from support.page_runs import Page, pages
from support.places import ROOT

STORED = ROOT / "tests" / "data" / "submissions"


def test_the_site_of_our_own_results(tmp_path: Path) -> None:
    workflow = (ROOT / "docs" / "reference" / "leaderboard-pages.yml").read_text()
    _, *words = shlex.split(re.search(r"run: (bench leaderboard .*)", workflow)[1])  # type: ignore[index]
    (tmp_path / "submissions").symlink_to(STORED)
    said = bench(*words, cwd=tmp_path)
    assert (said.code, said.out.strip(), said.err) == (0, "site/index.html", "")
    found = pages(tmp_path / "site")
    assert len(found) == 1 + 2 + 1 and not any(page.wrong for page in found.values())
    index = re.sub(r"\s+", " ", found["index.html"].text)
    assert "FastVMT and DiTFlow follow the reference's motion: trajectory 0.503 and 0.494, no transfer 0.068" in index
    assert "These 16 clips cannot tell FastVMT from DiTFlow in motion" in index and "Not ranked" not in index
    for name, score in (("fastvmt", "0.503"), ("ditflow", "0.494")):
        (path,) = (tmp_path / "site" / "methods").glob(f"{name}-*.html")
        page = Page(path)
        assert f"1 to 2 of 2 · {score}" in (tmp_path / "site" / "badges" / badge(page)).read_text()
        assert len(page.blocks["clips"]["clips"]) == 2, "reference and method of the one video that is in the sample"


def badge(page: Page) -> str:
    return next((facts["src"] or "").rpartition("/")[2] for tag, facts in page.tags if tag == "img")
