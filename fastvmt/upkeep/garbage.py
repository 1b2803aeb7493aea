"""What a run folder holds that no run needs any more: half-made videos, quarantine, caches of finished runs, orphans.

Never a video that the run's configuration refers to. Whoever cleans holds the folder, so nobody can be working in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastvmt.errors import SpecError, StoreError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins import registry
from fastvmt.runner.crew.leases import Leases
from fastvmt.runner.status import holder, runners
from fastvmt.store import layout
from fastvmt.store.folder import Store


@dataclass(frozen=True)
class Waste:
    """One path that can go: why, and how many bytes that frees."""

    path: Path
    why: str
    bytes: int


def runs_in(folder: Path) -> list[Path]:
    """The run folder itself, or those directly in it.

    Raises:
        StoreError: when there is none.
    """
    if layout.is_run(folder):
        return [folder]
    found = layout.runs_in(folder)
    if not found:
        raise StoreError(f"{folder} is neither a run folder nor a folder of such: nothing in it has a config.json.")
    return found


def clean(folder: Path, dry_run: bool, say: Callable[[str], None] = lambda line: None) -> list[Waste]:
    """Find what can go, and remove it unless ``dry_run``.

    Args:
        say: gets a sentence before a wait for runners of other machines (``leases``: their silence, 30 s).

    Raises:
        StoreError: when there is no run, or somebody works in one; nothing is then removed anywhere.
    """
    stores = [Store.open(run) for run in runs_in(folder)]
    configs = [store.config() for store in stores]
    try:
        for store in stores:
            leases = Leases(store.root)
            gone = _refuse_used(store, leases, say)
            if not dry_run:
                store.lock()
                leases.bury(gone)
                leases.sweep()
        found = [w for store, config in zip(stores, configs, strict=True) for w in waste(store, config)]
        for store in stores if not dry_run else ():
            if who := runners(store.root):  # `bench work` takes no lock, and may have come while we listened
                raise StoreError(f"{store.root} is worked on by {next(iter(who.values()))}. Wait for it.")
        for one in found if not dry_run else ():
            _remove(one.path)
    finally:
        for store in stores:
            store.unlock()
    return found


def _refuse_used(store: Store, leases: Leases, say: Callable[[str], None]) -> set[str]:
    """Those whose card is still there although they are gone; runners of other machines are listened for.

    Raises:
        StoreError: when somebody holds the folder or works on it.
    """
    if owner := holder(store.root):
        raise StoreError(f"{store.root} is in use by {owner}. Wait for it.")
    alive = runners(store.root)
    far = {token: who for token, who in alive.items() if not leases.is_here(token)}
    at_work = next((token for token in alive if token not in far), "")
    if far and not at_work:
        say(f"listening up to {leases.silence:g} s whether {', '.join(far.values())} still works on {store.root}")
        at_work = leases.listen(far)
    if at_work:
        raise StoreError(f"{store.root} is worked on by {alive[at_work]}. Wait for it.")
    return set(far)


def waste(store: Store, config: RunConfig) -> Iterator[Waste]:
    """What of one run folder can go."""
    artefacts, root = store.root / layout.ARTEFACTS, store.root
    wanted = {name for _, name in config.grid().names()}
    jobs = {name.rpartition("--")[0] for name in wanted}
    there = {path.name for path in artefacts.iterdir()} if artefacts.is_dir() else set()
    for name in sorted(there):
        if name.startswith(layout.MAKING):
            yield _one(artefacts / name, "a video that was never finished")
        elif name not in wanted and name.rpartition("--")[0] in jobs:
            yield _one(artefacts / name, "a video of another version of its method")
    for path in _inside(root / layout.QUARANTINE):
        yield _one(path, "damaged, moved to quarantine")
    for place in (root, root / layout.REFERENCES, root / layout.CACHE):
        for path in _inside(place):
            if path.is_file() and (path.name.startswith(".part-") or path.name.endswith(".part")):
                yield _one(path, "a file that was never finished")
    if wanted <= there:
        for path in _inside(root / layout.CACHE):
            if path.suffix == ".safetensors":
                yield _one(path, "cache of a finished run")
    references = {c.reference.frames_digest[:16] for c in config.suite.cases}
    for path in _inside(root / layout.REFERENCES):
        if path.suffix == ".mkv" and not path.name.startswith(".") and path.stem not in references:
            yield _one(path, "a reference that no case has")
    yield from _unprepared(root / layout.PREPARED, config)


def _unprepared(place: Path, config: RunConfig) -> Iterator[Waste]:
    """Preparations that no job has, and checkpoints of those that are done."""
    if not place.is_dir():
        return
    from fastvmt.jobs.prepared_key import keys_for

    try:
        with registry.reading():
            wanted = set(map(keys_for(config), config.grid()))
    except SpecError:  # a plug-in's method, which is not loaded here: what it needs cannot be told
        return
    for path in _inside(place):
        key, checkpoint = path.name.lstrip(".").partition(".")[0], path.name.endswith(".checkpoint")
        if checkpoint and (key not in wanted or (place / key).is_dir()):
            yield _one(path, "where a training was that is over")
        elif not path.name.startswith(".") and key not in wanted:
            yield _one(path, "a preparation that no job has")


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _one(path: Path, why: str) -> Waste:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return Waste(path, why, sum(p.lstat().st_size for p in inside if p.is_file() and not p.is_symlink()))


def _remove(path: Path) -> None:
    """Remove a folder or file itself, never what a link points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
