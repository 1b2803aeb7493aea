"""Who can be told apart: marks of tables and ``bench compare`` say the same, few clips say nothing, equal methods hardly ever differ."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.runs import make_run, share

import fastvmt
from fastvmt.model import Case
from fastvmt.reports.tables import compare, views
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.terminal import terminal
from fastvmt.reports.tables.view import Cell, Column, Line, View, marked
from fastvmt.reports.tidy import Tidy, gather

QUALITY = "motion_fidelity"
METHODS = ("none", "fastvmt", "ditflow", "smm")


def run(folder: Path, table: dict[str, list[float | None]], metric: str = QUALITY, **more: Any) -> Tidy:
    """A run whose numbers of one metric are these, by label and case."""

    def value(name: str, case: Case, label: str, seed: int) -> float | None:
        return table[label][int(case.id[-4:])] if name == metric else 1.0

    number = len(next(iter(table.values())))
    return gather([make_run(folder, number, tuple(table), metrics=(metric,), values=value, videos=False, **more)])


def column(view: View) -> list[Cell]:
    return [line.cells[0] for line in view.lines if line.ranked]


@pytest.mark.parametrize(("clips", "rounds"), [(8, 60), (24, 20)])
def test_among_equal_methods_hardly_a_column_shows_a_difference(clips: int, rounds: int) -> None:
    rng, labels, head = np.random.default_rng(clips), [f"m{n}" for n in range(8)], Column("q", "q", "", "up")
    cases = pd.MultiIndex.from_tuples([(f"r{n}", f"c{n}", 0) for n in range(clips)], names=["reference", "case", "seed"])
    rows = pd.DataFrame({"label": labels * clips, "status": "ok"})
    false = 0
    for _ in range(rounds):
        # Some clips are harder than others, for all methods alike.
        values = rng.normal(0, 1, (clips, 1)) + rng.normal(0, 0.3, (clips, 8))
        wide = pd.DataFrame(values, cases, labels)
        tidy: Any = SimpleNamespace(
            of=lambda metric: rows, wide=lambda metric, wide=wide: wide, methods=dict.fromkeys(labels), metrics={}
        )
        cells = views._column(tidy, labels, labels, head)
        marks = [line.cells[0].mark for line in marked([head], [Line(k, k, (c,)) for k, c in zip(labels, cells, strict=True)])]
        found = sum(cell.tied for cell in cells) < 7
        assert any(marks) == found
        false += found
    assert false <= 0.05 * rounds + 2 * (0.05 * 0.95 * rounds) ** 0.5


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tidy:
    """Four methods on eight clips; the numbers are put in by the test."""
    return run(tmp_path_factory.mktemp("runs") / "r", {label: [0.5] * 8 for label in METHODS})


def with_numbers(tidy: Tidy, numbers: np.ndarray[Any, Any]) -> Tidy:
    """The run with (cases, methods) as its values, and the cases that these are of."""
    cases = list(tidy.cases)[: len(numbers)]
    frame = tidy.frame[tidy.frame["case"].isin(cases) & (tidy.frame["metric"] == QUALITY)].copy()
    at = [
        frame[k].astype(str).map({name: n for n, name in enumerate(names)}).to_numpy(int)
        for k, names in (("case", cases), ("label", tidy.methods))
    ]
    frame["value"] = numbers[at[0], at[1]]
    return replace(tidy, frame=frame)


@pytest.mark.parametrize("seed", range(4))
def test_a_table_and_a_comparison_say_the_same(whole: Tidy, seed: int) -> None:
    rng, clips = np.random.default_rng(seed), (4, 8)[seed % 2]
    tidy = with_numbers(
        whole,
        rng.normal(0, 1, (clips, 1)) + rng.normal(0, 0.2, (clips, len(METHODS))) + rng.normal(0, 0.2, len(METHODS)),
    )
    labels = first_presets(tidy)
    table = views.comparison(tidy, labels)
    best = max((line for line in table.lines if line.ranked), key=lambda line: line.cells[0].value or 0.0)
    against = compare.versus(tidy, best.key)
    for line in against.lines:
        difference, p = against.cell(line.key, "difference"), against.cell(line.key, "p").value
        assert p is not None and difference.value is not None
        gap = views.apart(tidy, QUALITY, labels)[best.key, line.key]
        assert (difference.value, p) == (gap.value, gap.p)
        holds_0 = difference.low is None or difference.high is None or difference.low <= 0 <= difference.high
        assert holds_0 == (p >= 0.05)
        if table.line(line.key).ranked and clips >= 6:
            assert table.cell(line.key, QUALITY).tied == holds_0
    assert any("too few" in n for n in table.notes) == any("too few" in n for n in against.notes) == (clips < 6)


def test_few_clips_claim_nothing_and_say_how_many_would_do(tmp_path: Path) -> None:
    tidy = run(tmp_path / "r", {"none": [0.1] * 5, "fastvmt": [0.9, 0.91, 0.92, 0.93, 0.94], "ditflow": [0.1] * 5})
    view = views.comparison(tidy)
    assert all(not cell.mark and not cell.tied for cell in column(view))
    (note,) = (n for n in view.notes if "too few" in n)
    assert note.startswith("5 reference clips are too few") and "takes 6" in note


def test_no_winner_is_claimed_where_nothing_can_be_told_from_it(tmp_path: Path) -> None:
    close = [share("a", n) for n in range(8)], [share("b", n) for n in range(8)]
    tidy = run(tmp_path / "r", {"none": [-9.0 + 0.1 * n for n in range(8)], "fastvmt": [*close[0]], "ditflow": [*close[1]]})
    cells = column(views.comparison(tidy))
    assert not any(cell.mark for cell in cells) and sum(cell.tied for cell in cells) == 1


def test_a_speed_up_claims_no_more_than_the_seconds_do(tmp_path: Path) -> None:
    """Three methods; of the two that are faster than the baseline none is surely the faster one."""
    base = [10.0 + share("c", n) for n in range(8)]
    one, two = ([v * (0.3 + 0.1 * share(name, n)) for n, v in enumerate(base)] for name in "ab")
    view = views.comparison(run(tmp_path / "r", {"ditflow": base, "fastvmt": one, "smm": two}, "time"))
    for key in ("time", views.SPEED_UP):
        cells = {line.key: view.cell(line.key, key) for line in view.lines}
        assert cells["fastvmt"].tied != cells["smm"].tied, key
    assert not any(view.cell(line.key, views.SPEED_UP).mark for line in view.lines)


def test_a_note_says_whose_gaps_cost_the_others_their_cases(tmp_path: Path) -> None:
    tidy = run(
        tmp_path / "r",
        {"none": [0.1, None, 0.3, None, 0.5, 0.1], "fastvmt": [0.8, 0.7, 0.6, None, 0.5, 0.4], "smm": [0.3, 0.3, 0.3, None, 0.3, 0.1]},
        failed={("case-0000", "smm", 0): "out of luck"}, missing=[("case-0004", "none", 0)],
    )  # fmt: skip
    said = "2 of 6 videos of each method are compared, those that every method has a value for (lacking: none 2, smm 1, all of them 1)."
    for view in (views.comparison(tidy), compare.versus(tidy)):
        assert any(note.endswith(f": {said}") for note in view.notes)
    assert views.comparison(tidy).cell("fastvmt", QUALITY).value == pytest.approx(0.5)


def test_a_comparison_is_a_line_a_pair_in_80_columns(tmp_path: Path) -> None:
    long = [1000.0 + 100 * share("d", n) for n in range(8)]
    root = tmp_path / "r"
    run(
        root, {"none": [v / 4 for v in long], "fastvmt": long, "motionclone": [2.5 * v for v in long]}, "time", frames=(9, 8, 8)
    )
    printed = terminal(fastvmt.compare([root], "motionclone").views[0], 80, colour=False)
    (line,) = (line for line in printed.splitlines() if "motionclone - fastvmt" in line)
    assert re.fullmatch(r" *motionclone - fastvmt +1\d{3}\.\d+ \[1\d{3}\.\d+, \d{4}\.\d+\] +0\.0\d+ +0 +0 +8", line), line
    assert max(map(len, printed.splitlines())) <= 80 and "time ↓" in printed
    data = fastvmt.compare([root], "motionclone").data()["versus-motionclone"]
    assert {"p_wilcoxon", "effect", "rank_biserial", "base", "other"} <= data["lines"][0]["cells"].keys()


def test_places_say_who_may_stand_where(tmp_path: Path) -> None:
    near = [0.5 + 0.1 * share("a", n) for n in range(8)], [0.5 + 0.1 * share("b", n) for n in range(8)]
    tidy = run(
        tmp_path / "r",
        {"none": [9.0] * 8, "fastvmt": [*near[0]], "ditflow": [*near[1]], "smm": [0.1 + 0.01 * n for n in range(8)]},
    )
    view = compare.ranks(tidy)
    places = {line.key: view.cell(line.key, f"{QUALITY}:place") for line in view.lines}
    assert {k: (cell.low, cell.high) for k, cell in places.items()} == {"fastvmt": (1, 2), "ditflow": (1, 2), "smm": (3, 3)}
    assert sorted(cell.value or 0 for cell in places.values()) == [1, 2, 3]


def test_skewed_differences_that_decide_are_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    even, near = rng.uniform(0.2, 0.4, 12), rng.normal(0.05, 0.05, 12)
    skew = np.array([-0.02, 0.02, 0.03, 0.04, 0.05, 0.05, 0.06, 0.06, 0.07, 0.08, 0.09, 0.3])
    tidy = run(tmp_path / "r", {"smm": list(even), "fastvmt": list(even + skew), "ditflow": list(even + near)})
    assert views.apart(tidy, QUALITY, ["smm", "fastvmt", "ditflow"])["fastvmt", "smm"].apart
    for view in (views.comparison(tidy), compare.versus(tidy, "fastvmt")):
        (said,) = (note for note in view.notes if "skewed" in note)
        assert "fastvmt and smm" in said and "ditflow" not in said
    plain = run(tmp_path / "s", {"smm": list(even), "ditflow": list(even + near)})
    assert not any("skewed" in note for view in (views.comparison(plain), compare.versus(plain)) for note in view.notes)
