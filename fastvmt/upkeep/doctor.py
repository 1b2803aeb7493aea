"""``bench doctor``: what of this machine a run depends on, a line each, with what to do where something is amiss.

Nothing is loaded, fetched or changed. A ``problem`` stops the default run; a ``warn`` stops something else, or will.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from fastvmt.backbones import card as cards
from fastvmt.core.spelling import gib
from fastvmt.errors import BenchError
from fastvmt.plugins import environments, metric_labels, registry
from fastvmt.plugins.tracker import make as make_tracker

LITTLE_DISK = 2 << 30
"""Free bytes under which the default run is at risk of not ending (its folder takes some 20 MB, its caches more)."""
PATIENCE = 2.0
"""Seconds that the hub may take to answer."""
CODECS = (
    ("ffv1", "w", "frames that are scored", True), ("ffv1", "r", "frames that are scored", True),
    ("libx264", "w", "videos for the eye", True), ("h264", "r", "mp4 and mov clips", False),
    ("hevc", "r", "clips of phones", False), ("vp9", "r", "webm clips", False), ("libdav1d", "r", "AV1 clips", False),
)  # fmt: skip
"""Name, written or read, what for, and whether the default run needs it."""


@dataclass(frozen=True)
class Finding:
    """One line: ``what`` was looked at, how it is, and what to do about it."""

    what: str
    state: Literal["ok", "warn", "problem"]
    words: str
    do: str = ""

    def line(self) -> str:
        return f"{self.state:<8}{self.what}: {self.words}" + (f" -> {self.do}" if self.do else "")

    def data(self) -> dict[str, Any]:
        return asdict(self)


def look(folder: Path = Path("runs")) -> Iterator[Finding]:
    """Every finding, in the order of a run.

    Args:
        folder: where run folders lie.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _gpu, lambda: _disk(folder), _codecs, _versions, _backbones, _metrics, _environments, _hub, lambda: _locks(folder),
    )  # fmt: skip
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, and the others still run
            yield Finding(check.__name__.strip("_<>"), "problem", f"could not be looked at: {type(error).__name__}: {error}")


# --- the machine ---------------------------------------------------------------------------------------------------------


def _gpu() -> Iterator[Finding]:
    from fastvmt.backbones.device import NODES, has_cuda

    if has_cuda():
        import torch

        free, total = torch.cuda.mem_get_info(0)
        name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
        state: Literal["ok", "warn"] = "ok" if free > total / 2 else "warn"
        do = "" if state == "ok" else "see with nvidia-smi who else uses it"
        yield Finding("gpu", state, f"{count} x {name}, {free / 2**30:.1f} of {gib(total)} free", do)
        return
    driver = any(any(Path("/dev").glob(n)) for n in NODES)
    words = "a driver is here, but torch sees no CUDA device" if driver else "none; runs are on the CPU"
    yield Finding("gpu", "warn" if driver else "ok", words, "install a torch built for this driver" if driver else "")
    from fastvmt.estimates.memory import device_bytes

    total = device_bytes("cpu")
    yield Finding("memory", "ok" if total >= 4 << 30 else "warn", f"{gib(total)} for this process and its workers",
                  "" if total >= 4 << 30 else "use --workers 1")  # fmt: skip


def _disk(folder: Path) -> Iterator[Finding]:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    words = f"{gib(free)} free at {place}"
    if not os.access(place, os.W_OK):
        yield Finding("disk", "problem", f"{place} cannot be written", "run in another folder, or give --out")
    elif free < LITTLE_DISK:
        yield Finding("disk", "problem", words, "free some (`bench gc runs --dry-run` shows what can go), or give --out")
    else:
        yield Finding("disk", "ok", words)


def _codecs() -> Iterator[Finding]:
    import av

    libraries = ", ".join(
        f"{k} {'.'.join(map(str, v))}" for k, v in av.library_versions.items() if k in ("libavcodec", "libavformat")
    )
    yield Finding("pyav", "ok", f"{av.__version__} with {libraries}")
    for name, mode, use, needed in CODECS:
        try:
            av.codec.Codec(name, mode)
        except Exception:  # noqa: BLE001 - PyAV's own class, whatever it is called in this version
            verb = "written" if mode == "w" else "read"
            yield Finding(f"codec {name}", "problem" if needed else "warn", f"{use} cannot be {verb}",
                          "install PyAV from its own wheel: pip install --force-reinstall --only-binary av av")  # fmt: skip


