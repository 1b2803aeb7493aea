"""The gate's files, and what it writes for machines and pull requests."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.gate_runs import SCORE, bench, only, run_folder, toml
from support.gate_runs import stored as stored  # a fixture

from fastvmt.reports.gate import baseline as baselines
from fastvmt.reports.gate import junit
from fastvmt.reports.gate.verdicts import GateResult, Judgement
from fastvmt.reports.tidy import gather

HOSTILE = 'a|b `x` <script>&amp;"\x00\x1b[31m\n::error::x\u202e@everyone, 50%: ]]> \ud800 [l](http://e.x)'


def test_a_baseline_comes_back_as_it_was_written_with_a_line_for_each_video(tmp_path: Path) -> None:
    kept = baselines.of(gather([run_folder(tmp_path / "r", cases=3, seeds=(0, 1))]))
    baselines.write(tmp_path / "b.json", kept)
    assert baselines.read(tmp_path / "b.json") == kept
    lines = (tmp_path / "b.json").read_text().splitlines()
    assert sum(x.startswith('  {"method"') for x in lines) == len(kept.videos) == 18
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 4, "the baseline cannot be read"),
        ("{", 2, "not valid JSON"),
        ("[]", 2, "a baseline of format None; this version reads 1"),
        ('{"format": 9}', 2, "a baseline of format 9; this version reads 1"),
        ('{"format": 1, "title": "x"}', 2, "suite: Field required"),
    ],
)
def test_a_baseline_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, code: int, words: str) -> None:
    path = tmp_path / "b.json"
    if text is not None:
        path.write_text(text)
    got, said = bench("check", tmp_path, "--baseline", path)
    assert got == code and str(path) in said and words in said and "\n" not in said.strip()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[metrics", "not valid TOML"),
        ("", "it asks for nothing"),
        ("[metrics.time]\nabsolut = 1", "metrics.time.absolut: there is no such key; known here: absolute, relative, methods"),
        ("[metric.time]\nabsolute = 1", "metric: there is no such key; known here: metrics, speed_up, better"),
        ("[metrics.time]", "metrics.time: exactly one of absolute and relative is needed"),
        ("[metrics.time]\nabsolute = 1\nrelative = 0.1", "metrics.time: exactly one of"),
        ("[metrics.time]\nabsolute = -1", "metrics.time.absolute: input should be greater than or equal to 0"),
        ("[metrics.time]\nabsolute = nan", "metrics.time.absolute is no number"),
        ("[metrics.time]\nabsolute = true", "metrics.time.absolute: input should be a valid number"),
        ('[metrics.time]\nrelative = "0.1"', "metrics.time.relative: input should be a valid number"),
        ("[metrics.time]\nrelative = 10", "metrics.time.relative: input should be less than 1"),
        ('[[speed_up]]\nof = "a"\nover = "b"', "speed_up.0: at_least, relative or both are needed"),
        ('[[speed_up]]\nof = "a"\nover = "a"\nat_least = 1', "speed_up.0: of and over are the same method"),
        ('[[speed_up]]\nof = "a"\nat_least = 1', "speed_up.0.over: field required"),
        (
            '[[speed_up]]\nof = "a"\nover = "b"\nfloor = 1',
            "speed_up.0.floor: there is no such key; known here: of, over, stage",
        ),
        ('[[better]]\nof = "a"\nthan = "b"\nmetric = "m"\nby = inf', "better.0.by is too large a number"),
    ],
)
def test_bad_tolerances_end_in_one_sentence_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = toml(tmp_path, text)
    code, said = bench("check", tmp_path, "--tolerances", path)
    assert code == 2 and said.startswith(str(path)) and words in said and "\n" not in said


def test_files_that_cannot_be_written_are_named(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", cases=8)
    code, said = bench("check", run, "--baseline", stored, "--junit", tmp_path / "no" / "x.xml")
    assert code == 2 and "--junit" in said and "cannot be written" in said
    code, said = bench("baseline", "write", run, "--out", tmp_path / "no" / "b.json")
    assert code == 2 and "Name a file in a folder that exists" in said


def hostile() -> GateResult:
    rows = tuple(Judgement(HOSTILE, HOSTILE, v, f"{HOSTILE} {v}") for v in ("worse", "unclear", "not compared", "same"))  # type: ignore[arg-type]
    return GateResult(HOSTILE, rows, (HOSTILE,))


def test_junit_is_well_formed_whatever_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(junit.junit(hostile()), encoding="utf-8")
    suite = ET.parse(path).getroot()[0]
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped"), len(cases)) == ("4", "1", "2", 4)
    assert cases[0].find("failure") is not None and [c.find("skipped") is not None for c in cases[1:3]] == [True, True]
    assert "<script>" in (cases[0].get("name") or "") and "\x00" not in path.read_text()
    strict = ET.fromstring(junit.junit(hostile(), strict=True))
    assert strict.get("failures") == "2"


def test_junit_of_a_gate_that_compared_nothing_holds_an_error() -> None:
    nothing = GateResult("t", (Judgement("m", "a", "not compared", "no baseline was given"),))
    root = ET.fromstring(junit.junit(nothing))
    assert root.get("errors") == "1" and root.find(".//error") is not None


def test_annotations_cannot_be_broken_out_of() -> None:
    lines = junit.github(hostile())
    assert [x.split(" ")[0] for x in lines] == ["::error", "::warning", "::warning"]
    for line in lines:
        assert "\n" not in line and "\r" not in line and "\x1b" not in line
        properties, _, message = line.removeprefix("::").partition("::")
        title = properties.split("title=", 1)[1]
        assert not set(title) & {":", ","} and "50%25" in title and "50%25" in message


def test_markdown_mentions_nobody_and_keeps_its_table() -> None:
    for text in (junit.comment(hostile()), junit.summary(hostile())):
        assert "@everyone" not in text and "<script>" not in text and "\x1b" not in text and "](http" not in text
        rows = [x for x in text.splitlines() if x.startswith("|")]
        # A bar that is not escaped would open another column.
        assert rows and {x.replace("\\|", "").count("|") for x in rows} == {5}
    assert junit.comment(hostile()).splitlines()[0] == junit.MARKER and junit.MARKER not in junit.summary(hostile())


def test_a_comment_fits_into_what_github_takes() -> None:
    rows = tuple(Judgement("m" * 300, "x" * 300, "worse", "|" * 2000) for _ in range(300))
    notes = tuple("&" * 5000 for _ in range(500))
    text = junit.comment(GateResult("|" * 5000, rows, notes))
    assert len(text) < 65_536 and "more verdicts" in text and "more notes" in text and text.endswith("\n")


def test_on_github_the_step_summary_is_appended_and_annotations_are_printed(tmp_path: Path, stored: Path) -> None:
    step = tmp_path / "step.md"
    step.write_text("before\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(step)}
    run = run_folder(tmp_path / "r", only(-0.2))
    files = {name: tmp_path / name for name in ("junit", "summary", "comment")}
    code, said = bench("check", run, "--baseline", stored, *(x for n, p in files.items() for x in (f"--{n}", p)), env=env)
    assert code == 1 and any(x.startswith(f"::error title=gate%3A worse%3A {SCORE}%2C fastvmt::0.7") for x in said.splitlines())
    assert (
        step.read_text().startswith("before\n### Gate: Worse: 1 of 4 checks \\(motion")
        and files["summary"].read_text() in step.read_text()
    )
    assert ET.parse(files["junit"]).getroot().get("failures") == "1"
    assert (
        junit.MARKER in files["comment"].read_text()
        and "| worse | motion\\_fidelity | fastvmt |" in files["comment"].read_text()
    )
    code, said = bench("check", run, "--baseline", stored, "--json", "--github")
    assert "::error" in said
