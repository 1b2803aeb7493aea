"""The site of a folder of submissions: whole, its own, and text from anywhere stays text."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.cli import bench
from support.hostile import payloads
from support.page_runs import CONTROL, Page, pages
from support.runs import make_cases, make_setting, make_spec, paint
from support.submissions import make_submission

from fastvmt.reports.leaderboard.site import write_site
from fastvmt.reports.page.writer import printable
from fastvmt.reports.tidy import gather

LINES = [CONTROL.sub(" ", text) for text in payloads()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two boards, a history, and a row that is not ranked."""
    place = tmp_path_factory.mktemp("submissions")
    for n, label in enumerate(("fastvmt", "ditflow", "moft"), 1):
        make_submission(place / label, label, f"2026-11-0{n}", videos=True, sample=2 if label == "moft" else None)
    make_submission(place / "old", "ditflow", "2026-10-01", videos=True)
    make_submission(place / "small", "fastvmt", cases=2)
    make_submission(place / "gap", "ditflow:inner=3", missing=[("case-0001", "ditflow:inner=3", 0)], videos=True)
    return place


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(folder, tmp_path_factory.mktemp("made") / "site", sound).parent


def method_page(site: Path, name: str) -> Page:
    (path,) = site.glob(f"methods/{name}-??????????.html")
    return Page(path)


def sound(submission: Path) -> list[str]:
    """No fault found: what is then shown must hold all the same."""
    return []


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_every_link_leads_somewhere_inside_the_site(site: Path) -> None:
    found = pages(site)
    assert len(found) == 1 + 4 + 2
    for name, page in found.items():
        assert not page.wrong, (name, page.wrong)
        for tag, facts in page.tags:
            address = facts.get("href") or facts.get("src")
            if address is None:
                continue
            file, _, at = address.partition("#")
            target = ((site / name).parent / file).resolve() if file else site / name
            assert target.is_relative_to(site) and target.is_file(), (name, tag, address)
            assert not at or at in Page(target).ids or at == "main", (name, address)


def test_a_method_s_page_has_places_samples_recipe_card_and_history(site: Path) -> None:
    page = method_page(site, "ditflow")
    text = squeezed(page.text)
    assert "1 to 2 of 3" in text and "row = " in text and "Card: what is faithful" in text
    dates = re.findall(r"2026-\d\d-\d\d", text.partition("History")[2])
    assert dates == ["2026-11-02", "2026-10-01"] and "A later submission of the method stands for it." in text
    clips = {name: method_page(site, name).blocks["clips"]["clips"] for name in ("fastvmt", "moft")}
    assert all((site / "methods" / c["files"][0]).is_file() for found in clips.values() for c in found)
    assert len(clips["fastvmt"]) == 9
    assert sum(c["key"].endswith("reference") for c in clips["moft"]) == 2, "so many videos are in its sample"


def test_a_badge_says_place_and_score(site: Path) -> None:
    badges = {p.name: ElementTree.parse(p).getroot() for p in (site / "badges").iterdir()}
    assert len(badges) == 4
    said = [badge.attrib["aria-label"] for name, badge in badges.items() if name.startswith("moft-")]
    assert said == ["fake on tiny: place 3 of 3 · 0.597 [0.586, 0.615]"]


def test_the_same_submissions_make_the_same_bytes_and_what_is_gone_goes(tmp_path: Path) -> None:
    for label in ("fastvmt", "moft"):
        make_submission(tmp_path / label, label, cases=2, metrics=("motion_fidelity",))
    folder, out = tmp_path, tmp_path / "site"  # inside, and no submission
    write_site(folder, out, sound)
    before = {p: p.read_bytes() for p in out.rglob("*.*")}
    write_site(folder, out, sound)
    assert {p: p.read_bytes() for p in out.rglob("*.*")} == before
    (out / "methods" / "mine.html").write_text("a reader's own file")
    shutil.rmtree(folder / "moft")
    write_site(folder, out, sound)
    gone = {p.name for p in before} - {p.name for p in out.rglob("*.*")}
    assert (
        sorted(name[:5] + name[-4:] for name in gone if name.startswith("moft")) == ["moft-.svg", "moft-html"]
        and (out / "methods" / "mine.html").exists()
    )


