"""A worker that dies, hangs or is killed while scoring: a failed record of the metric that was running, and of no other."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support.cli import bench
from support.light_runs import events, make_light, make_quick, quick

from fastvmt.store.folder import Store

DEADLY = '''
"""Metrics that end their process, or never return, on the clips that a file names; and innocent ones around them."""
import os, signal, sys, time
from pathlib import Path
from fastvmt.plugins.metric import Metric, Value

ON = Path(__file__).with_name("on").read_text().split()
MARK = Path(__file__).with_name("mark")

class Innocent(Metric):
    id, range = "a-first", (0.0, 1.0)
    timing = True  # so that nothing is decoded
    def score(self, scored):
        return Value(0.5)

class Last(Innocent):
    id = "z-last"

class Deadly(Innocent):
    id = "deadly"
    def end(self): os._exit(3)
    def score(self, scored):
        if scored.case.id in ON:
            self.end()
        return Value(0.25)

class Killed(Deadly):
    id = "killed"
    def end(self): os.kill(os.getpid(), signal.SIGKILL)

class Hangs(Deadly):
    id = "hangs"
    def end(self): time.sleep(600)

class Once(Deadly):
    id = "once"
    def end(self):
        if not MARK.exists():
            MARK.touch()
            os._exit(3)

METRICS = {"a-first": Innocent, "z-last": Last, "deadly": Deadly, "killed": Killed, "hangs": Hangs, "once": Once}
'''
WORDS = {
    "deadly": "the worker died (exit code 3)",
    "killed": "the worker died (signal SIGKILL)",
    "hangs": "took longer than 1 s",
}


def run_with(place: Path, metrics: tuple[str, ...], on: str = "case-0000", cases: int = 2) -> Path:
    (place / "deadly.py").write_text(DEADLY)
    (place / "on").write_text(on)
    return make_quick(place / "run", cases, metrics=metrics, plugins=_plugins(place))


def _plugins(place: Path) -> tuple[str, ...]:
    from support.light_runs import PLUGIN

    return str(place / "deadly.py"), str(PLUGIN)


def statuses(run: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for record in Store.open(run).records().values():
        found.setdefault(record.metric, Counter())[record.status] += 1
    return found


@pytest.mark.parametrize("metric", WORDS)
def test_the_metric_that_ended_its_worker_failed_and_the_others_are_scored(tmp_path: Path, metric: str) -> None:
    run = run_with(tmp_path, ("a-first", metric, "z-last"))
    said = bench("resume", run, "--json", "--timeout", "1" if metric == "hangs" else "0")
    assert said.code == 3 and said.data["outcome"]["unscored"] == 1 and said.data["outcome"]["failed"] == 0
    assert statuses(run) == {"a-first": {"ok": 2}, metric: {"failed": 1, "ok": 1}, "z-last": {"ok": 2}}
    (failed,) = [r for r in Store.open(run).records().values() if r.status == "failed"]
    assert WORDS[metric] in failed.details["cause"]
    assert not (run / "failures.jsonl").exists()
    (told,) = [e for e in map(json.loads, said.err.splitlines()) if e["event"] == "unscored"]
    assert told["metric"] == metric and told["message"] == failed.details["cause"]
    cell = said.data["rows"][0]["metrics"][metric]
    assert (cell["n"], cell["failed"]) == (1, 1)
    assert any(metric in note and WORDS[metric] in note for note in said.data["notes"]), "the reason, below the table"
    assert bench("status", run, "--json").data["unscored"] == 1


def test_scored_again_once_it_does_not_die_any_more(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("deadly", "z-last"))
    assert bench("resume", run, "--json").code == 3
    (tmp_path / "on").write_text("")
    said = bench("score", run, "--json")
    assert said.code == 0 and statuses(run)["deadly"] == {"ok": 2}


def test_two_metrics_that_die_on_every_clip_take_nothing_from_the_others(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("deadly", "a-first", "killed", "z-last"), on="case-0000 case-0001")
    said = bench("resume", run, "--json", "--workers", "2")
    assert said.code == 3 and said.data["outcome"]["unscored"] == 4
    assert statuses(run) == {
        "a-first": {"ok": 2},
        "z-last": {"ok": 2},
        "deadly": {"failed": 2},
        "killed": {"failed": 2},
    }


def test_a_worker_that_died_once_is_no_failure(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("a-first", "once", "z-last"))
    said = bench("resume", run, "--json")
    assert said.code == 0 and statuses(run) == {m: {"ok": 2} for m in ("a-first", "once", "z-last")}
    assert [e["attempt"] for e in events(run, "crashed")] == [1]


def test_it_can_be_told_from_a_loss_by_the_gate(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("nibble", "deadly"), on="")
    assert bench("resume", run).code == 0
    assert bench("baseline", "write", run, "--out", tmp_path / "b.json").code == 0
    (tmp_path / "on").write_text("case-0001")
    assert bench("score", run, "--again").code == 3
    said = bench("check", run, "--baseline", tmp_path / "b.json")
    assert said.code == 1 and "the metric now fails on 1 of 2 videos" in said.out


@pytest.mark.parametrize("damage", ["frames", "reference"])
def test_frames_that_cannot_be_read_fail_what_looks_at_them_and_nothing_else(tmp_path: Path, damage: str) -> None:
    run = make_light(tmp_path / "run", 1, ("light",), metrics=())
    assert bench("resume", run).code == 0
    store = Store.open(run)
    (job,) = store.config().jobs()
    if damage == "reference":
        next(run.glob("references/*.mkv")).unlink()
    else:  # whole and unlike what it says: as another codec would read it
        meta = store.folder(job) / "meta.json"
        facts = json.loads(meta.read_text()) | {"frames_digest": "0" * 64, "check": ""}
        meta.write_text(json.dumps(facts))
    said = bench("score", run, "--metrics", "difference,nibble", "--json")
    assert said.code == 3 and statuses(run) == {"difference": {"failed": 1}, "nibble": {"ok": 1}}
    (failed,) = [r for r in Store.open(run).records().values() if r.status == "failed"]
    words = "the reference" if damage == "reference" else "does not decode to the frames"
    assert words in failed.details["cause"]


def test_a_video_that_is_gone_is_a_failure_of_its_job(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1, metrics=())
    assert bench("resume", run).code == 0
    frames = next(run.glob("artefacts/*/frames.mkv"))
    frames.write_bytes(bytes(frames.stat().st_size))  # its size is right: only its SHA-256 tells
    said = bench("score", run, "--metrics", "nibble", "--json")
    assert said.code == 3 and said.data["rows"][0]["failed"] == {"error": 1}


@pytest.mark.parametrize("do", ["leave", "killed"])
def test_a_preparation_that_dies_fails_every_video_that_needs_it(tmp_path: Path, do: str) -> None:
    run = make_quick(tmp_path / "run", 1, [quick("trained", "trained", do=do), quick()], seeds=(0, 1))
    said = bench("resume", run, "--json")
    bad, good = said.data["rows"]
    assert said.code == 3 and bad["failed"] == {"crash": 2} and good["made"] == 2
    assert bench("status", run, "--json").data["methods"]["trained"]["failed"] == 2
