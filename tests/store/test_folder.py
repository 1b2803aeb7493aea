"""Keys and the run folder: identity, torn logs, damage, whole-or-absent writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import make_run, make_setting

from fastvmt.core.content_address import canonical_json, digest
from fastvmt.core.disk.atomic import append_line, publish_folder, write_atomic
from fastvmt.errors import StoreError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Case, Failure, Job, MethodSpec, Reference, Suite
from fastvmt.reports.tidy import current_records
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_canonical_json_round_trips(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


def test_pinned_digest() -> None:
    """The same on every machine and Python: change it only together with KEY_FORMAT."""
    assert digest({"b": [1, 2.5, "é"], "a": None}) == "21fddaeebc6c84f1b55624c41336b0e521adecf3e414f2eaa12789afd6167428"
    with pytest.raises(ValueError, match="cannot hold nan"):
        digest(float("nan"))
    with pytest.raises(TypeError, match="cannot hold set"):
        digest({1})


def case(**changes: Any) -> Case:
    reference = Reference(frames_digest="f" * 64, width=32, height=32, frames=17, source="a.mp4")
    return Case(**({"id": "a", "prompt": "p", "caption": "c", "reference": reference} | changes))


METHOD = MethodSpec(label="none", method="none", version=1, params={})


def config(**changes: Any) -> RunConfig:
    base = dict(
        suite=Suite(name="s", cases=(case(),)), setting=make_setting(), methods=(METHOD,), seeds=(0,), metrics=("time",)
    )
    return RunConfig(**(base | changes))


def test_every_field_that_decides_the_video_changes_the_key() -> None:
    base = Job.make(METHOD, case(), 0, make_setting()).key
    others = [
        Job.make(METHOD.model_copy(update={"params": {"x": 1}}), case(), 0, make_setting()),
        Job.make(METHOD.model_copy(update={"version": 2}), case(), 0, make_setting()),
        Job.make(METHOD, case(prompt="q"), 0, make_setting()),
        Job.make(METHOD, case(caption="d"), 0, make_setting()),
        Job.make(METHOD, case(negative="n"), 0, make_setting()),
        Job.make(METHOD, case(reference=case().reference.model_copy(update={"frames_digest": "e" * 64})), 0, make_setting()),
        Job.make(METHOD, case(), 1, make_setting()),
        *(Job.make(METHOD, case(), 0, make_setting(**{k: v})) for k, v in {
            "weights_digest": "e", "width": 40, "height": 40, "frames": (9, 8, 8), "guidance": 4.0, "sigmas": (0.9, 0.0), "dtype": "bfloat16",
        }.items()),
    ]  # fmt: skip
    keys = [j.key for j in others]
    assert base not in keys and len(set(keys)) == len(keys)
    same = case(id="b", reference=case().reference.model_copy(update={"source": "elsewhere/b.mp4"}))
    assert Job.make(METHOD.model_copy(update={"label": "other words"}), same, 0, make_setting()).key == base


def test_other_configuration_is_refused_by_name(tmp_path: Path) -> None:
    Store.create(tmp_path / "r", config())
    Store.create(tmp_path / "r", config(threads=2))
    with pytest.raises(StoreError, match="another run .repeats: 0 and 1: its own value first"):
        Store.create(tmp_path / "r", config(repeats=1))


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        Store.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format 99, this version reads 1"):
        Store.open(tmp_path).config()


def test_writing_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "r", config())
    store.add(Failure(job_key="a", kind="error", stage="s", message="m"))
    with open(store.root / "failures.jsonl", "ab") as f:
        f.write(b'{"job_key": "b", "ki')
    store.add(Failure(job_key="c", kind="error", stage="s", message="m"))
    assert set(store.failures()) == {"a", "c"}
    assert store.warnings == ["failures.jsonl: line 2 is damaged; passed over."]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.json"
    write_atomic(target, "old")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastvmt.core.disk.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["x.json"]


def test_a_record_scored_again_replaces_the_older_one_in_every_table(tmp_path: Path) -> None:
    """Another version or backend has another key, so both stay in the log."""
    run = make_run(tmp_path / "r", 1, ("none",), metrics=("motion_fidelity", "time"), videos=False)
    store = Store.open(run)
    config = store.config()
    (job,), (case,) = config.jobs(), config.suite.cases
    artefact = store.artefact(job)
    assert artefact
    references = {job.key: case.reference.frames_digest}

    def current(a: Artefact = artefact) -> dict[str, float | None]:
        return {r.metric: r.value for r in current_records(store, {job.key: a}, references)}

    before = current()
    assert before.keys() == {"motion_fidelity", "time"} and current_records(store, {}, {}) == []
    old = next(r for r in store.records().values() if r.metric == "motion_fidelity")
    identity = old.identity | {"version": 99}
    key = digest([identity, [artefact.frames_digest, case.reference.frames_digest], job.key])
    store.add(old.model_copy(update={"key": key, "identity": identity, "value": 0.25}))
    assert current() == before | {"motion_fidelity": 0.25}
    # frames made again, and not scored since: the old number is of a video that is gone
    assert current(artefact.model_copy(update={"frames_digest": "e" * 64})).keys() == {"time"}
    assert current(artefact.model_copy(update={"timing_key": "another"})).keys() == {"motion_fidelity"}


def test_what_a_full_disk_takes_only_half_of_is_an_error(tmp_path: Path) -> None:
    """The kernel writes what fits and says so by a count: taken for success, the line would be lost without a word."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from fastvmt.core.disk.atomic import append_line\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "append_line(Path(sys.argv[1]), 'short'); append_line(Path(sys.argv[1]), 'a line that is longer than the limit')"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], capture_output=True, text=True)
    assert said.returncode == 1 and "File too large" in said.stderr
    append_line(tmp_path / "log", "next")
    assert (tmp_path / "log").read_text().splitlines()[0::2] == ["short", "next"]


