"""What a run folder lacks: the same answer as reading everything, from few files, and no damage that passes."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.places import ROOT
from support.runs import make_run

from fastvmt.jobs.run_config import RunConfig
from fastvmt.records.identity import key_of
from fastvmt.records.missing import INDEX, made_by_label, scan
from fastvmt.runner.scoring.score import wanted_metrics
from fastvmt.store.folder import Store

METRICS = ("motion_fidelity", "time", "peak_memory")


def whole_run(
    folder: Path, cases: int = 3, methods: tuple[str, ...] = ("none", "fastvmt", "ditflow")
) -> tuple[Store, RunConfig]:
    """A finished run without real videos, whose records have the keys that scoring gives them."""
    make_run(folder, cases=cases, methods=methods, seeds=(0, 1), metrics=METRICS, videos=False)
    store = Store.open(folder)
    config = store.config()
    first = {(r.job_key, r.metric): r for r in store.records().values()}
    by_id = {c.id: c for c in config.suite.cases}
    lines = []
    for job in config.jobs():
        artefact = store.artefact(job)
        assert artefact
        (store.folder(job) / "frames.mkv").write_bytes(b"frames of " + job.key.encode())
        from fastvmt.store.artefact_files import file_info

        artefact = artefact.model_copy(update={"files": {"frames.mkv": file_info(store.folder(job) / "frames.mkv")}})
        (store.folder(job) / "meta.json").write_text(artefact.model_dump_json(indent=1))
        for metric in wanted_metrics(METRICS, by_id[job.case_id], artefact):
            key = key_of(metric, artefact, by_id[job.case_id])
            lines.append(first[job.key, metric.label].model_copy(update={"key": key}).model_dump_json())
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return store, config


def slow(store: Store, config: RunConfig) -> list[tuple[str, tuple[str, ...] | None]]:
    """What is to do, found by reading every file in full."""
    records = store.records()
    found: list[tuple[str, tuple[str, ...] | None]] = []
    for job in config.jobs():
        artefact = store.artefact(job)
        case = next(c for c in config.suite.cases if c.id == job.case_id)
        if artefact is None:
            found.append((job.key, None))
            continue
        lacks = tuple(
            m.label for m in wanted_metrics(METRICS, case, artefact)
            if (r := records.get(key_of(m, artefact, case))) is None or r.status == "failed"
        )  # fmt: skip
        found += [(job.key, lacks)] if lacks else []
    return found


def fast(store: Store, config: RunConfig, **more: Any) -> list[tuple[str, tuple[str, ...] | None]]:
    there = scan(store, config, METRICS, **more)
    return [(job.key, metrics) for job, metrics in there.jobs(there.to_do)]


def test_a_finished_run_has_nothing_to_do_and_each_loss_is_found(tmp_path: Path) -> None:
    """Random losses of every kind, each time against the answer of reading everything, with and without the index."""
    original, config = whole_run(tmp_path / "whole")
    assert fast(original, config) == slow(original, config) == []
    rng = random.Random(3)
    kinds = ("folder", "meta cut", "meta other", "frames cut", "frames gone", "record gone", "record failed", "record torn")
    for kind in kinds * 2:
        store = Store.open(shutil.copytree(tmp_path / "whole", tmp_path / f"r{rng.random()}"))
        fast(store, config)
        folder = rng.choice(sorted((store.root / "artefacts").iterdir()))
        lines = (store.root / "records.jsonl").read_text().splitlines()
        at = rng.randrange(len(lines))
        if kind == "folder":
            shutil.rmtree(folder)
        elif kind == "meta cut":
            (folder / "meta.json").write_bytes((folder / "meta.json").read_bytes()[:-9])
        elif kind == "meta other":
            other = next(p for p in sorted(folder.parent.iterdir()) if p != folder)
            (folder / "meta.json").write_bytes((other / "meta.json").read_bytes())
        elif kind == "frames cut":
            (folder / "frames.mkv").write_bytes(b"short")
        elif kind == "frames gone":
            (folder / "frames.mkv").unlink()
        elif kind == "record gone":
            del lines[at]
        elif kind == "record failed":
            lines.append(lines[at].replace('"status":"ok"', '"status":"failed"'))
        else:
            lines[at] = lines[at][:40]
        (store.root / "records.jsonl").write_text("\n".join(lines) + "\n")
        twin = Store.open(shutil.copytree(store.root, tmp_path / f"t{rng.random()}"))
        bare = Store.open(shutil.copytree(store.root, tmp_path / f"b{rng.random()}"))
        (bare.root / INDEX).unlink()
        expected = slow(twin, config)
        assert len(expected) == 1, kind
        assert fast(store, config) == fast(bare, config) == expected, kind
        if "meta" in kind or "frames" in kind:
            assert "moved to quarantine" in store.warnings[0] and not folder.exists()
        if kind == "record torn":
            assert store.warnings == [f"records.jsonl: line {at + 1} is damaged; passed over."]
        for used in (store, twin, bare):
            shutil.rmtree(used.root)


def test_a_video_made_again_with_other_frames_is_scored_again(tmp_path: Path) -> None:
    store, config = whole_run(tmp_path / "r")
    fast(store, config)
    job = config.grid()[4]
    artefact = store.artefact(job)
    assert artefact
    changed = artefact.model_copy(update={"frames_digest": "e" * 64})
    (store.folder(job) / "meta.json").write_text(changed.model_dump_json(indent=1))
    assert fast(store, config) == [(job.key, ("motion_fidelity",))]  # the costs are of the same timing and stay


def test_rows_of_the_index_that_are_wrong_are_not_believed(tmp_path: Path) -> None:
    store, config = whole_run(tmp_path / "r")
    fast(store, config)
    index = store.root / INDEX
    again, lines = index.read_text().splitlines(), index.read_text().splitlines()
    lines[1] = lines[1].replace("meta.json:", "meta.json:9")
    lines[2] = "0\tnot a row"
    lines[3] = "\x00" * 30
    lines[4] = lines[5]
    lines[6] = lines[6].replace("meta.json:", "meta.json:x")
    lines[7] = lines[7].rpartition("\t")[0] + "\t"
    index.write_bytes("\n".join(lines).encode() + b"\n-\ttorn\n-\t\xff\xff")
    assert fast(store, config) == []
    assert index.read_text().splitlines()[1:] == again[1:]


def test_a_record_written_during_the_look_is_seen_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index must not vouch, under the stamp of a shorter log, for what only the longer one holds."""
    store, config = whole_run(tmp_path / "r")
    log = store.root / "records.jsonl"
    *lines, last = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines))
    read = Store.each_record

    def late(self: Store, path: Path, size: int | None = None) -> Any:
        with log.open("a") as file:
            file.write(last)
        return read(self, path, size)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "each_record", late)
        lacking = fast(store, config)
    assert len(lacking) == 1
    assert fast(store, config) == []
    log.write_text("".join(lines))
    assert fast(store, config) == lacking


