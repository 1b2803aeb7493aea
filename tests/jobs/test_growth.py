"""A run folder grows by what is added to it; what would change the meaning of what is there is refused with both values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.light_runs import make_quick, quick
from support.runs import make_cases, make_run, make_setting

from fastvmt.errors import NotComparable, StoreError
from fastvmt.jobs.growth import part_of
from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.model import Suite
from fastvmt.records.missing import scan
from fastvmt.store.folder import TO_SCORE, Store

ASKED = Asked(suite="quick")


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, RunConfig]:
    folder = make_quick(tmp_path / "r", 2, (quick(),), seeds=(0,))
    return folder, Store(folder).config()


def suite(count: int, name: str = "quick") -> Suite:
    return Suite(name=name, cases=make_cases(count))


def test_everything_that_is_added_comes_behind_what_is_there(run: tuple[Path, RunConfig]) -> None:
    folder, before = run
    more = {"suite": suite(3), "methods": (quick("b", mark="b"), quick()), "seeds": (1, 0), "metrics": ("half",)}
    config = Store.create(folder, before.model_copy(update=more)).config()
    assert [m.label for m in config.methods] == ["quick", "b"] and config.seeds == (0, 1)
    assert config.metrics == ("nibble", "half") and [c.id for c in config.suite.cases] == [c.id for c in make_cases(3)]
    assert {j.key for j in before.jobs()} < {j.key for j in config.jobs()}
    assert Store.create(folder, before).config() == config, "a smaller command takes nothing away"
    part = part_of(config, before)
    assert [j.key for j in config.jobs() if part.holds(j.method.label, j.case_id, j.seed)] == [j.key for j in before.jobs()]


def test_what_was_chosen_for_the_first_videos_holds_for_those_that_are_added(run: tuple[Path, RunConfig]) -> None:
    """``auto`` may choose otherwise for another method; named, it is refused (below)."""
    folder, before = run
    chosen = before.model_copy(update={"offload": "block", "asked": ASKED})
    assert Store.create(folder, chosen).config().offload == "text"


def case_with(**changes: Any) -> Suite:
    return Suite(name="quick", cases=tuple(c.model_copy(update=changes) for c in make_cases(2)))


OTHERS: list[tuple[Callable[[RunConfig], dict[str, Any]], str]] = [
    (lambda c: {"setting": c.setting.model_copy(update={"guidance": 4.5})}, r"guidance: 3.0 and 4.5"),
    (lambda c: {"setting": c.setting.model_copy(update={"dtype": "bfloat16"})}, r"dtype: float32 and bfloat16"),
    (lambda c: {"setting": make_setting(sigmas=(1.0, 0.6, 0.5, 0.3, 0.0))}, r"sigmas: .* and .* \(--shift, --strength\)"),
    (lambda c: {"repeats": 3}, r"repeats: 0 and 3"),
    (lambda c: {"suite": case_with(prompt="another")}, r"case 'case-0000': prompt \('.*' and 'another'\)"),
    (lambda c: {"suite": case_with(negative="n")}, r"case 'case-0000': negative \('None' and 'n'\)"),
    (lambda c: {"suite": Suite(name="other", cases=make_cases(4)[2:])}, r"suite: 'quick' and 'other'"),
    (lambda c: {"setting": make_setting((5, 16, 8)), "suite": case_with(prompt="x")}, r"\(height: 8 and 16: its"),
    (lambda c: {"methods": (quick(do="print"),)}, "quick: do '' and print"),
    (lambda c: {"methods": (quick("same"),)}, r"'same' and the run's 'quick' are the same"),
    (lambda c: {"methods": (quick(method="light"),)}, r"quick: method quick and light"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), OTHERS)
def test_another_meaning_is_refused_with_field_and_both_values(
    run: tuple[Path, RunConfig], change: Callable[[RunConfig], dict[str, Any]], words: str
) -> None:
    folder, before = run
    with pytest.raises(StoreError, match=words):
        Store.create(folder, before.model_copy(update=change(before)))
    assert Store(folder).config() == before


@pytest.mark.parametrize(("changes", "words"), [
    ({"device": "cuda"}, "device: cpu and cuda"), ({"threads": 5}, "threads: 1 and 5"), ({"offload": "block"}, "offload: text and block"),
])  # fmt: skip
def test_what_seconds_depend_on_stays_once_a_video_is_there(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    full = make_run(tmp_path / "full", 1, ("none",), device="cpu", videos=False)
    config = Store(full).config()
    with pytest.raises(StoreError, match=words):
        Store.create(full, config.model_copy(update=changes))
    empty = Store.create(tmp_path / "empty", config)
    changed = config.model_copy(update=changes)
    assert Store.create(empty.root, changed).config() == changed


def test_presets_are_refused_before_anything_is_written(run: tuple[Path, RunConfig]) -> None:
    folder, before = run
    ours, theirs = (quick(k, mark=k).model_copy(update={"preset": k}) for k in ("ours", "theirs"))
    both = Store.create(folder, before.model_copy(update={"methods": (ours,)})).config()
    with pytest.raises(NotComparable, match="ours and theirs"):
        Store.create(folder, before.model_copy(update={"methods": (theirs,)}))
    assert Store(folder).config() == both
    Store.create(folder, before.model_copy(update={"methods": (theirs,), "ablates_presets": True}))


def test_a_suite_that_names_its_cases_anew_is_known_by_their_content(run: tuple[Path, RunConfig]) -> None:
    folder, before = run
    cases = tuple(c.model_copy(update={"id": f"new-{c.id}", "category": "camera"}) for c in make_cases(3))
    other = before.model_copy(update={"suite": Suite(name="quick", cases=cases)})
    config = Store.create(folder, other).config()
    assert [c.id for c in config.suite.cases] == ["case-0000", "case-0001", "new-case-0002"]
    assert part_of(config, other).cases == {c.id for c in config.suite.cases}
    renamed = before.model_copy(update={"suite": suite(2, "elsewhere")})
    assert Store.create(folder, renamed).config().suite == config.suite.model_copy(update={"cases": tuple(
        make_cases(2)) + config.suite.cases[2:]})  # fmt: skip


def test_of_many_cases_that_differ_some_are_named(tmp_path: Path) -> None:
    before = Store(make_quick(tmp_path / "r", 9)).config()
    cases = tuple(c.model_copy(update={"caption": "another"}) for c in before.suite.cases)
    with pytest.raises(StoreError, match="case-0002.*; and 6 more cases: its own value first"):
        Store.create(tmp_path / "r", before.model_copy(update={"suite": Suite(name="quick", cases=cases)}))


def test_a_note_on_what_was_missing_goes_when_it_is_there(run: tuple[Path, RunConfig]) -> None:
    folder, before = run
    Store.create(folder, before.model_copy(update={"notes": ("half is not scored: no weights", "kept")}))
    config = Store.create(folder, before.model_copy(update={"metrics": ("half",), "notes": ("new",)})).config()
    assert config.notes == ("kept", "new")


def test_a_raised_version_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", 2, ("none", "fastvmt"), seeds=(0, 1), videos=False)
    before = Store(folder).config()
    raised = before.methods[1].model_copy(update={"version": 99, "params": {"new": 1}})
    store = Store.create(folder, before.model_copy(update={"methods": (raised,)}))
    config = store.config()
    assert [m.version for m in config.methods] == [before.methods[0].version, 99]
    old = before.methods[1].version
    assert store.news == [f"fastvmt: version {old} → 99, 4 videos will be made again (`bench gc` removes the old ones)"]
    assert [n for n, metrics in scan(store, config).to_do if metrics is None] == [1, 3, 5, 7]
    assert not Store.create(folder, config).news


def test_the_index_serves_a_run_that_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "r", 3, ("none", "fastvmt"), metrics=("motion_fidelity",), videos=False)
    store = Store(folder)
    assert scan(store, store.config(), ("motion_fidelity",)).to_do == []
    more = store.config().model_copy(update={"methods": (*store.config().methods, quick()), "seeds": (0, 1)})
    config = Store.create(folder, more).config()
    monkeypatch.setattr("fastvmt.records.missing._whole", lambda folder, key: pytest.fail("read anew"))
    found = scan(store, config, ("motion_fidelity",))
    assert found.found == 6 and [n for n, _ in found.to_do] == [n for n in range(18) if n % 6 not in (0, 1)]


def test_controls_are_scored_again_where_their_other_clip_is_another_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", 2, ("none",), metrics=("trajectory", "motion_fidelity_wrong"), videos=False)
    before = Store(folder).config()
    new = make_cases(3)[2]
    case = new.model_copy(update={"reference": before.suite.cases[0].reference.model_copy(update={"frames_digest": "e" * 64})})
    after = before.model_copy(update={"suite": Suite(name="fake", cases=(*before.suite.cases, case))})
    assert before.suite.other_reference(before.suite.cases[1]) == before.suite.cases[0].reference
    store = Store.create(folder, after)
    assert after.suite.other_reference(before.suite.cases[1]) == case.reference
    last = before.jobs()[1]
    assert store.marked() == {last.key: TO_SCORE}
    assert next(t for t in scan(store, after, ("motion_fidelity_wrong",)).to_do if t[0] == 1) == (1, ("motion_fidelity_wrong",))
    for job in before.jobs():
        store.unmark(job.key)
    assert not Store.create(folder, after).marked()
