"""Our own gate on ``tiny``: green for fastvmt as it is, red when it is slowed or broken on purpose.

One run holds fastvmt, a slowed and a broken one, made in turn on the same machine; each is then judged under fastvmt's name
with the tolerances and the baseline that continuous integration uses.
"""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

import pytest
from support.cli import command
from support.places import ROOT, SUPPORT

from fastvmt.reports.gate import baseline, tolerances
from fastvmt.reports.gate.baseline import Measured
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.verdicts import GateResult
from fastvmt.reports.tidy import gather

STORED = ROOT / "tests" / "data" / "gate-tiny.json"
TOYS = ("fastvmt-slow", "fastvmt-broken")
RUN = (
    "run", "--suite", "shapes-64", "--limit", "3", "--steps", "2", "--no-controls", "--workers", "2", "--threads", "1",
    "--metrics", "trajectory,time", "--no-reuse",
)  # fmt: skip
"""As in gate.toml and docs/reference/github-actions.yml, without methods and folder."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    out = tmp_path_factory.mktemp("tiny") / "run"
    plugin = SUPPORT / "toys.py"
    words = command(*RUN, "--methods", ",".join(("fastvmt", "ditflow", "none", *TOYS)), "--plugin", plugin, "--out", out)
    said = subprocess.run(words, capture_output=True, text=True, timeout=550)
    assert said.returncode == 0, said.stderr
    return baseline.of(gather([out]))


def judged(made: Measured, label: str) -> GateResult:
    """The verdicts on one of the methods, as if it were fastvmt."""
    others = [m for m in ("fastvmt", *TOYS) if m != label]
    videos = [v for v in made.videos if v.method not in others]
    videos = [v.model_copy(update={"method": "fastvmt"}) if v.method == label else v for v in videos]
    methods = {"fastvmt" if k == label else k: f for k, f in made.methods.items() if k not in others}
    run = made.model_copy(update={"videos": tuple(videos), "methods": methods})
    return check(run, baseline.read(STORED), tolerances.read(ROOT / "gate.toml"))


def worse(outcome: GateResult) -> set[tuple[str, str]]:
    return {(r.metric, r.method) for r in outcome.of("worse")}


@pytest.mark.slow
def test_fastvmt_as_it_is_passes_and_everything_is_compared(made: Measured) -> None:
    outcome = judged(made, "fastvmt")
    assert outcome.exit_code(strict=True) == 0, outcome.rows
    assert len(outcome.rows) == 6 and not outcome.of("not compared")


@pytest.mark.slow
def test_slower_guidance_fails_by_the_speed_up_and_by_nothing_else(made: Measured) -> None:
    outcome = judged(made, "fastvmt-slow")
    assert outcome.exit_code() == 1
    assert {
        ("speed-up over ditflow (guidance): floor", "fastvmt"),
        ("speed-up over ditflow (guidance): against baseline", "fastvmt"),
    } <= worse(outcome)
    assert all(metric.startswith("speed-up") for metric, _ in worse(outcome))
    same, slow = (made.of_method(m) for m in ("fastvmt", "fastvmt-slow"))
    assert [v.frames_digest for v in same.values()] == [v.frames_digest for v in slow.values()], "slow, and nothing else"


@pytest.mark.slow
def test_guidance_that_does_nothing_fails_by_fidelity_although_it_is_faster(made: Measured) -> None:
    outcome = judged(made, "fastvmt-broken")
    assert outcome.exit_code() == 1
    assert worse(outcome) == {("trajectory", "fastvmt"), ("trajectory over none", "fastvmt")}


def test_the_stored_baseline_and_the_example_are_of_this_run() -> None:
    stored = baseline.read(STORED)
    assert STORED.stat().st_size < 200_000 and list(stored.methods) == ["fastvmt", "ditflow", "none"]
    assert not stored.incomplete() and len(stored.videos) == 9
    for text in (
        p.read_text().replace("\\\n", " ")
        for p in [ROOT / "README.md", ROOT / "gate.toml", *(ROOT / "docs").rglob("*.*")]
        if p.suffix in (".md", ".yml", ".toml")
    ):
        checks = [x for x in text.splitlines() if re.search(r"bench check \S+ --baseline", x) and "--calibrate" not in x]
        assert all("--strict" in x for x in checks), "what we show is what is copied"
    example = (ROOT / "docs" / "reference" / "github-actions.yml").read_text().replace("\\\n", " ")
    line = next(line for line in example.splitlines() if "bench run" in line)
    words = dict(pairwise(line.split()))
    assert all(words.get(a) == b for a, b in pairwise(RUN) if a.startswith("--") and not b.startswith("--"))
