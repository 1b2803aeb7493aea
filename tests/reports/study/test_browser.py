"""The user study in headless Chromium: a real rater at the page, opened from disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.browser import LOW_CONTRAST, NAMELESS, Watched
from support.study_runs import HOSTILE, LABELS, read, run_folder

from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.store.folder import Store


class Rater(Watched):
    """A person at the study's page."""

    def __init__(self, browser: Any, folder: Path, **settings: Any) -> None:
        super().__init__(browser, accept_downloads=True, **settings)
        self.go(folder / "index.html")

    def start(self, code: str, at: int = 0) -> None:
        self.page.fill("#code", code)
        self.page.keyboard.press("Enter")
        self.ready(at)

    def ready(self, at: int) -> None:
        self.page.wait_for_selector(f"body[data-ready='{at}']")

    def shown(self) -> list[str]:
        """Clips by their place on the screen."""
        return self.page.eval_on_selector_all(".ranks[data-criterion=motion]", "all => all.map(g => g.dataset.clip)")

    def rank(self, criterion: str, clip: str, rank: int) -> None:
        self.page.click(f".ranks[data-criterion={criterion}][data-clip='{clip}'] button[data-rank='{rank}']")

    def pressed(self, criterion: str) -> dict[str, int]:
        script = "all => all.map(b => [b.closest('.ranks').dataset.clip, +b.dataset.rank])"
        return dict(self.page.eval_on_selector_all(f".ranks[data-criterion={criterion}] button[aria-pressed=true]", script))

    def frames(self) -> set[str]:
        return set(self.page.eval_on_selector_all("canvas", "all => all.map(c => c.dataset.frame)"))

    def title(self) -> str:
        return self.page.inner_text("#asking-title")


def test_a_rater_answers_in_a_browser(browser: Any, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=HOSTILE[:2], frames=(9, 24, 32))
    made = study.make(run.root, tmp_path / "q", study.StudyDesign())
    rater = Rater(browser, made.folder)
    page = rater.page
    page.click("text=Start")
    assert "2 to 32 letters" in page.inner_text("#code-error") and page.is_hidden("#asking")
    rater.start("Anna-7")
    wanted = {}
    for at in range(2):
        rater.ready(at)
        assert rater.title() == f"Question {at + 1} of 2"
        assert page.inner_text("#prompt") in HOSTILE
        shown = rater.shown()
        question = next(t for t, q in made.key.questions.items() if set(q.clips) == set(shown))
        assert page.text_content("#prompt") == made.key.questions[question].prompt
        wanted[question] = {c: {clip: made.key.methods.index(made.key.questions[question].clips[clip].method) + 1 for clip in shown}
                            for c in study_key.CRITERIA}  # fmt: skip
        for criterion, ranks in wanted[question].items():
            for clip, rank in ranks.items():
                rater.rank(criterion, clip, rank)
            assert rater.pressed(criterion) == ranks
        page.click("#next")
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "answers-anna-7.json"
    waiting.value.save_as(tmp_path / "answers" / waiting.value.suggested_filename)
    data = json.loads((tmp_path / "answers" / "answers-anna-7.json").read_text())
    assert {a["question"]: a["ranks"] for a in data["answers"]} == wanted
    assert set(data) == {"format", "study", "rater", "answers"} and all(0 < a["seconds"] < 60 for a in data["answers"])
    result, _ = read(made, tmp_path / "answers")
    assert [i.value for i in result["overall"].means.values()] == [1, 2, 3]
    assert rater.said == [] and page.evaluate("window.hit") is None
    assert page.query_selector_all("img, svg") == []
    rater.quiet()
    rater.context.close()


def test_a_question_must_be_complete_and_ranks_are_given_once(browser: Any, study_made: study.MadeStudy) -> None:
    rater = Rater(browser, study_made.folder, reduced_motion="reduce")
    rater.start("bob")
    page, (a, b, c) = rater.page, rater.shown()
    rater.rank("motion", a, 1)
    rater.rank("motion", b, 2)
    rater.rank("motion", a, 2)  # held by b, who takes a's
    assert rater.pressed("motion") == {a: 2, b: 1}
    rater.rank("motion", c, 1)  # c had none, so b has none now
    assert rater.pressed("motion") == {a: 2, c: 1}
    assert "No ties: video B now has no rank" in page.text_content("#said")
    rater.rank("motion", c, 1)  # the same again takes it back
    assert rater.pressed("motion") == {a: 2}
    page.click("#next")
    assert rater.title() == "Question 1 of 4"
    assert page.inner_text("#missing") == (
        "Still to rank: Motion preservation (2 videos), Generation quality (3 videos), Text alignment (3 videos)."
    )
    focus = page.evaluate(
        "(() => { const g = document.activeElement.closest('.ranks'); return [g.dataset.clip, g.dataset.criterion] })()"
    )
    assert focus == [a, "quality"]
    page.keyboard.press("3")  # ranks by keyboard, in the row that has the focus
    assert rater.pressed("quality") == {a: 3}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert rater.pressed("quality") == {a: 2}
    page.reload()
    rater.start("BOB ")
    assert rater.shown() == [a, b, c] and rater.pressed("motion") == {a: 2} and rater.pressed("quality") == {a: 2}
    assert rater.said == []
    rater.context.close()