def _versions() -> Iterator[Finding]:
    """Installed versions against what this package asks for."""
    from packaging.requirements import Requirement

    wrong = []
    for text in requires("fastvmt-bench") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is not installed, {wanted.specifier} is needed")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found}, {wanted.specifier} is needed")
    names = ", ".join(f"{n} {version(n)}" for n in ("torch", "diffusers", "transformers"))
    yield Finding("versions", "problem" if wrong else "ok", "; ".join(wrong) or names,
                  "uv sync, or pip install -U fastvmt-bench" if wrong else "")  # fmt: skip


# --- weights and environments --------------------------------------------------------------------------------------------


def _backbones() -> Iterator[Finding]:
    for name in cards.known():
        try:
            card = cards.load(name)
        except BenchError as error:
            yield Finding(f"backbone {name}", "problem" if name == "tiny" else "warn", str(error))
            continue
        if card.folder is None:
            yield Finding(
                f"backbone {name}", "warn", f"weights not here, about {card.download_gb:.0f} GB", f"hf download {card.hub}"
            )
        else:
            yield Finding(f"backbone {name}", "ok", f"weights in {card.folder}")


def _metrics() -> Iterator[Finding]:
    """Which metrics can be scored; those that lack the same thing stand in one line."""
    there, lacking = 0, dict[str, list[str]]()
    default = {label.partition(":")[0] for label in cards.load("tiny").defaults["metrics"]}
    for entry in registry.metrics.entries():
        if entry.cause:
            yield Finding(f"metric {entry.name}", "problem" if entry.name in default else "warn", entry.cause)
            continue
        try:
            sentence = metric_labels.build(entry.name).missing()
        except BenchError as error:
            sentence = str(error)
        there += not sentence
        if sentence:
            lacking.setdefault(sentence, []).append(entry.name)
    yield Finding("metrics", "ok", f"{there} can be scored as they are")
    for sentence, names in lacking.items():
        yield Finding(f"metric {', '.join(names)}", "warn", sentence)
    for name in registry.trackers.names():
        try:
            sentence = make_tracker(name).missing()
        except BenchError as error:
            sentence = str(error)
        if sentence:
            yield Finding(f"tracker {name}", "warn", sentence)


def _environments() -> Iterator[Finding]:
    for name in registry.environments.names():
        found = environments.find(name)
        if found:
            yield Finding(f"environment {name}", "ok", f"{len(found.packages)} packages in {found.folder}")
        else:
            size = environments.recipe(name).size
            yield Finding(
                f"environment {name}", "warn", f"not made in {environments.root()} ({size})", f"bench env create {name}"
            )


def _hub() -> Iterator[Finding]:
    """Whether weights could be fetched; nothing is, and no token is read."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", "ok", "offline by HF_HUB_OFFLINE; runs need no network")
        return
    host = urlsplit(constants.ENDPOINT).hostname or ""
    if _answers(host):
        yield Finding("hub", "ok", f"{host} answers")
    else:
        yield Finding("hub", "warn", f"offline: {host} does not answer within {PATIENCE:g} s; runs need no network",
                      "fetch weights on a machine that has one, and copy the cache")  # fmt: skip


def _answers(host: str) -> bool:
    """Whether a connection opens in time; a name look-up can hang longer than its socket, so it has a thread of its own."""
    import threading

    opened = threading.Event()

    def knock() -> None:
        with suppress(OSError), socket.create_connection((host, 443), PATIENCE):
            opened.set()

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return opened.is_set()


# --- runs ----------------------------------------------------------------------------------------------------------------


def _locks(folder: Path) -> Iterator[Finding]:
    from fastvmt.runner.command import go_on
    from fastvmt.runner.status import status, unheard

    runs = sorted(p.parent for p in folder.glob("*/config.json")) if folder.is_dir() else []
    if not runs:
        yield Finding("runs", "ok", f"none in {folder}")
    for run in runs:
        try:
            found = status(run)
        except (BenchError, OSError) as error:
            yield Finding(f"run {run.name}", "warn", str(error))
            continue
        words = f"{found.done} of {found.jobs} videos, {found.failed} failed"
        owner = ", ".join(r for r in found.runners if r not in found.elsewhere) or found.holder
        if found.elsewhere and not owner:
            yield Finding(f"run {run.name}", "ok", f"{words}; {unheard(found)}")
        elif owner:
            yield Finding(f"run {run.name}", "ok", f"{words}; in use by {owner}")
        elif found.done < found.jobs:
            yield Finding(f"run {run.name}", "warn", words, go_on(run))
        else:
            yield Finding(f"run {run.name}", "ok", words)