def test_a_video_whose_files_lead_out_of_its_folder_is_not_taken_over(tmp_path: Path) -> None:
    """A neighbour may be a stranger's run: names in its ``meta.json`` are not paths to write to."""
    theirs = Store.open(make_run(tmp_path / "theirs", 1, ("none",), videos=False))
    mine = Store.open(make_run(tmp_path / "mine", 1, ("none",), videos=False, missing=[("case-0000", "none", 0)]))
    (job,) = theirs.config().jobs()
    folder = theirs.folder(job)
    artefact = theirs.artefact(job)
    assert artefact and mine.artefact(job) is None
    before = (mine.root / "config.json").read_bytes()
    bad = artefact.model_copy(update={"files": artefact.files | {"../../config.json": file_info(theirs.root / "config.json")}})
    (folder / "meta.json").write_text(bad.model_dump_json())
    assert mine.adopt(job, [folder]) is None and (mine.root / "config.json").read_bytes() == before
    (folder / "meta.json").write_text(artefact.model_dump_json())
    taken = mine.adopt(job, [folder])
    assert taken and taken.reused_from == "theirs"


def test_seconds_of_two_thread_counts_do_not_share_a_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", 1, ("none",), device="cpu", videos=False)
    config = Store.open(run).config()
    other = config.model_copy(update={"threads": config.threads + 3})
    with pytest.raises(StoreError, match=f"threads: {config.threads} and {other.threads}"):
        Store.create(run, other)
    assert Store.open(run).config() == config
    empty = Store.create(tmp_path / "empty", config)
    assert Store.create(empty.root, other).config().threads == other.threads  # nothing was made yet


def test_a_folders_nested_files_are_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    (made / "in").mkdir(parents=True)
    (made / "in" / "file").write_text("x")
    synced = []
    monkeypatch.setattr("fastvmt.core.disk.atomic._sync", lambda path: synced.append(path.name))
    assert publish_folder(made, tmp_path / "final")
    assert set(synced[:-1]) == {"made", "in", "file"} and synced[-1] == tmp_path.name
