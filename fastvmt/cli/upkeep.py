"""``bench status``, ``bench gc`` and ``bench doctor``: where a run stands, what can go, and how this machine is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import FrameCount, Height, Json, Plugin, Run, Width
from fastvmt.core.spelling import mib
from fastvmt.errors import SpecError

if TYPE_CHECKING:
    from fastvmt.upkeep.garbage import Waste

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and how many bytes.")]
Clips = Annotated[int | None, typer.Option(help="Drawn clips (12; with --tracker 2 of each motion).")]
Folder = Annotated[Path, typer.Argument(help="Run folder, or a folder of run folders.")]
Backbone = Annotated[str, typer.Option(help="Probe this backbone's blocks: a name, a WanPipeline folder, or a hub id.")]
Tracker = Annotated[str, typer.Option(help="Judge this tracker on the known tracks of drawn clips.")]
TapVid = Annotated[
    Path | None,
    typer.Option(help="With --tracker: judge on this TAP-Vid pickle. Only arrays are taken from it; nothing in it is run."),
]
Runs = Annotated[Path, typer.Option(help="Where run folders lie (without --backbone and --tracker).")]


def status(folder: Run, as_json: Json = False) -> None:
    """Say where a run stands: done, failed, missing, running, time left. Changes nothing and may be asked at any time."""
    from fastvmt.runner import status as standing

    found = standing.status(folder)
    print(json.dumps(vars(found), ensure_ascii=False) if as_json else standing.as_lines(found))


def gc(folder: Folder, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove what no run needs any more: half-made videos, quarantine, caches of finished runs, orphaned references."""
    from fastvmt.upkeep.garbage import clean

    found = clean(folder, dry_run, lambda line: print(line, file=sys.stderr, flush=True))
    total = sum(w.bytes for w in found)
    if as_json:
        rows = [{"path": str(w.path), "why": w.why, "bytes": w.bytes} for w in found]
        print(json.dumps({"dry_run": dry_run, "bytes": total, "found": rows}))
        return
    for one in found:
        print(_line(one))
    print(f"{'would free' if dry_run else 'freed'} {mib(total)} ({len(found)} paths)")


def _line(one: Waste) -> str:
    return f"{mib(one.bytes):>14}  {one.path}  ({one.why})"


def doctor(
    backbone: Backbone = "", frames: FrameCount = None, width: Width = None, height: Height = None, clips: Clips = None,
    tracker: Tracker = "", tapvid: TapVid = None, plugin: Plugin = None, runs: Runs = Path("runs"), as_json: Json = False,
) -> None:  # fmt: skip
    """Look at this machine: GPU, disk, codecs, versions, weights, environments, hub, runs; exit code 2 for a problem.

    With --backbone: per block and noise level, how well queries and keys follow known motion, to choose the guided block.
    With --tracker: how well a tracker follows points whose tracks are known, and what that does to motion fidelity.
    """
    from fastvmt.plugins import registry

    for path in plugin or ():
        registry.load_plugin(path)
    if clips is not None and clips < 1:
        raise SpecError(f"--clips {clips}: at least 1 is needed.")
    if tapvid and not tracker:
        raise SpecError("--tapvid needs --tracker NAME beside it: it is a tracker that is judged on it.")
    if not (backbone or tracker):
        given = [k for k, v in (("clips", clips), ("frames", frames), ("width", width), ("height", height)) if v is not None]
        if given:
            raise SpecError(f"--{given[0]} needs --backbone NAME or --tracker NAME beside it: it is for probing one of them.")
        _machine(runs, as_json)
        return
    _probe(backbone or "tiny", tracker, (width, height, frames), clips, tapvid, as_json)


def _machine(runs: Path, as_json: bool) -> None:
    from fastvmt.upkeep.doctor import look

    found = []
    for finding in look(runs):
        found.append(finding)
        if not as_json:
            print(finding.line(), flush=True)
    problems = sum(f.state == "problem" for f in found)
    warnings = sum(f.state == "warn" for f in found)
    if as_json:
        print(json.dumps({"ok": not problems, "findings": [f.data() for f in found]}, ensure_ascii=False))
    else:
        print("the default run can start" if not problems else "the default run cannot start", end="")
        print(f" ({problems} problems, {warnings} warnings)")
    if problems:
        raise typer.Exit(2)


def _probe(
    backbone: str, tracker: str, wanted: tuple[int | None, int | None, int | None], clips: int | None, tapvid: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    from fastvmt.backbones import card as cards

    card = cards.load(backbone)
    names = ("width", "height", "frames")
    width, height, frames = (card.defaults[k] if v is None else v for k, v in zip(names, wanted, strict=True))
    if tracker:
        from fastvmt.metrics.trackers import check

        checked = check.check(tracker, width, height, frames, clips=clips or 2, tapvid_file=tapvid)
        print(json.dumps(checked.data()) if as_json else check.as_lines(checked))
        return
    card.check_size(width, height, frames)
    cards.require_weights(card)
    import torch

    from fastvmt.backbones.device import has_cuda
    from fastvmt.backbones.wan import Backbone as Loaded
    from fastvmt.datasets.drawn import probe

    device = "cuda" if has_cuda() else "cpu"
    loaded = Loaded(card, device, torch.bfloat16 if device == "cuda" else torch.float32)
    found = probe.correspondence(loaded, width, height, frames, clips=clips or 12)
    print(json.dumps(found.data()) if as_json else probe.as_lines(found))
