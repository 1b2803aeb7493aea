"""Tables from records: intervals, common subsets, marks, refusals, ablations, and the paper beside them."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench
from support.runs import make_run, make_setting, share

from fastvmt.core.content_address import digest
from fastvmt.errors import NotComparable, SpecError, StoreError
from fastvmt.model import Case, Conditions
from fastvmt.plugins import labels
from fastvmt.plugins.method import Shape
from fastvmt.reports.tables import ablation, against_papers, compare, views
from fastvmt.reports.tables.render import render
from fastvmt.reports.tables.view import Cell, id_of
from fastvmt.reports.tidy import COLUMNS, gather
from fastvmt.runner import ablate
from fastvmt.store.folder import Store

QUALITY = "motion_fidelity"


def fixed(table: dict[str, list[float | None]], metric: str = QUALITY) -> Any:
    """Values by label and case number; every other metric is 1."""

    def value(name: str, case: Case, label: str, seed: int) -> float | None:
        return table[label][int(case.id[-4:])] if name == metric else 1.0

    return value


def run(tmp_path: Path, table: dict[str, list[float | None]], name: str = "r", **more: Any) -> Path:
    number = len(next(iter(table.values())))
    more.setdefault("metrics", (QUALITY, "time"))
    return make_run(tmp_path / name, number, tuple(table), values=fixed(table), videos=False, **more)


# --- the frame --------------------------------------------------------------------------------------------------------


def test_the_frame_is_long_and_whole(tmp_path: Path) -> None:
    found = gather([make_run(tmp_path / "r", 3, ("none", "fastvmt"), seeds=(0, 1), videos=False,
                             failed={("case-0001", "fastvmt", 0): "out of luck"}, missing=[("case-0002", "none", 1)])])  # fmt: skip
    frame = found.frame
    assert tuple(frame.columns) == COLUMNS
    numbers = frame[frame["metric"] == QUALITY]
    assert len(numbers) == 3 * 2 * 2  # every job has its row, made or not
    assert Counter(numbers["status"]) == {"ok": 10, "failed": 1, "missing": 1}
    assert found.counts["fastvmt"].failed and found.counts["none"].made == 5 and found.counts["none"].planned == 6
    assert {m for m in frame["metric"] if m.startswith("stage:")} >= {"stage:guidance", "stage:denoise"}
    wide = found.wide(QUALITY)
    assert list(wide.columns) == ["none", "fastvmt"] and int(wide.isna().sum().sum()) == 2


def test_runs_are_gathered_only_where_they_may_share_a_table(tmp_path: Path) -> None:
    a = run(tmp_path, {"fastvmt": [0.8, 0.9]}, "a")
    b = run(tmp_path, {"ditflow": [0.7, 0.6]}, "b")
    assert list(gather([a, b]).methods) == ["fastvmt", "ditflow"]
    other = run(tmp_path, {"ditflow": [0.7, 0.6, 0.5]}, "other")
    with pytest.raises(NotComparable, match="different suites"):
        gather([a, other])
    longer = run(tmp_path, {"ditflow": [0.7, 0.6]}, "longer", setting=make_setting(steps=8))
    with pytest.raises(NotComparable, match="differ in steps: 4 and 8;"):
        gather([a, longer])
    with pytest.raises(StoreError, match="not a run folder"):
        gather([tmp_path])


@pytest.mark.parametrize(("key", "value"), [("threads", 2), ("offload", "block"), ("repeats", 3)])
def test_runs_timed_differently_share_no_table(tmp_path: Path, key: str, value: int) -> None:
    a, b = run(tmp_path, {"fastvmt": [0.8, 0.9]}, "a"), run(tmp_path, {"ditflow": [0.7, 0.6]}, "b")
    for root, changes in ((a, {}), (b, {key: value})):
        config = json.loads((root / "config.json").read_text())
        (root / "config.json").write_text(json.dumps(config | {"device": "cpu"} | changes))
    said = bench("report", a, b, "--print", "md")
    assert said.code == 4 and f"timed differently ({key}: " in said.err and len(said.err.strip().splitlines()) == 1


def test_a_job_that_failed_in_one_run_and_was_made_in_another_counts_once(tmp_path: Path) -> None:
    table: dict[str, list[float | None]] = {"fastvmt": [0.8, 0.9]}
    a = run(tmp_path, table, "a", failed={("case-0000", "fastvmt", 0): "out of luck"})
    b = run(tmp_path, table, "b")
    for order in ([a, b], [b, a]):
        found = gather(order)
        assert found.counts["fastvmt"].made == 2 and not found.counts["fastvmt"].failed
        assert found.wide(QUALITY)["fastvmt"].tolist() == [0.8, 0.9]


def test_videos_of_two_states_of_a_methods_code_are_told(tmp_path: Path) -> None:
    table: dict[str, list[float | None]] = {"fastvmt": [0.8, 0.9], "none": [0.1, 0.2]}
    a = run(tmp_path, table, logs=lambda case, label, seed: {"code": case.id if label == "fastvmt" else "same"})
    (note,) = (n for n in gather([a]).notes if "states of its code" in n)
    assert note.startswith("fastvmt: ") and "2 states" in note


def test_records_of_two_backends_are_refused(tmp_path: Path) -> None:
    root = run(tmp_path, {"fastvmt": [0.8, 0.9]})
    lines = (root / "records.jsonl").read_text().splitlines()
    changed = [json.loads(line) for line in lines]
    record = next(r for r in changed if r["metric"] == QUALITY)
    record["identity"]["tracker"] = "another"
    store = Store.open(root)
    job = next(j for j in store.config().jobs() if j.key == record["job_key"])
    case = next(c for c in store.config().suite.cases if c.id == job.case_id)
    artefact = store.artefact(job)
    assert artefact
    record["key"] = digest([record["identity"], [artefact.frames_digest, case.reference.frames_digest], job.key])
    (root / "records.jsonl").write_text("\n".join(map(json.dumps, changed)) + "\n")
    with pytest.raises(NotComparable, match="differ in tracker"):
        gather([root])


def test_a_video_that_two_runs_lack_is_lacking_once(tmp_path: Path) -> None:
    table: dict[str, list[float | None]] = {"fastvmt": [0.8, 0.9]}
    gone = [("case-0001", "fastvmt", 0)]
    a, b = run(tmp_path, table, "a", missing=gone), run(tmp_path, table, "b", missing=gone)
    found = gather([a, b])
    assert (found.counts["fastvmt"].planned, found.counts["fastvmt"].made) == (2, 1)
    assert found.wide(QUALITY)["fastvmt"].dropna().tolist() == [0.8]
    assert bench("report", a, b, "--print", "md").code == 0


@pytest.mark.parametrize("changed", [{"software": {"torch": "3"}}, {"conditions": Conditions(power_limit="300.00")}])
def test_a_run_that_went_on_after_an_update_has_the_seconds_of_most_videos(tmp_path: Path, changed: dict[str, Any]) -> None:
    root = run(tmp_path, {"fastvmt": [0.8, 0.9, 0.7], "none": [0.1, 0.2, 0.3]})
    store = Store.open(root)
    job = store.config().jobs()[0]
    artefact = store.artefact(job)
    assert artefact
    newer = artefact.model_copy(update=changed)
    (store.folder(job) / "meta.json").write_text(newer.model_dump_json())
    found = gather([root])
    assert [n for n in found.notes if "seconds are those of the 5 videos" in n and "with other software" in n]
    assert found.of("time")["status"].tolist().count("elsewhere") == 1 and found.of(QUALITY)["status"].eq("ok").all()


def test_seconds_of_a_video_that_another_machine_trained_for_are_left_out(tmp_path: Path) -> None:
    def logs(case: Case, label: str, seed: int) -> dict[str, Any]:
        return {"prepared": {"device": "a card", "seconds": 9.0}} if (case.id, label) == ("case-0000", "fastvmt") else {}

    found = gather([run(tmp_path, {"fastvmt": [0.8, 0.9, 0.7], "none": [0.1, 0.2, 0.3]}, logs=logs)])
    rows = found.of("time")
    (gone,) = rows[rows["status"] == "elsewhere"].itertuples()
    assert (gone.case, gone.label) == ("case-0000", "fastvmt") and gone.why.endswith("trained on a card")
    assert any(
        "seconds are those of the 5 videos" in n and "1 on a test's device and trained on a card" in n for n in found.notes
    )
    assert found.of(QUALITY)["status"].eq("ok").all()
    everywhere = gather([run(tmp_path, {"fastvmt": [0.8]}, "all", logs=logs)])
    assert everywhere.of("time")["status"].eq("elsewhere").all() and not len(everywhere.of("stage:guidance"))


# --- cells ------------------------------------------------------------------------------------------------------------


def test_a_comparison_is_over_what_every_method_has(tmp_path: Path) -> None:
    root = run(tmp_path, {"none": [0.0, 0.0, 0.0, 0.0], "fastvmt": [1.0, 0.6, 0.8, 0.2], "ditflow": [0.5, 0.5, 0.5, None]})
    view = views.comparison(gather([root]))
    cell = view.cell("fastvmt", QUALITY)
    assert cell.value == pytest.approx(0.8) and (cell.n, cell.expected) == (3, 4)  # not 0.65: case 3 has no value of ditflow
    assert any("Motion fid.: 3 of 4" in note for note in view.notes)
    assert cell.low is not None and cell.low <= 0.8 <= (cell.high or 0)
    assert view.line("none").note == "control"
    assert [line.group for line in view.lines] == ["training-free methods"] * 2 + ["controls"]


def test_a_method_without_a_value_stays_visible_and_spoils_nothing(tmp_path: Path) -> None:
    bad = {(f"case-000{n}", "ditflow", 0): "broken" for n in range(2)}
    root = run(tmp_path, {"fastvmt": [0.8, 0.9], "ditflow": [0.1, 0.1]}, failed=bad)
    view = views.comparison(gather([root]))
    assert view.cell("ditflow", QUALITY) == Cell(None, n=0, expected=2, why="failed")
    assert view.cell("fastvmt", QUALITY).n == 2
    assert any("ditflow: 2 failed" in note for note in view.notes)
    undefined = views.comparison(gather([run(tmp_path, {"fastvmt": [None, None]}, "u")]))
    assert undefined.cell("fastvmt", QUALITY).why == "undefined"


def test_prompts_and_seeds_of_one_reference_count_once(tmp_path: Path) -> None:
    def value(metric: str, case: Case, label: str, seed: int) -> float:
        return 0.0 if case.id == "case-0000" else 1.0 + seed

    one = gather([make_run(tmp_path / "r", 2, ("fastvmt",), seeds=(0, 1, 2), metrics=(QUALITY,), values=value, videos=False)])
    cell = views.comparison(one).cell("fastvmt", QUALITY)
    assert cell.value == pytest.approx(1.0) and cell.n == 6
    assert cell.low is None  # six videos of two clips are two clips


def test_what_cannot_be_told_from_the_best_says_so(tmp_path: Path) -> None:
    best = [share("a", n) for n in range(12)]
    near = [v + (0.2 if n % 2 else -0.21) for n, v in enumerate(best)]
    far = [v - 0.5 + 0.01 * share("c", n) for n, v in enumerate(best)]
    view = views.comparison(gather([run(tmp_path, {"fastvmt": best, "ditflow": near, "fastvmt:inner=5": far})]))
    assert view.cell("ditflow", QUALITY).tied and not view.cell("fastvmt:inner=5", QUALITY).tied
    assert not view.cell("fastvmt", QUALITY).tied


def test_speed_up_is_a_paired_geometric_mean(tmp_path: Path) -> None:
    seconds = {"fastvmt": [1.0, 2.0], "ditflow": [4.0, 2.0]}
    root = make_run(tmp_path / "r", 2, tuple(seconds), metrics=("time",), values=fixed(seconds, "time"), videos=False)
    cell = views.comparison(gather([root])).cell("fastvmt", views.SPEED_UP)
    assert cell.value == pytest.approx(2.0) and cell.low is None  # two clips span nothing but themselves


# --- ablations --------------------------------------------------------------------------------------------------------

FORMS = ("fastvmt", "fastvmt:no-window", "fastvmt:no-window-loss", "fastvmt:no-step-skip", "fastvmt:span=3", "fastvmt:block=2",
         "fastvmt:inner=5", "fastvmt:no-window:no-step-skip", "fastvmt:no-window:no-step-skip:no-early-exit",
         "ditflow")  # fmt: skip


def test_ablations_are_read_from_parameters(tmp_path: Path) -> None:
    seconds = {"fastvmt": 2.0, "fastvmt:no-window": 3.0, "fastvmt:no-window:no-step-skip": 6.0,
               "fastvmt:no-window:no-step-skip:no-early-exit": 12.0, "fastvmt:no-step-skip": 5.0, "fastvmt:inner=5": 1.0}  # fmt: skip

    def value(metric: str, case: Case, label: str, seed: int) -> float:
        return seconds.get(label, 2.5) if metric == "time" else 0.5 + 0.1 * share(metric, label, case.id)

    metrics = (QUALITY, "vbench:subject_consistency:backend=native", "time")
    shape = Shape(blocks=8, heads=4, grid=(7, 8, 8), sigmas=make_setting().sigmas)
    forms = [labels.resolve(label, shape, {"fastvmt": {"window": 5, "tile": "2x2"}}) for label in FORMS]
    tidy = gather([make_run(tmp_path / "r", 3, forms, metrics=metrics, values=value, videos=False)])
    assert ablation.bases(tidy) == ["fastvmt"]
    found = {view.id: view for view in ablation.all_of(tidy)}
    table = found["ablation-fastvmt"]
    assert table.lines[0].note == "base" and table.line("fastvmt:no-window-loss").group == "loss"
    assert table.cell("fastvmt:no-step-skip", "time_ratio").value == pytest.approx(2.5)
    assert [line.head for line in found["spans-fastvmt"].lines] == ["span 3", "span 5"] or len(
        found["spans-fastvmt"].lines
    ) == 2
    assert len(found["layers-fastvmt"].lines) == 2
    assert [line.key for line in found["vbench-fastvmt"].lines] == ["fastvmt:no-window", "fastvmt:no-window-loss",
                                                                    "fastvmt:no-step-skip", "fastvmt"]  # fmt: skip
    savings = {line.head: line for line in found["savings-fastvmt"].lines}
    ratios = [savings[name].cells[2].value for name in ("exit", "reuse", "window")]
    assert ratios == pytest.approx([2.0, 2.0, 1.5])
    assert all(cell.mark == "" and not cell.tied for line in found["savings-fastvmt"].lines for cell in line.cells)
    assert savings["all of them"].cells[2].value == pytest.approx(np.prod(ratios))
    assert savings["reuse"].cells[4].value == pytest.approx(2.5)  # taken away alone
    assert savings["fewer inner steps"].cells[2].value == pytest.approx(2.0)


def test_what_an_ablation_runs() -> None:
    found = ablate.expand("fastvmt", ("window", "reuse"), ("window+reuse",), ladder=False)
    assert found.labels == ("fastvmt", "fastvmt:no-window", "fastvmt:no-step-skip", "fastvmt:no-window:no-step-skip")
    assert not found.presets and ablate.expand("fastvmt", ("preset",)).presets
    everything = ablate.expand("fastvmt").labels
    assert {"fastvmt:span=3", "fastvmt:begin=reference:begin_sigma=0.9", "fastvmt:released", "fastvmt:interval=2"} <= set(
        everything
    )
    with pytest.raises(SpecError, match="Did you mean window"):
        ablate.expand("fastvmt", ("windw",))
    with pytest.raises(SpecError, match="two different factors"):
        ablate.expand("fastvmt", (), ("window",))
    with pytest.raises(SpecError, match="declares nothing to ablate"):
        ablate.expand("ditflow")


# --- statistics and the paper -----------------------------------------------------------------------------------------


def test_one_against_the_others_with_tests(tmp_path: Path) -> None:
    base = [0.7 + 0.01 * share("x", n) for n in range(10)]
    worse = [v - 0.1 - 0.01 * share("y", n) for n, v in enumerate(base)]
    same = [v + (0.001 if n % 2 else -0.001) for n, v in enumerate(base)]
    tidy = gather([run(tmp_path, {"fastvmt": base, "ditflow": worse, "sdedit": same})])
    view = compare.versus(tidy, metrics=(QUALITY,))
    cell = {key: view.cell("ditflow", key).value for key in ("difference", "p", "p_alone", "wins", "losses")}
    assert cell["difference"] == pytest.approx(0.105, abs=0.01) and cell["wins"] == 10 and cell["losses"] == 0
    smallest = 2 / 2**10  # that ten clips can have
    assert cell["p_alone"] == pytest.approx(smallest) and smallest * 0.999 <= (cell["p"] or 0.0) < 0.01
    even = view.cell("sdedit", "p").value
    assert even is not None and even > 0.9
    ranks = compare.ranks(tidy, (QUALITY,))
    assert [line.key for line in ranks.lines] == ["fastvmt", "ditflow"]
    assert ranks.cell("fastvmt", QUALITY).value == 1.0 and ranks.cell("ditflow", QUALITY).value == 2.0
    with pytest.raises(SpecError, match="--base .* no such choice"):
        compare.versus(tidy, "nobody")
    with pytest.raises(NotComparable, match="nothing was compared"):
        compare.versus(gather([run(tmp_path, {"fastvmt": [0.1]}, "alone")]))


def test_the_means_of_a_comparison_subtract_to_its_difference(tmp_path: Path) -> None:
    """Clips count once, however many seeds of them were made."""

    def value(metric: str, case: Case, label: str, seed: int) -> float:
        return float(case.id == "case-0000" and label == "fastvmt")

    lacking = [("case-0001", k, s) for k in ("fastvmt", "ditflow") for s in (1, 2)]
    root = make_run(tmp_path / "r", 2, ("fastvmt", "ditflow"), seeds=(0, 1, 2), metrics=(QUALITY,), values=value, videos=False,
                    missing=lacking)  # fmt: skip
    tidy = gather([root])
    line = compare.versus(tidy, "fastvmt", (QUALITY,)).lines[0]
    base, other, difference = (
        line.cells[[c.key for c in compare.COLUMNS].index(k)].value for k in ("base", "other", "difference")
    )
    assert (base, other, difference) == (0.5, 0.0, 0.5)
    assert views.comparison(tidy).cell("fastvmt", QUALITY).value == 0.5


def test_beside_the_paper(tmp_path: Path) -> None:
    tidy = gather([make_run(tmp_path / "r", 3, ("fastvmt", "ditflow"), metrics=(QUALITY, "time"), videos=False)])
    view = against_papers.against(tidy, against_papers.tables("fastvmt-table2")[0])
    ours, theirs, gap = (view.cell("ditflow", f"Motion Fid./{k}").value for k in ("ours", "paper", "difference"))
    assert theirs == 0.4062 and ours is not None and gap == pytest.approx(ours - 0.4062)
    assert view.cell("MOFT", "Time (s)/ours").value is None and view.cell("MOFT", "Time (s)/paper").value == 595.81
    text = " ".join(view.notes)
    assert "comparable in rank only" in text and "3.43" in text and "Wan 2.1" in text and "no control row" in text
    assert len(against_papers.tables("paper")) == 9
    with pytest.raises(SpecError, match="No published table"):
        against_papers.tables("fastvmt-table9")


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_long_label_names_its_tables_and_figures_by_a_digest(tmp_path: Path) -> None:
    label = "fastvmt:block=2:span=3:inner=5:interval=4:no-window-loss:begin=reference:guided=share:1:begin_sigma=0.9"
    other = label.replace("sigma=0.9", "sigma=0.8")
    root = make_run(tmp_path / "r", 3, (label, other, "ditflow"), logs=lambda *_: {"gradients": {}}, videos=False)
    names = {id_of(label), id_of(other)}
    assert len(names) == 2 and all(len(n) == 50 and n.startswith("fastvmt-block-2-span-3") for n in names)
    assert id_of("fastvmt:no-window") == "fastvmt-no-window"
    said = bench("report", root, "--no-page")
    assert said.code == 0, said.err
    assert (root / "report" / "tables" / f"versus-{id_of(label)}.csv").is_file()
    assert f"skip-paths-{id_of(label)} is not drawn" in said.err


def test_report_and_compare_as_a_user_types_them(tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", 4, ("none", "fastvmt", "ditflow"), videos=False)
    said = bench("report", root, "--print", "md", "--tables", "comparison,versus", "--against", "fastvmt-table2")
    assert said.code == 0 and "| fastvmt" in said.out and "base - other" in said.out
    data = json.loads(bench("report", root, "--print", "json").out)
    assert {"comparison", "stages", "cost", "versus-fastvmt", "ranks"} <= set(data)
    assert bench("report", root, "--tables", "nothing").code == 2
    assert bench("report", root, "--print", "docx").code == 2
    assert bench("compare", root, "--base", "fastvmt").code == 0
    said = bench("compare", root, "--base", "fastmvt")
    assert said.code == 2 and "Did you mean fastvmt" in said.err
    said = bench("report", root, "--no-page", "--frame", "csv")
    assert said.code == 0 and (root / "report" / "tables.tex").exists() and (root / "report" / "frame.csv").exists()
    assert "correspondence is not drawn" in said.err and (root / "report" / "figures" / "quality-time.svg").exists()


# --- shares -----------------------------------------------------------------------------------------------------------


def test_eight_of_eight_is_no_certainty_in_any_form(tmp_path: Path) -> None:
    metric = "vbench:dynamic_degree:backend=tiny-shapes"
    table: dict[str, list[float | None]] = {"none": [0.0, 1.0] * 4, "fastvmt": [1.0] * 8}
    path = make_run(
        tmp_path / "r", 8, tuple(table), values=fixed(table, metric), videos=False, metrics=(metric, QUALITY, "forwards")
    )
    tidy = gather([path])
    shown = views.comparison(tidy)
    share_cell, score, count = (shown.cell("fastvmt", key) for key in (metric, QUALITY, "forwards"))
    assert (share_cell.low, share_cell.high) == (pytest.approx(0.6306, abs=1e-4), 1.0)
    assert score.low is not None and score.low < 0.5  # eight scores of 1 in the range -1 to 1
    assert (count.low, count.high) == (1.0, 1.0)  # counted, with no chance in it
    for form in ("terminal", "md", "csv", "html", "tex"):
        for view in (shown, replace(shown, main=(metric,))):
            assert re.search(r"0?\.63\d*", render(view, form)), form