def test_what_cannot_be_shown_is_listed_with_its_sentence(tmp_path: Path) -> None:
    small = {"cases": 2, "methods": ("none", "fastvmt"), "metrics": ("motion_fidelity",)}

    def broken(folder: str, **says: object) -> Path:
        return make_submission(tmp_path / folder, says=says, **small)

    broken("whole")
    (tmp_path / "nothing").mkdir()
    (broken("text") / "submission.json").write_text("{")
    (broken("nan") / "submission.json").write_text('{"format": 1, "claims": {"time": NaN}}')
    broken("huge", claims={"time": {"mean": 1e300, "low": 0, "high": 1, "n": 1}})
    broken("forged", claims={"motion_fidelity": {"mean": 0.99, "low": 0.98, "high": 1, "n": 2}})
    broken("up", files={"../../etc/passwd": "0" * 64})
    broken("name", name="../../etc/passwd")
    broken("future", created="9999-01-01")
    broken("control", name="none", method="none")
    (broken("recipe") / "recipe.toml").unlink()
    shutil.rmtree(broken("run") / "run")
    (broken("link") / "run" / "records.jsonl").unlink()
    (tmp_path / "link" / "run" / "records.jsonl").symlink_to("/etc/passwd")
    make_submission(tmp_path / "beyond", **small, values=lambda metric, case, label, seed: 1.5)
    make_submission(tmp_path / "alone", **small | {"methods": ("fastvmt",)})
    spec = make_spec("fastvmt", make_setting()).model_copy(update={"method": "mine"})
    make_submission(tmp_path / "named", **small | {"methods": ("none", spec)})
    said = bench("leaderboard", tmp_path, "--out", tmp_path / "site")
    assert said.code == 0
    page = Page(Path(said.out.strip()))
    text, expected = squeezed(page.text.partition("Not ranked, and why")[2]), {
        "nothing": "Submission.json: it cannot be read",
        "text": "Submission.json: not valid JSON",
        "nan": "claims.time",
        "huge": "too large a number",
        "forged": "Motion_fidelity: claimed is 0.990",
        "up": "names '../../etc/passwd', which leads out of the folder.",
        "name": "'../../etc/passwd' is the submission's name, and its run has no row of that name.",
        "future": "Created: 9999-01-01 is still to come.",
        "control": "'none' is a control",
        "recipe": "1 files that submission.json names are not there ('recipe.toml')",
        "run": "are not there",
        "link": "'run/records.jsonl' is a link",
        "beyond": "Motion_fidelity: 1.5 is no such number; it lies between -1 and 1.",
        "alone": "The control 'none' (no transfer) is missing",
        "named": "is another method under a name of its own",
    }  # fmt: skip
    for name, sentence in expected.items():
        assert sentence in text, (name, sentence, text.split("."))
    assert f"Not ranked {len(expected)}" in squeezed(page.text) and str(tmp_path) not in page.text
    assert not page.wrong


def test_two_hundred_payloads_stay_text(tmp_path: Path) -> None:
    """As labels, names of suites, backbones, devices and folders, prompts, captions, categories, and in a recipe."""
    size, each = (3, 8, 8), -(-len(payloads()) // 8)
    cases = [
        case.model_copy(update={
            "prompt": " ".join(payloads()[n * each : (n + 1) * each]), "caption": payloads()[n], "category": LINES[n],
        })
        for n, case in enumerate(make_cases(8, frames=size))
    ]  # fmt: skip
    setting = make_setting(size, backbone=LINES[2])
    clip = paint(None, "", 0, *size)
    for n, label in enumerate(LINES[3:7]):
        spec = make_spec("fastvmt", setting).model_copy(update={"label": label, "params": {label: label}, "preset": ""})
        place = make_submission(
            tmp_path / f'"><img src=x onerror=window.__pwned=1> {n}', label, cases=cases, methods=("none", spec), frames=size,
            setting=setting, suite=LINES[0], device=LINES[1], videos=True, metrics=("motion_fidelity",), paint=lambda *a: clip,
            values=lambda metric, case, name, seed: 0.001 * len(name) + 0.01 * int(case.id[-1]),
        )  # fmt: skip
        if n == 3:
            (place / "submission.json").write_text(json.dumps({"format": 1, "name": LINES[7], "created": LINES[8]}))
    site = write_site(tmp_path, tmp_path / "site", sound).parent
    for name, page in pages(site).items():
        assert not page.wrong, (name, page.wrong[:3])
    (suite,) = site.glob("suites/*.html")
    text = squeezed(Page(suite).text)
    assert [t for t in payloads() if squeezed(printable(t)) not in text] == []
    names = [p.relative_to(site).as_posix() for p in site.rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]{1,120}", n) for n in names)
    for badge in (site / "badges").iterdir():
        tags = {e.tag.rpartition("}")[2] for e in ElementTree.parse(badge).iter()}
        assert tags == {"svg", "title", "desc", "rect", "path", "g", "text"}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda at: None, "is not a folder"),
        (lambda at: at.mkdir(), "holds no submissions"),
        (lambda at: at.write_text(""), "is not a folder"),
    ],
)
def test_a_folder_without_submissions_is_refused(tmp_path: Path, make: object, sentence: str) -> None:
    make(tmp_path / "s")  # type: ignore[operator]
    said = bench("leaderboard", tmp_path / "s", "--out", tmp_path / "site")
    assert said.code == 2 and sentence in said.err and said.err.count("\n") == 1 and not (tmp_path / "site").exists()


def test_a_score_that_people_disagree_with_says_so_on_the_boards_of_the_suite_that_they_saw(
    folder: Path, tmp_path: Path
) -> None:
    seen = gather([folder / "fastvmt" / "run"]).suite.digest()
    said = {
        "raters": ["a", "b", "c"], "strengths": {},
        "kendall": {
            "motion_fidelity": {"overall": {"tau": -0.8, "low": -1.0, "high": -0.2}},
            "trajectory": {"overall": {"tau": 0.8, "low": 0.2, "high": 1.0}},
        },
    }  # fmt: skip
    study = tmp_path / "people.json"
    texts = []
    for digest in (seen, "0" * len(seen)):
        study.write_text(json.dumps(said | {"suite_digest": digest}))
        texts.append(squeezed(Page(write_site(folder, tmp_path / digest, sound, study)).text))
    sentence = "People (3 raters, in pairs) disagree with motion_fidelity: Kendall's tau -0.80 [-1.00, -0.20]."
    assert texts[0].count(sentence) == 1 and "People (" not in texts[1]
    study.write_text(json.dumps(said))
    said_no = bench("leaderboard", folder, "--out", tmp_path / "none", "--study", study)
    assert said_no.code == 2 and "suite_digest" in said_no.err and not (tmp_path / "none").exists()


def test_a_folder_of_something_else_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my home page")
    said = bench("leaderboard", folder, "--out", tmp_path)
    assert said.code == 2 and "is not a page of a leaderboard" in said.err
    assert (tmp_path / "index.html").read_text() == "my home page" and len([*tmp_path.iterdir()]) == 1
