"""A disk that is full: at every write, at every size, for every file. The run stops with a sentence and goes on after."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support.light_runs import make_light

from fastvmt.core.content_address import frames_digest
from fastvmt.media.files import read_lossless
from fastvmt.store.folder import Store
from faults.fault import Figure, Impossible, fault, in_pairs
from faults.kills import same_as
from faults.runs import STAB, Undisturbed, count_writes, go_on, spread, undisturbed

ENDINGS = (0, 2, 3)
"""Exit codes of a run on a full disk: the sentence that it is full, or jobs that failed for it. 0: there was just room."""


def _writes(who: str, n: int, place: Path) -> Figure:
    base = undisturbed(1)
    counted = count_writes(who)
    chosen = spread(len(counted), n)
    figure = in_pairs(partial(_one_write, place / f"{at}", f"{who}:full:{at}", base) for at in chosen)
    figure.note = f"{len(chosen)} of {len(counted)} writes"
    return figure


def _one_write(place: Path, what: str, base: Undisturbed) -> str:
    place.mkdir()
    folder = make_light(place / "run", cases=1, plugins=[STAB])
    wrong = _full_then_free(folder, base, what)
    return f"{what}: {wrong}" if wrong else ""


def _full_then_free(folder: Path, base: Undisturbed, fault: str = "", **how: object) -> str:
    said = go_on(folder, "--workers", "1", fault=fault, **how)
    if said.code not in ENDINGS:
        return f"ended with {said.code}: {said.err.strip()[-300:]}"
    if wrong := unreadable(folder):
        return wrong
    return same_as(base, folder)


def unreadable(folder: Path) -> str:
    """What lies under its final name and is not whole. "" when all is well."""
    store = Store.open(folder)
    config = store.config()
    for job in config.jobs():
        place = store.folder(job)
        if not place.exists():
            continue
        artefact = store.artefact(job, verify=True)
        if artefact is None or frames_digest(read_lossless(place / "frames.mkv")) != artefact.frames_digest:
            return f"{place.name} has its final name and is not whole"
    store.records(), store.failures()
    other = [w for w in store.warnings if "torn" not in w and "damaged" not in w]
    return other[0] if other else ""


@fault("a full disk at each write of the runner", promise=1, sample=1, whole=60)
def runner_full(n: int, place: Path) -> Figure:
    return _writes("runner", n, place)


@fault("a full disk at each write of a worker", promise=1, sample=1, whole=60)
def worker_full(n: int, place: Path) -> Figure:
    return _writes("worker", n, place)


@fault("a full disk under a method: the run stops, it does not fail job after job", promise=1, sample=1, whole=4)
def full_stops(n: int, place: Path) -> Figure:
    figure = Figure()
    for i in range(n):
        folder = make_light(
            place / f"{i}" / "run", cases=2, methods=(f"light:do=full:at={i}:mark={place / f'mark{i}'}", "light")
        )
        said = go_on(folder)
        stopped = said.code == 2 and "the disk takes no more" in said.err and not (folder / "failures.jsonl").exists()
        again = go_on(folder)
        figure.count(stopped and again.code == 0, f"ended with {said.code}, then {again.code}: {said.err.strip()[-200:]}")
    return figure


@fault("files that cannot grow beyond n bytes (codecs included)", promise=1, sample=1, whole=16)
def small_files(n: int, place: Path) -> Figure:
    base = undisturbed(1)
    largest = max(p.stat().st_size for p in base.folder.rglob("*") if p.is_file())
    return in_pairs(partial(_one_limit, place / f"{k}", round(largest * (k + 1) / (n + 1)), base) for k in range(n))


def _one_limit(place: Path, size: int, base: Undisturbed) -> str:
    place.mkdir()
    folder = make_light(place / "run", cases=1)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    wrong = _full_then_free(folder, base, preexec_fn=limit)
    return f"at {size} bytes: {wrong}" if wrong else ""


@fault("a small disk that fills up (tmpfs), then is made larger", promise=1, sample=1, whole=12)
def small_disk(n: int, place: Path) -> Figure:
    base = undisturbed(2)
    used = sum(-(-p.stat().st_size // 4096) * 4096 for p in base.folder.rglob("*") if p.is_file())
    start = 64 << 10
    sizes = [start + round((used + (64 << 10) - start) * (k + 1) / (n + 1)) for k in range(n)]
    with _tmpfs(place / "try", 1 << 20):
        pass
    return in_pairs(partial(_one_disk, place / f"{size}", size, base) for size in sizes)


def _one_disk(place: Path, size: int, base: Undisturbed) -> str:
    with _tmpfs(place, 1 << 24) as disk:
        folder = make_light(disk / "run", cases=2)
        _mount("remount", disk, size)
        said = go_on(folder, "--workers", "1")
        if said.code not in ENDINGS:
            return f"at {size} bytes: ended with {said.code}: {said.err.strip()[-300:]}"
        wrong = unreadable(folder)
        _mount("remount", disk, 1 << 24)
        wrong = wrong or same_as(base, folder)
    return f"at {size} bytes: {wrong}" if wrong else ""


def _mount(option: str, place: Path, size: int) -> None:
    argv = ["mount", "-t", "tmpfs", "-o", f"{option},size={size}" if option else f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None:
        raise Impossible("there is no mount command")
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"a small disk cannot be mounted ({(done.stderr.strip().splitlines() or ['no reason given'])[0]})")


@contextmanager
def _tmpfs(place: Path, size: int) -> Iterator[Path]:
    place.mkdir()
    _mount("", place, size)
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", str(place)], capture_output=True)
