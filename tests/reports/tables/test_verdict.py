"""What a run decides, on numbers whose answer is known; and that it claims no difference which ``apart`` does not show."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from support.cli import bench
from support.hostile import payloads
from support.runs import make_run, make_setting
from support.views import HOSTILE

import fastvmt
from fastvmt.backbones import card
from fastvmt.exchange.merge.merge import merge
from fastvmt.model import MethodSpec
from fastvmt.plugins import metric_labels
from fastvmt.reports.tables.run_table import build
from fastvmt.reports.tables.shared_cases import apart
from fastvmt.reports.tables.verdict import verdict
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy, gather
from fastvmt.reports.tidy.frame import Count
from fastvmt.runner.plan.resolve import resolve
from fastvmt.runner.settings import Request
from fastvmt.store.folder import Store

MOTION, TEXT, TIME = "trajectory", "text_similarity:clip=tiny-shapes", "time"
CONTROLS = ("none", "sdedit")
LEVELS = {"none": (0.02, 0.32, 2.0), "sdedit": (0.2, 0.32, 2.1), "fastvmt": (0.86, 0.32, 6.0), "ditflow": (0.85, 0.32, 9.0)}


def tidy_of(table: dict[str, dict[str, Any]], seeds: tuple[int, ...] = (0,), **more: Any) -> Tidy:
    """A run by hand: metric, then label, to one number per clip (NaN: none)."""
    labels = list(dict.fromkeys(label for by_label in table.values() for label in by_label))
    rows = [
        (metric, label, f"clip {n:03d}", f"case {n:03d}", 0, value, "ok" if np.isfinite(value) else "undefined")
        for metric, by_label in table.items()
        for label, values in by_label.items()
        for n, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows, columns=["metric", "label", "reference", "case", "seed", "value", "status"])
    clips = frame["case"].nunique()
    methods = {
        k: MethodSpec(label=k, method=k if k in LEVELS else "fastvmt", version=1, params={}, control=k in CONTROLS)
        for k in labels
    }
    nothing: Any = cast(Any, None)
    found = Tidy(
        frame=frame, metrics={m: metric_labels.build(m) for m in table}, identities={}, methods=methods, cases={}, stores=(),
        suite=nothing, setting=make_setting(), device="cpu", seeds=seeds, notes=(), digest="", suite_digest="",
        counts={k: Count(clips, clips) for k in labels},
    )  # fmt: skip
    return replace(found, **more)


def drawn(
    levels: dict[str, tuple[float, ...]], clips: int = 16, seed: int = 0, spread: float = 0.05
) -> dict[str, dict[str, Any]]:
    """Scores of motion, of text, and seconds around these levels."""
    rng = np.random.default_rng(seed)
    noise = {m: rng.normal(0, 1, (len(levels), clips)) for m in (MOTION, TEXT, TIME)}
    return {
        MOTION: {k: at[0] + spread * noise[MOTION][n] for n, (k, at) in enumerate(levels.items())},
        TEXT: {k: at[1] + 0.02 * noise[TEXT][n] for n, (k, at) in enumerate(levels.items())},
        TIME: {k: at[2] * np.exp(0.05 * noise[TIME][n]) for n, (k, at) in enumerate(levels.items())},
    }


def said(tidy: Tidy) -> list[str]:
    return list(verdict(tidy, list(tidy.methods)))


def sentence(tidy: Tidy, words: str) -> str:
    """The one sentence with these words."""
    (found,) = [s for s in said(tidy) if words in s]
    return found


# --- known answers -------------------------------------------------------------------------------------------------------


def test_who_follows_who_does_not_and_by_how_much() -> None:
    table = drawn(LEVELS | {"still": (0.02, 0.32, 3.0)})
    tidy = tidy_of(table, seeds=(0, 1))
    (first, second, third, fourth) = said(tidy)
    number = r"-?\d\.\d{3}"
    gap = rf"{number} \[{number}, {number}\]"
    assert re.fullmatch(
        rf"(FastVMT and DiTFlow|DiTFlow and FastVMT) follow the reference's motion: trajectory {number} and {number}, no transfer "
        rf"{number} \(differences {gap} and {gap}, 16 clips\); still cannot be told from no transfer\.", first,
    )  # fmt: skip
    floor = apart(tidy, MOTION, tidy.methods)["fastvmt", "none"]
    assert f"{floor.value:.3f} [{floor.low:.3f}, {floor.high:.3f}]" in first
    assert re.fullmatch(
        rf"These 16 clips cannot tell \w+ from \w+ in motion \(difference {gap}\); about \d+ could\.", second
    )  # fmt: skip
    assert re.fullmatch(r"FastVMT is 1\.\d\d \[1\.\d\d, 1\.\d\d\] times as fast as DiTFlow\.", third)
    assert re.fullmatch(
        r"In text similarity .* cannot be told from no transfer \(0\.\d{4} and 0\.\d{4}; .*16 clips\)\.", fourth
    )


def test_a_method_far_ahead_of_the_others_is_said_to_be() -> None:
    levels = {k: LEVELS[k] for k in ("none", "fastvmt")} | {"worse": (0.6, 0.32, 9.0), "worst": (0.4, 0.32, 9.0)}
    tidy = tidy_of(drawn(levels))
    assert sentence(tidy, "In motion").startswith("In motion FastVMT lies above all others, above the next one, worse, by 0.2")
    assert "FastVMT, worse and worst follow" in said(tidy)[0] and "(differences from 0.3" in said(tidy)[0]
    assert "lies above worse by" in sentence(tidy_of(drawn({k: levels[k] for k in ("fastvmt", "worse")})), "In motion")


@pytest.mark.parametrize(
    ("level", "words"), [(0.2, "FastVMT lies below no transfer by 0.1"), (0.45, "FastVMT lies above no transfer by 0.1")]
)
def test_what_it_costs_in_text_alignment(level: float, words: str) -> None:
    levels = {"none": LEVELS["none"], "fastvmt": (0.86, level, 6.0), "ditflow": LEVELS["ditflow"]}
    found = sentence(tidy_of(drawn(levels)), "text similarity")
    assert words in found and "; DiTFlow cannot be told from it (no transfer 0.3" in found


def test_equal_methods_that_do_not_follow() -> None:
    tidy = tidy_of(drawn(dict.fromkeys(("none", "a", "b"), (0.1, 0.3, 5.0))))
    first, second, *_ = said(tidy)
    assert re.match(
        r"These 16 clips do not show that (a or b|b or a) follows the reference's motion: trajectory 0\.\d+ and 0", first
    )
    assert re.match(r"These 16 clips cannot tell [ab] from [ab] in seconds \(ratio 1\.0\d \[0\.\d\d, 1\.\d\d\]\)\.", second)
    below = tidy_of(drawn({"none": (0.5, 0.3, 5.0), "a": (0.1, 0.3, 5.0)}))
    assert said(below)[0].endswith("; a lies below it.") and "could" not in said(below)[0]


def test_identical_methods_are_told_apart_by_no_number_of_clips() -> None:
    table = drawn(LEVELS)
    tidy = tidy_of({m: by | {"ditflow": by["fastvmt"]} for m, by in table.items()})
    assert sentence(tidy, "in motion").endswith("in motion (difference 0.000 [0.000, 0.000]).")
    wide = drawn({"none": LEVELS["none"], "a": (0.8, 0.3, 5.0), "b": (0.8, 0.3, 5.0)}, clips=64, seed=1)
    wide[MOTION]["b"] = wide[MOTION]["a"] + np.tile([0.2, -0.2], 32) + 1e-4
    assert sentence(tidy_of(wide), "in motion").endswith("]); more than 1,000 could.")


def test_too_few_clips_claim_nothing() -> None:
    tidy = tidy_of(drawn(LEVELS, clips=3))
    assert said(tidy) == [
        "3 clips are too few to tell methods apart: below 6 every difference may be chance.",
        "One seed was run: another may give other numbers.",
    ]


def test_without_controls_nobody_is_said_to_follow() -> None:
    tidy = tidy_of(drawn({k: LEVELS[k] for k in ("fastvmt", "ditflow")}))
    assert said(tidy)[0].startswith(
        "There is no trajectory of no transfer (the control none), so this run cannot say who follows"
    )
    assert any("times as fast as DiTFlow" in s for s in said(tidy)) and not any("text" in s for s in said(tidy))


def test_one_method_is_compared_with_no_transfer_alone() -> None:
    assert [s.split()[0] for s in said(tidy_of(drawn({k: LEVELS[k] for k in ("none", "fastvmt")}), seeds=(0, 1)))] == [
        "FastVMT",
        "In",
    ]
    assert said(tidy_of(drawn({"none": LEVELS["none"]})))[0] == "Only controls were run: there is no method to judge."


def test_the_score_of_motion_that_has_clips_enough_is_taken() -> None:
    table = drawn(LEVELS)
    few = {k: np.where(np.arange(16) < 2, v, np.nan) for k, v in table[MOTION].items()}
    fidelity = {"motion_fidelity": table[MOTION], MOTION: few, TIME: table[TIME]}
    assert ": motion fidelity 0.8" in said(tidy_of(fidelity))[0]
    assert (
        said(tidy_of({TIME: table[TIME]}))[0] == "There is no score of motion, so this run cannot say who follows the motion."
    )
    apart_clips = {k: np.where(np.arange(16) % 4 == n, v, np.nan) for n, (k, v) in enumerate(table[MOTION].items())}
    assert said(tidy_of({MOTION: apart_clips}))[0].startswith("No clip has a score of motion from every method")


def test_what_the_reader_calls_them_is_what_they_are_called() -> None:
    tidy = tidy_of(
        drawn({k: LEVELS[k] for k in ("none", "fastvmt", "ditflow")}), names={"fastvmt": "Ours", MOTION: "path score"}
    )
    found = " ".join(said(tidy))
    assert "Ours" in found and "path score 0.8" in found and "fastvmt" not in found and "trajectory" not in found


def test_ten_methods_are_grouped_and_the_sentences_stay_few() -> None:
    many = {f"m{n}": (0.8 - 0.01 * n, 0.32, 5.0 + n) for n in range(10)}
    found = said(tidy_of(drawn({"none": LEVELS["none"]} | many), seeds=(0, 1)))
    assert len(found) == 4 and max(map(len, found)) < 260
    assert "and 4 more follow the reference's motion" in found[0] and "m9" in found[2]


def test_seconds_that_cannot_be_compared_are_not_and_a_busy_machine_is_named() -> None:
    table = drawn(LEVELS)
    unlike = table | {TIME: {k: np.full(16, np.nan) if k == "ditflow" else v for k, v in table[TIME].items()}}
    assert not any("fast as" in s or "seconds" in s for s in said(tidy_of(unlike)))
    none_at_all = table | {TIME: dict.fromkeys(LEVELS, np.zeros(16))}
    assert sentence(tidy_of(none_at_all), "in seconds").endswith(" in seconds.")
    counts = {k: Count(16, 16, busy=k == "ditflow") for k in LEVELS}
    assert sentence(tidy_of(table, counts=counts), "fast as").startswith("On a busy machine: FastVMT is 1.")


def test_what_failed_what_is_missing_and_the_card_are_said() -> None:
    counts = {
        "none": Count(16, 16), "sdedit": Count(15, 16), "fastvmt": Count(13, 16, {"error": 2, "timeout": 1}),
        "ditflow": Count(15, 16, {"error": 1}),
    }  # fmt: skip
    tidy = tidy_of(drawn(LEVELS), counts=counts, caveat="A card says so.")
    assert said(tidy)[-4:] == [
        "3 of 16 videos of FastVMT and 1 of 16 of DiTFlow failed.", "1 of 16 videos of SDEdit is missing.",
        "One seed was run: another may give other numbers.", "A card says so.",
    ]  # fmt: skip
    given = replace(tidy, counts=counts | {"fastvmt": Count(13, 16, {"not_given": 3})})
    assert said(given)[-3] == "1 of 16 videos of SDEdit and 3 of 16 of FastVMT are missing."
    nothing = tidy_of({MOTION: {k: np.full(3, np.nan) for k in LEVELS}}, counts={k: Count(0, 3) for k in LEVELS})
    assert said(nothing)[0] == "No video has been made yet."


@pytest.mark.parametrize("label", [*HOSTILE[:4], payloads()[0], payloads()[7]])
def test_a_label_stands_in_it_as_it_is(label: str) -> None:
    label = " ".join(label.split())
    tidy = tidy_of(drawn({"none": LEVELS["none"], label: LEVELS["fastvmt"]}))
    assert said(tidy)[0].startswith(f"{label} follows the reference's motion")


# --- no claim without a test ---------------------------------------------------------------------------------------------

FOLLOWS = re.compile(r"^(?P<who>m\d[m\d, and]*) follows? the reference's motion")


def _named(words: str) -> list[str]:
    return re.split(r", | and | or ", words)


@pytest.mark.parametrize("seed", range(12))
def test_no_difference_is_claimed_that_the_tests_do_not_show(seed: int) -> None:
    """Over runs of every kind: small and large differences, few and many clips, gaps in the numbers."""
    rng = np.random.default_rng(seed)
    names = ["none", *(f"m{n}" for n in range(int(rng.integers(1, 5))))]
    levels = {k: (0.1 + rng.choice([0, 0.03, 0.5]), 0.3 - rng.choice([0, 0.02]), float(rng.choice([5, 5.2, 9]))) for k in names}
    table = drawn(levels, int(rng.choice([4, 7, 12, 20])), seed, 0.1)
    table[MOTION] = {k: np.where(rng.random(len(v)) < 0.05, np.nan, v) for k, v in table[MOTION].items()}
    tidy = tidy_of(table)
    gaps = {m: apart(tidy, m, names) for m in table}
    for words in said(tidy):
        if found := FOLLOWS.match(words):
            assert all(gaps[MOTION][k, "none"].apart and gaps[MOTION][k, "none"].value > 0 for k in _named(found["who"]))
        for a, b in re.findall(r"(?:^|In motion )(m\d) lies above (m\d)", words):
            assert gaps[MOTION][a, b].apart
        if found := re.search(r"(m\d) is .*times as fast as", words):
            slower = re.findall(r"fast as (m\d)", words)
            assert slower and all(gaps[TIME][found[1], k].apart and gaps[TIME][found[1], k].value < 0 for k in slower)
        for who, side in re.findall(r"(m[\dm, and]*) lies? (above|below) no transfer by", words):
            expected = 1 if side == "above" else -1
            assert all(gaps[TEXT][k, "none"].apart and gaps[TEXT][k, "none"].value * expected > 0 for k in _named(who))
        for a, others in re.findall(r"cannot tell (m\d) from ([m\d, or]+) in motion", words):
            assert not any(gaps[MOTION][a, k].apart for k in _named(others.strip()))


def test_two_differences_stand_in_the_order_of_their_names() -> None:
    levels = {"none": (0.0, 0.32, 2.0), "a": (0.8, 0.25, 5.0), "b": (0.79, 0.15, 5.0)}
    assert re.search(
        r"^In text similarity a and b lie below no transfer by 0\.0\d+ \[.*\] and 0\.1",
        sentence(tidy_of(drawn(levels)), "text"),
    )


# --- where it stands -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of three clips with one failure, whose backbone's card wants something said."""
    folder = make_run(
        tmp_path_factory.mktemp("verdict") / "r", 3, ("none", "fastvmt", "ditflow"), videos=False,
        failed={("case-0001", "ditflow", 0): "out of luck"},
    )  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"caveat": "Taught for it."}))
    return folder


