"""Links in a run folder: whatever a command does, nothing outside the folder changes, and the sentence names the link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.cli import Said, bench
from support.light_runs import make_quick
from support.runs import make_run

from fastvmt.core.disk.atomic import append_line
from fastvmt.runner.crew.leases import Leases
from fastvmt.store import layout
from fastvmt.store.folder import Store
from fastvmt.store.plain import check_plain

INSIDE = (
    "cache/artefacts.tsv", "references/0123.mkv", "workers/worker-0.log", "leases/0123.0", "leases/holders",
    "events/host-1.jsonl", "records/host-1.jsonl", "failures/host-1.jsonl", "artefacts/case--quick--s0--0123", "prepared/0123",
    "prepared/.0123.lock", "report/clips", "report/tables", "report/index.html", "probes/correspondence.json",
)  # fmt: skip
PLACES = (*layout.FILES, *layout.FOLDERS, *INSIDE)
ATTACKS = (
    ("lock", "file"), ("lock", "pipe"), ("records.jsonl", "file"), ("events.jsonl", "nothing"), ("leases", "folder"),
    ("artefacts", "folder"), ("report", "folder"),
)  # fmt: skip
KINDS = ("file", "folder", "nothing", "pipe")
COMMANDS = (
    "resume RUN", "score RUN --again", "work RUN", "table RUN", "report RUN", "compare RUN", "status RUN", "gc RUN",
    "merge RUN --out OUT", "merge GOOD --out RUN", "import CLIPS --method x --into RUN", "export RUN --to parquet --out OUT",
    "study make RUN --out OUT", "baseline write RUN --out OUT", "check RUN --baseline GOOD/none.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_quick(tmp_path_factory.mktemp("good") / "run", cases=1)


def victim_in(folder: Path) -> Path:
    (folder / "inner").mkdir(parents=True)
    for name in ("a.txt", "index.html", "x.jsonl", "inner/b.txt", "0123.failed"):
        (folder / name).write_text("mine\n")
    return folder


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def put(kind: str, place: Path, victim: Path) -> None:
    """A link or pipe where something of a run folder is, or would be."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to({"file": victim / "a.txt", "folder": victim, "nothing": victim / "new"}[kind])


def typed(command: str, run: Path, good: Path, tmp_path: Path) -> Said:
    words = {"RUN": str(run), "GOOD": str(good), "OUT": str(tmp_path / "out"), "CLIPS": str(tmp_path)}
    return bench(*(word if "/" in word else words.get(word, word) for word in command.split()))


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_any_place_leads_nothing_astray(place: str, good: Path, tmp_path: Path) -> None:
    victim = victim_in(tmp_path / "victim")
    before = everything(victim)
    for kind in KINDS:
        run = shutil.copytree(good, tmp_path / kind / "run")
        put(kind, run / place, victim)
        said = typed("resume RUN", run, good, tmp_path)
        assert said.code == 2 and (place in said.err or not layout.is_run(run)), (kind, said)
        assert everything(victim) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_follows_a_link(command: str, good: Path, tmp_path: Path) -> None:
    victim = victim_in(tmp_path / "victim")
    before = everything(victim)
    for place, kind in ATTACKS:
        run = shutil.copytree(good, tmp_path / f"{place}-{kind}" / "run")
        put(kind, run / place, victim)
        said = typed(command, run, good, tmp_path)
        assert said.code in (2, 4) and "bench:" in said.err, (place, said)
        assert everything(victim) == before


@pytest.mark.parametrize("place", [layout.LOCK, "events.jsonl", "records.jsonl", "failures.jsonl", "cache/artefacts.tsv"])
def test_a_second_name_of_a_log_is_read_but_not_written(place: str, good: Path, tmp_path: Path) -> None:
    run, victim = shutil.copytree(good, tmp_path / "run"), tmp_path / "victim"
    victim.write_text("")
    (run / place).unlink(missing_ok=True)
    (run / place).hardlink_to(victim)
    for command in ("resume RUN", "score RUN", "import CLIPS --method x --into RUN --partial", "gc RUN"):
        said = typed(command, run, good, tmp_path)
        assert said.code == 2 and not victim.read_text(), (command, said)
    assert typed("table RUN", run, good, tmp_path).code == 0 and not victim.read_text()


@pytest.mark.parametrize("name", ["frames.mkv", "meta.json"])
def test_a_link_among_the_files_of_a_video_is_damage(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", cases=1, methods=("none",), metrics=("time",))
    file = next((run / "artefacts").glob(f"*/{name}"))
    outside = shutil.move(file, tmp_path / name)
    file.symlink_to(outside)
    kept = outside.read_bytes()
    store = Store.open(run)
    assert store.artefact(store.config().jobs()[0]) is None and "quarantine" in store.warnings[0]
    assert outside.read_bytes() == kept
    assert bench("gc", run).code == 0 and outside.read_bytes() == kept


def test_the_run_folder_itself_may_be_a_link(good: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").symlink_to(good.parent)
    (tmp_path / "run").symlink_to(good)
    for run in (tmp_path / "run", tmp_path / "scratch" / "run"):
        assert bench("table", run).code == 0


def test_what_the_user_links_beside_our_files_is_his_own(good: Path, tmp_path: Path) -> None:
    run = shutil.copytree(good, tmp_path / "run")
    (run / "notes").symlink_to(tmp_path)
    check_plain(run)


def test_a_new_run_is_not_written_into_links(good: Path, tmp_path: Path) -> None:
    run, victim = tmp_path / "run", victim_in(tmp_path / "victim")
    run.mkdir()
    (run / "artefacts").symlink_to(victim)
    before = everything(victim)
    said = bench("run", "--suite", "shapes", "--limit", "1", "--methods", "none", "--no-controls", "--out", run)
    assert said.code == 2 and "'artefacts' is a symbolic link" in said.err and everything(victim) == before


def test_links_that_come_later_are_not_written_through(tmp_path: Path) -> None:
    """Not looked for at every write, but no file is opened through one."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    leases = Leases(tmp_path)
    (tmp_path / "leases" / "holders").mkdir(parents=True)
    for place in (tmp_path / "log.jsonl", tmp_path / "leases" / "0123.failed"):
        place.symlink_to(victim)
    for write in (lambda: append_line(tmp_path / "log.jsonl", "{}"), lambda: leases.mark_failed("0123")):
        with pytest.raises(OSError):
            write()
    assert victim.read_text() == "mine"
