"""A run that grows, and videos that are made again, as a user asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cli import Said, bench, start
from support.light_runs import PLUGIN, events, finished, make_quick, quick, times, wait_for
from support.runs import make_run

from fastvmt.core.disk import atomic
from fastvmt.model import Artefact
from fastvmt.records.missing import scan
from fastvmt.runner.plan import resolve
from fastvmt.runner.settings import Request
from fastvmt.store.folder import TO_SCORE, Store


def run(out: Path, *more: Any, methods: str = "quick", metrics: str = "nibble") -> Said:
    return bench("run", "--suite", "shapes", "--no-controls", "--methods", methods, "--plugin", PLUGIN, "--metrics", metrics,
                 "--threads", "1", "--steps", "2", "--out", out, "--json", *more)  # fmt: skip


def artefacts(folder: Path) -> dict[str, Artefact]:
    store = Store(folder)
    return {j.key: a for j in store.config().jobs() if (a := store.artefact(j))}


def test_a_command_adds_to_a_run_makes_what_it_names_and_shows_all(tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run(out, "--limit", "1").data["outcome"]["made"] == 1
    before = artefacts(out)
    said = run(out, "--cases", "camera-10[23]", "--seeds", "1", methods="quick:mark=x", metrics="half")
    assert said.code == 3 and (said.data["outcome"]["made"], said.data["outcome"]["found"]) == (2, 1), said.err  # half fails
    rows = {r["method"]: r for r in said.data["rows"]}
    assert [(r["made"], r["planned"]) for r in rows.values()] == [(1, 6), (2, 6)]
    assert set(rows["quick"]["metrics"]) == {"nibble", "half"}
    assert any("9 videos of this run were not asked for; `bench resume" in n for n in said.data["notes"])
    config = Store(out).config()
    assert [c.id for c in config.suite.cases] == ["single-object-100", "camera-102", "camera-103"]
    assert before.items() <= artefacts(out).items()
    assert times(out, "made").total() == 3
    resumed = bench("resume", out, "--json")
    assert [(r["made"], r["planned"]) for r in resumed.data["rows"]] == [(6, 6), (6, 6)]
    assert resumed.data["outcome"]["made"] == 9 and max(times(out, "made").values()) == 1
    assert not any("not asked for" in n for n in run(out, "--limit", "1").data["notes"])


def test_slurm_tasks_make_what_the_command_names(tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run(out, "--limit", "2").code == 0
    slurm = ("--executor", "slurm", "--slurm", "cluster=debug")
    said = run(out, "--limit", "1", "--remake", "quick", *slurm, methods="quick,quick:mark=x")
    assert said.code == 0, said.err
    assert [(r["made"], r["planned"]) for r in said.data["rows"]] == [(2, 2), (1, 2)]
    assert sorted(times(out, "made").values()) == [1, 1, 2] and not Store(out).marked()
    said = run(out, "--remake", "quick", methods="quick:mark=x")
    assert said.code == 2 and "--remake quick: there is no such choice" in said.err


def test_unknown_cases_get_the_nearest(tmp_path: Path) -> None:
    said = run(tmp_path / "r", "--cases", "camera-102,camera-10")
    assert said.code == 2 and "--cases camera-10: the suite has no such case. Did you mean camera-10" in said.err
    assert not (tmp_path / "r").exists()


def test_videos_are_made_again_and_scored_again_and_their_records_with_them(tmp_path: Path) -> None:
    out = make_quick(tmp_path / "r", 2, (quick(), quick("b", mark="b")))
    assert bench("resume", out).code == 0
    before, records = artefacts(out), (out / "records.jsonl").read_bytes().count(b"\n")
    said = bench("resume", out, "--remake", "b", "--json")
    assert said.code == 0 and (said.data["outcome"]["made"], said.data["outcome"]["found"]) == (2, 2)
    after = artefacts(out)
    other = {k for k in before if before[k].log["pid"] != after[k].log["pid"]}
    assert other == {j.key for j in Store(out).config().jobs() if j.method.label == "b"}
    assert (out / "records.jsonl").read_bytes().count(b"\n") == records + 2
    assert not Store(out).marked() and len(list((out / "artefacts").iterdir())) == 4
    assert bench("resume", out, "--json").data["outcome"]["made"] == 0
    said = bench("resume", out, "--remake", "c")
    assert said.code == 2 and "--remake c: there is no such choice" in said.err


def test_a_video_that_cannot_be_made_again_stays_and_is_said(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    out = make_quick(tmp_path / "r", 1, (quick(do="raise", mark=str(mark)),))
    assert bench("resume", out).code == 0
    before = artefacts(out)
    mark.unlink()
    said = bench("resume", out, "--remake", "quick", "--json")
    assert said.code == 3 and artefacts(out) == before
    assert any("quick: 1 videos are still to be made again" in n for n in said.data["notes"])
    assert "1 videos are still to be made or scored again" in bench("status", out).out
    assert bench("score", out, "--metrics", "half").code == 0  # what is there is scored like any other
    assert bench("resume", out, "--json").data["outcome"]["made"] == 1
    assert artefacts(out) != before and not Store(out).marked()


@pytest.mark.parametrize("exchange", [True, False])
def test_killed_after_any_step_nothing_is_lost_and_the_rest_is_done(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old video stands until the new one has its name; made and not scored, it is scored, though its key is the same."""
    if not exchange:  # as on a network file system
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    out = make_quick(tmp_path / "r", 1, metrics=("nibble",))
    assert bench("resume", out).code == 0
    store = Store(out)
    config, (job,) = store.config(), store.config().jobs()
    old = store.artefact(job)
    assert old
    store.mark([job.key])
    assert scan(store, config, ("nibble",)).to_do == [(0, None)] and store.artefact(job) == old
    assert scan(store, config, ("nibble",), remake=False).to_do == []
    made = store.new_folder()
    for name in old.files:
        (made / name).write_bytes((store.folder(job) / name).read_bytes())
    store.publish(made, job, old.model_copy(update={"log": {"new": True}}))
    new = store.artefact(job)
    assert new and new.log == {"new": True} and [p.name for p in (out / "artefacts").iterdir()] == [store.folder(job).name]
    assert not list((out / "quarantine").iterdir())
    assert store.left_to_do(job.key) == TO_SCORE and scan(store, config, ("nibble",)).to_do == [(0, ("nibble",))]
    assert bench("resume", out, "--json").data["outcome"]["made"] == 0
    assert not store.marked() and len(events(out, "done")) == 2