def test_a_flipped_byte_of_the_same_length_is_found_by_verify(tmp_path: Path) -> None:
    store, config = whole_run(tmp_path / "r")
    fast(store, config)
    job = config.grid()[0]
    path = store.folder(job) / "frames.mkv"
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fast(store, config) == []
    assert fast(store, config, verify=True) == [(job.key, None)] and "another SHA-256" in store.warnings[0]


def test_two_thousand_jobs_cost_two_stats_each_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of work, as ``benchmarks/scale.py`` times it at 100,000."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale

    scale.write_run(tmp_path / "r", 2_000)
    store = Store.open(tmp_path / "r")
    config = store.config()
    calls = {"stat": 0, "open": 0}
    real = {"stat": os.lstat, "open": open}

    def count(name: str) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            calls[name] += 1
            return real[name](*args, **more)

        return call

    monkeypatch.setattr("fastvmt.store.index.os.lstat", count("stat"))
    for module in ("records.missing", "store.index", "store.artefact_files"):
        monkeypatch.setattr(f"fastvmt.{module}.open", count("open"), raising=False)
    first = scan(store, config, config.metrics)
    assert (first.found, first.to_do) == (2_000, []) and calls[
        "open"
    ] == 2_000 + 5  # every meta.json, the index, the record log
    calls.update(stat=0, open=0)
    made: list[int] = []
    monkeypatch.setattr("fastvmt.jobs.numbering.Job", lambda **facts: made.append(1))
    again = scan(store, config, config.metrics)
    assert (again.found, again.to_do) == (2_000, []) and not made
    assert 4_000 <= calls["stat"] <= 4_010 and calls["open"] == 5
    before = calls["stat"]
    assert made_by_label(store, config) == dict.fromkeys(scale.METHODS, 200) and calls["stat"] - before <= 1