def test_table_comparison_report_and_gate_say_the_same(run: Path, tmp_path: Path) -> None:
    store = Store.open(run)
    table = build(store, store.config())
    wanted = list(table.view.verdict)
    assert wanted[0].startswith("2 clips are too few") and wanted[-1] == "Taught for it."
    assert "1 of 3 videos of DiTFlow failed." in wanted
    assert bench("table", run, "--json").data["verdict"] == wanted
    compared: Any = next(iter(fastvmt.compare([run]).data().values()))
    assert compared["verdict"] == wanted
    fastvmt.report([run], tmp_path / "report", page=False, figures=False, formats=("json",))
    assert json.loads((tmp_path / "report" / "tables" / "comparison.json").read_text())["verdict"] == wanted
    assert bench("baseline", "write", run, "--out", tmp_path / "b.json", "--allow-failures").code == 0
    checked = bench("check", run, "--baseline", tmp_path / "b.json", "--comment", tmp_path / "c.md", "--json")
    assert checked.data["run_says"] == wanted
    assert "2 clips are too few to tell methods apart" in (tmp_path / "c.md").read_text()


def test_every_row_of_the_table_is_looked_at_together(run: Path) -> None:
    tidy = gather([run])
    view = cast(View, build(tidy.stores[0], tidy.stores[0].config()).view)
    assert {line.key for line in view.lines} == set(tidy.methods)
    assert view.verdict == verdict(tidy, [line.key for line in view.lines])
    assert all(a != b for a, b in itertools.pairwise(view.verdict))


def test_what_the_card_says_is_stored_with_the_run_and_stays_with_it(run: Path, tmp_path: Path) -> None:
    caveat = card.load("tiny").caveat
    assert "favours methods that read attention" in caveat
    assert resolve(Request(methods=("fastvmt",), limit=1), decode=False).config.caveat == caveat
    merge([run, shutil.copytree(run, tmp_path / "copy")], tmp_path / "merged")
    assert gather([tmp_path / "merged"]).caveat == "Taught for it."