def test_a_version_that_was_raised_makes_its_videos_again_and_gc_removes_the_old(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    code = PLUGIN.read_text()
    plugin.write_text(code)
    words = ("--suite", "shapes", "--limit", "2", "--no-controls", "--methods", "quick", "--metrics", "nibble", "--threads",
             "1", "--steps", "2", "--plugin", plugin, "--out", tmp_path / "r")  # fmt: skip
    assert bench("run", *words).code == 0
    plugin.write_text(code.replace('    id = "quick"\n', '    id = "quick"\n    version = 7\n'))
    next((tmp_path / "r" / "artefacts").iterdir()).rename(tmp_path / "aside")  # so that something is to be made
    said = bench("resume", tmp_path / "r", "--plugin", plugin)
    assert said.code == 2 and "quick has version 1 in this run and 7 here" in said.err
    said = bench("run", *words, "--json")
    assert said.code == 0 and said.data["outcome"]["made"] == 2, said.err
    assert any("quick: version 1 → 7, 1 videos will be made again" in n for n in said.data["notes"]), said.data["notes"]
    assert bench("status", tmp_path / "r", "--json").data["done"] == 2
    found = bench("gc", tmp_path / "r", "--json").data["found"]
    assert ["another version" in f["why"] for f in found if "artefacts" in f["path"]] == [True]
    assert len(artefacts(tmp_path / "r")) == 2


def test_a_helper_that_joined_before_the_run_grew_finishes_what_it_knows(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    out = make_quick(tmp_path / "r", 1, (quick(do="wait", mark=str(mark)),))
    helper = start("work", out)
    wait_for(lambda: events(out, "generating"))
    before = Store(out).config()
    more = {"methods": (*before.methods, quick("b", mark="b")), "metrics": ("nibble", "half")}
    Store.create(out, before.model_copy(update=more), hold=True).unlock()
    driver = start("resume", out)
    wait_for(lambda: len(finished(out)) == 1)  # that of b
    mark.touch()
    assert helper.wait(60) == 0 and driver.wait(60) == 0
    assert len(artefacts(out)) == 2 and set(times(out, "made").values()) == {1}
    assert bench("resume", out, "--json").data["outcome"]["made"] == 0
    assert {(r.job_key, r.metric) for r in Store(out).records().values()} == {
        (k, m) for k in artefacts(out) for m in more["metrics"]
    }


def test_preparation_that_was_shared_among_fewer_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", 1, ("none",), metrics=("time_amortised",), seeds=(0, 1), videos=False)
    assert not any("has grown" in n for n in bench("table", run, "--json").data["notes"])
    meta = next(run.glob("artefacts/*/meta.json"))
    meta.write_text(Artefact.model_validate_json(meta.read_text()).model_copy(update={"shared_by": 2}).model_dump_json())
    assert any("time_amortised: the run has grown" in n for n in bench("table", run, "--json").data["notes"])


def test_a_plan_counts_what_is_made_again_and_refuses_what_a_run_refuses(tmp_path: Path) -> None:
    words = (
        "--suite",
        "shapes",
        "--limit",
        "2",
        "--methods",
        "none",
        "--no-controls",
        "--threads",
        "1",
        "--out",
        tmp_path / "r",
    )
    config = bench("plan", *words, "--steps", "2", "--json").data
    assert config["done"] == 0
    run = resolve(Request(suite="shapes", limit=2, methods=("none",), controls=False, steps=2, threads=1))
    run.open_store(tmp_path / "r")
    (job, _) = run.config.jobs()
    Store(tmp_path / "r").folder(job).mkdir()
    assert bench("plan", *words, "--steps", "2", "--json").data["done"] == 1
    assert bench("plan", *words, "--steps", "2", "--json", "--remake", "none").data["done"] == 0
    said = bench("plan", *words, "--steps", "3")
    assert said.code == 2 and "steps: 2 and 3" in said.err