def test_of_two_videos_one_is_better_or_they_are_equal(browser: Any, study_run: Store, tmp_path: Path) -> None:
    made = study.make(study_run.root, tmp_path / "q", study.StudyDesign(pairs=1, methods=("fastvmt", "ditflow")))
    rater = Rater(browser, made.folder, reduced_motion="reduce")
    rater.start("bob")
    page, (a, b) = rater.page, rater.shown()
    seen = page.inner_text("main:not([hidden])").lower()
    assert "which is better, in each row?" in seen and "rank each row" not in seen
    rater.ready(0)
    rater.rank("motion", b, 1)
    rater.rank("quality", a, 1)
    rater.rank("quality", b, 0)  # equal after all
    page.click("#next")
    assert page.inner_text("#missing") == "Still to rank: Text alignment (2 videos)."
    page.keyboard.press("1")  # in the row that has the focus
    assert [rater.pressed(c) for c in study_key.CRITERIA] == [{b: 1}, {a: 0, b: 0}, {a: 1}]
    page.reload()
    rater.start("bob")
    assert [rater.pressed(c) for c in study_key.CRITERIA] == [{b: 1}, {a: 0, b: 0}, {a: 1}]
    kept = json.loads(page.evaluate("Object.values(localStorage)[0]"))["answers"]
    given = next(k["ranks"] for k in kept.values() if k["ranks"]["text"])
    assert given == {"motion": {a: 2, b: 1}, "quality": {a: 1, b: 1}, "text": {a: 1, b: 2}}
    assert rater.said == []
    rater.context.close()


def test_clips_play_in_step(browser: Any, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=("p",), frames=(9, 24, 32))
    made = study.make(run.root, tmp_path / "q", study.StudyDesign())
    still = Rater(browser, made.folder, reduced_motion="reduce")
    still.start("still")
    assert still.frames() == {"0"} and still.page.inner_text("#play") == "Play"
    for frame in (3, 8, 0, 5):
        still.page.fill("#scrub", str(frame))
        assert still.frames() == {str(frame)} and still.page.inner_text("#frame") == f"{frame + 1} / 9"
    still.page.evaluate("document.activeElement.blur()")
    still.page.keyboard.press(".")
    assert still.frames() == {"6"}
    still.context.close()
    moving = Rater(browser, made.folder)
    moving.start("moving")
    seen = moving.page.evaluate(
        """() => new Promise(done => { const seen = []; const look = () => {
            seen.push([...document.querySelectorAll('canvas')].map(c => c.dataset.frame).join());
            new Set(seen).size > 4 ? done(seen) : requestAnimationFrame(look) }; look() })"""
    )
    assert all(len(set(line.split(","))) == 1 and line.count(",") == len(LABELS) for line in seen)
    moving.page.keyboard.press(" ")
    assert moving.page.inner_text("#play") == "Play"
    moving.context.close()


def test_an_incomplete_folder_is_said(browser: Any, study_run: Store, tmp_path: Path) -> None:
    made = study.make(study_run.root, tmp_path / "q", study.StudyDesign(cases=1))
    next(made.folder.glob("*.webp")).unlink()
    rater = Rater(browser, made.folder)
    rater.page.fill("#code", "carl")
    rater.page.keyboard.press("Enter")
    rater.page.wait_for_selector("#missing:not(:empty)")
    assert "1 video cannot be loaded: the folder of this page is incomplete" in rater.page.inner_text("#missing")
    rater.page.click("#next")
    assert rater.title() == "Question 1 of 1"
    rater.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_everything_has_a_name(browser: Any, study_made: study.MadeStudy, scheme: str) -> None:
    rater = Rater(browser, study_made.folder, color_scheme=scheme, reduced_motion="reduce")
    rater.start("eve")
    assert (
        rater.page.evaluate(LOW_CONTRAST) == []
        and rater.page.evaluate(NAMELESS, "button, input, select, canvas, [role=group]") == 0
    )
    rater.context.close()
