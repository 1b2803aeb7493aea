"""Which submissions are ranked together, and what of one can bend the numbers of the others: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.runs import make_cases, make_setting, values
from support.submissions import make_submission

from fastvmt.plugins import registry
from fastvmt.reports.leaderboard.boards import LATER, Board, boards_of
from fastvmt.reports.leaderboard.site import write_site
from fastvmt.reports.leaderboard.submissions import Entry, read_all


def boards(folder: Path) -> tuple[list[Board], dict[str, str]]:
    """The boards of a folder, and why the others are not ranked, by their folders."""
    found, unranked = boards_of([s for s in read_all(folder, folder / "site", lambda submission: []) if isinstance(s, Entry)])
    return found, {e.folder: why for e, why in unranked}


def but_for(label: str, **others: Any) -> Any:
    """The usual numbers; of one row by metric another function of the case, or none at all."""

    def of(metric: str, case: Any, name: str, seed: int) -> float | None:
        return others[metric](case) if name == label and metric in others else values(metric, case, name, seed)

    return of


def test_the_latest_whole_row_of_each_method_is_ranked(tmp_path: Path) -> None:
    """By score, with the places that it may hold; a later row with a gap takes nobody's place."""
    make_submission(tmp_path / "a", "ditflow", "2026-11-01")
    make_submission(tmp_path / "b", "fastvmt", "2026-11-02")
    make_submission(tmp_path / "c", "fastvmt", "2026-11-03")
    make_submission(tmp_path / "d", "fastvmt", "2026-11-04", missing=[("case-0001", "fastvmt", 0)])
    make_submission(tmp_path / "e", "moft", "2026-11-05")
    (board,), why = boards(tmp_path)
    assert [(k, e.folder) for k, e in board.ranked.items()] == [("ditflow", "a"), ("fastvmt", "c"), ("moft", "e")]
    assert why["b"] == LATER and why["d"].startswith("1 of its 8 videos have no motion_fidelity_moving")
    assert [(k, board.place(k)) for k in board.places] == [
        ("fastvmt", "1 to 2 of 3"),
        ("ditflow", "1 to 2 of 3"),
        ("moft", "3 of 3"),
    ]
    lines = board.view.lines
    assert [line.key for line in lines] == ["fastvmt", "ditflow", "moft", "none", "sdedit"]
    assert {cell.n for line in lines for cell in line.cells[1:]} == {8}
    assert "cannot tell FastVMT from DiTFlow in motion" in board.view.verdict[1]


def test_rows_of_another_kind_have_a_board_of_their_own(tmp_path: Path) -> None:
    others: dict[str, dict[str, Any]] = {
        "cases": {"cases": 3}, "prompts": {"cases": make_cases(2, prompt="something else")}, "suite": {"suite": "renamed"},
        "backbone": {"setting": make_setting(backbone="another")}, "weights": {"setting": make_setting(weights_digest="e" * 64)},
        "protocol": {"setting": make_setting(protocol="as-published")}, "steps": {"setting": make_setting(steps=5)},
        "size": {"setting": make_setting((9, 8, 8)), "frames": (9, 8, 8)}, "seeds": {"seeds": (1,)},
    }  # fmt: skip
    for name, other in {"as usual": {}, **others}.items():
        make_submission(
            tmp_path / name, **({"cases": 2, "methods": ("none", "fastvmt"), "metrics": ("motion_fidelity",)} | other)
        )
    found, why = boards(tmp_path)
    assert sorted(e.folder for board in found for e in board.ranked.values()) == sorted(["as usual", *others]) and not why
    assert all(board.place("fastvmt") == "1 of 1" for board in found)


def test_a_partial_or_foreign_column_is_emptied_and_costs_the_others_nothing(tmp_path: Path) -> None:
    """Numbers for some cases alone, and seconds of another machine."""

    def some(case: Any) -> float:
        return {"case-0000": 0.1}[case.id]

    make_submission(tmp_path / "a", "ditflow")
    make_submission(tmp_path / "b", "fastvmt", values=but_for("fastvmt", peak_memory=some))
    (board,), _ = boards(tmp_path)
    view = board.view
    assert view.cell("ditflow", "peak_memory").n == 8 and view.cell("fastvmt", "peak_memory").value is None
    assert any(note.startswith("FastVMT: 7 of its 8 videos have no peak_memory") for note in view.notes)


def test_numbers_as_large_as_they_may_be_end_nothing(tmp_path: Path) -> None:
    huge = but_for("moft", time=lambda case: 1e100, peak_memory=lambda case: 1e-100)
    for label in ("fastvmt", "ditflow", "moft"):
        make_submission(tmp_path / label, label, values=huge)
    write_site(tmp_path, tmp_path / "site", lambda submission: [])
    (board,), why = boards(tmp_path)
    assert [*board.places] == ["fastvmt", "ditflow", "moft"] and not why and board.frontier


def test_scores_computed_in_another_way_are_not_ranked_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, label in (("a", "moft"), ("b", "fastvmt"), ("c", "ditflow")):
        with monkeypatch.context() as patched:
            if name == "a":
                patched.setattr(registry.metrics.get("motion_fidelity"), "version", 99)
            make_submission(tmp_path / name, label, cases=2, metrics=("motion_fidelity",))
    (board,), why = boards(tmp_path)
    assert [*board.ranked] == ["fastvmt", "ditflow"] and "computed in another way" in why["a"]


def test_a_board_is_ranked_by_a_score_that_its_rows_have(tmp_path: Path) -> None:
    make_submission(tmp_path / "a", "ditflow", cases=2, metrics=("motion_fidelity", "time"))
    make_submission(tmp_path / "b", "fastvmt", cases=2, metrics=("motion_fidelity", "motion_fidelity_moving"))
    make_submission(tmp_path / "c", "moft", cases=2, metrics=("time",))
    (board,), why = boards(tmp_path)
    assert board.metric == "motion_fidelity" and [*board.ranked] == ["ditflow", "fastvmt"]
    assert "motion_fidelity_moving" not in board.tidy.metrics and why["c"].startswith("it has no motion_fidelity,")
