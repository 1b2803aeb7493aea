"""``bench status``, ``verify``, ``gc``, ``doctor``: where a run stands, if it is sound, what can go, how this machine is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.cli.options import (
    Asked,
    FrameCount,
    Height,
    Json,
    Plugin,
    Run,
    Width,
    load_plugins,
    note,
    number,
    table_form,
    takes,
    tell,
    typed,
)  # fmt: skip
from fastvmt.core.spelling import mib
from fastvmt.errors import SpecError
from fastvmt.runner.option import split

if TYPE_CHECKING:
    from fastvmt.upkeep.doctor import Finding

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and how many bytes.")]
Clips = Annotated[
    int | None, number("--clips", "Drawn clips (12; with --tracker 2 of each motion; with --method 4).", 1, 10_000)
]
Methods = Annotated[str, typer.Option("--method", help="Ask whether the guidance of these methods sees the reference: labels.")]
Steps = Annotated[int | None, typed("steps")]
Folder = Annotated[Path, typer.Argument(help="Run folder, or a folder of run folders.")]
Backbone = Annotated[str, typer.Option(help="Probe this backbone's blocks: a name, a WanPipeline folder, or a hub id.")]
Tracker = Annotated[str, typer.Option(help="Judge this tracker on the known tracks of drawn clips.")]
TapVid = Annotated[
    Path | None,
    typer.Option(help="With --tracker: judge on this TAP-Vid pickle. Only arrays are taken from it; nothing in it is run."),
]
Parity = Annotated[
    bool, typer.Option("--parity", help="With --backbone: compare it with diffusers' pipeline and with stored vectors instead.")
]
Vectors = Annotated[
    Path | None,
    typer.Option(help="With --parity: vectors of the original implementation; parity.npz beside the weights without."),
]
Runs = Annotated[Path, typer.Option(help="Where run folders lie (without --backbone and --tracker).")]


def status(folder: Run, as_json: Json = False) -> None:
    """Say where a run stands: done, failed, missing, running, time left. Changes nothing and may be asked at any time."""
    from fastvmt.runner import status as standing

    found = standing.status(folder)
    tell(as_json, vars(found), standing.as_lines(found))


@takes("plugins", "root", "prompts", "as_json")
def verify(
    asked: Asked, folder: Annotated[Path, typer.Argument(help="Run folder, or the folder of a submission.")],
    row: Annotated[str, typer.Option(help="Only the videos of this row of the table, e.g. fastvmt.")] = "",
    scores: Annotated[bool, typer.Option("--scores", help="Compute every score again, too.")] = False,
    sample: Annotated[int | None, number("--sample", "Videos of a submission that are scored again (8).", 0, 10**9)] = None,
    seed: Annotated[int | None, number("--seed", "Which they are; others each time without.", 0, 2**32 - 1)] = None,
    suite: Annotated[str, typer.Option(help="Your copy of a submission's suite, where it is not registered.")] = "",
    backbone: Annotated[str, typer.Option(help="Your folder of a submission's backbone, where it has no name.")] = "",
) -> None:  # fmt: skip
    """Look at a run's files and frames again, and with --scores at all numbers; exit code 3 when one differs.

    Of a submission: digests of all files, suite, backbone, controls, every case, claims, recipe, and scores from a sample of
    its videos. Exit code 0: it holds; 1: something does not; 4: it holds, and not all could be checked. Nothing of it is run.
    """
    from fastvmt.reports.share import RUN, SUBMISSION
    from fastvmt.store.layout import is_run

    own = {"suite": suite, "backbone": backbone, "root": asked.words["root"], "prompts": asked.words["prompts"]}
    if (folder / SUBMISSION).exists() or is_run(folder / RUN):
        how = {"sample": None} if scores else {} if sample is None else {"sample": sample}
        _verify_submission(asked, folder, seed, row=row, own={k: v for k, v in own.items() if v}, **how)
        return
    given = [f"--{k}" for k, v in (own | {"sample": sample, "seed": seed}).items() if v not in (None, "")]
    if given:
        raise SpecError(f"{given[0]} is for a submission, and {folder} has no {SUBMISSION}. Leave it out.")
    from fastvmt.upkeep.verify import verify as look

    found = look(folder, row, scores, note, asked.plugins)
    tell(asked.as_json, {"folder": folder} | found.data(), "\n".join([f"{folder}: {found.words()}", *found.faults]))
    if found.faults:
        raise typer.Exit(3)


def _verify_submission(asked: Asked, folder: Path, seed: int | None, **how: Any) -> None:
    import secrets

    from fastvmt.exchange.submissions.verify import verify as look

    load_plugins(asked.plugins)
    found = look(folder, seed=secrets.randbelow(10**6) if seed is None else seed, **how)
    tell(asked.as_json, {"folder": folder} | found.data(), "\n".join(found.lines()))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def gc(folder: Folder, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove what no run needs any more: half-made videos, quarantine, caches of finished runs, orphaned references."""
    from fastvmt.upkeep.garbage import clean

    found = clean(folder, dry_run, note)
    total = sum(w.bytes for w in found)
    rows = [{"path": w.path, "why": w.why, "bytes": w.bytes} for w in found]
    lines = [f"{mib(w.bytes):>14}  {w.path}  ({w.why})" for w in found]
    lines.append(f"{'would free' if dry_run else 'freed'} {mib(total)} ({len(found)} paths)")
    tell(as_json, {"dry_run": dry_run, "bytes": total, "found": rows}, "\n".join(lines))


def doctor(
    backbone: Backbone = "", frames: FrameCount = None, width: Width = None, height: Height = None, clips: Clips = None,
    method: Methods = "", steps: Steps = None, parity: Parity = False, vectors: Vectors = None,
    tracker: Tracker = "", tapvid: TapVid = None, plugin: Plugin = None, runs: Runs = Path("runs"), as_json: Json = False,
) -> None:  # fmt: skip
    """Look at this machine: GPU, disk, codecs, versions, weights, environments, hub, runs; exit code 2 for a problem.

    With --backbone: per block and noise level, how well queries and keys follow known motion, to choose the guided block.
    With --backbone and --parity: is it the model that others run; exit code 2 where it is not.
    With --method: the gradient of its guidance for the right and for a wrong reference, by step and block.
    With --tracker: how well a tracker follows points whose tracks are known, and what that does to motion fidelity.
    """
    load_plugins(plugin)
    if tapvid and not tracker:
        raise SpecError("--tapvid needs --tracker NAME beside it: it is a tracker that is judged on it.")
    if method and tracker:
        raise SpecError("--method and --tracker are two questions; ask one at a time.")
    if steps is not None and not method:
        raise SpecError("--steps needs --method NAME beside it: it is that method's guided steps that are looked at.")
    if parity or vectors:
        if method or tracker or any(v is not None for v in (clips, steps, width, height, frames)):
            raise SpecError("--parity has its own inputs: leave --method, --tracker, --clips, --steps and sizes out.")
        _parity(backbone if parity else "", vectors, as_json)
        return
    if not (backbone or tracker or method):
        given = [k for k, v in (("clips", clips), ("frames", frames), ("width", width), ("height", height)) if v is not None]
        if given:
            raise SpecError(f"--{given[0]} needs --backbone NAME or --tracker NAME beside it: it is for probing one of them.")
        _machine(runs, as_json)
        return
    _probe(backbone or "tiny", tracker, (width, height, frames), clips, tapvid, as_json, method, steps)


def _machine(runs: Path, as_json: bool) -> None:
    from fastvmt.upkeep.doctor import look

    _findings(look(runs), "the default run can{} start", as_json)


def _parity(backbone: str, vectors: Path | None, as_json: bool) -> None:
    if not backbone:
        raise SpecError(
            "--parity needs --backbone NAME beside it, and --vectors needs --parity: it is a backbone that is compared."
        )
    import torch

    from fastvmt.backbones import card as cards
    from fastvmt.backbones.device import has_cuda
    from fastvmt.upkeep.parity import look

    device, dtype = ("cuda", torch.bfloat16) if has_cuda() else ("cpu", torch.float32)
    card = cards.load(backbone, texts=False)
    _findings(
        look(card, device, dtype, vectors), f"{backbone} is{{}} the model that others run, as far as was compared", as_json
    )


def _findings(lines: Iterable[Finding], said: str, as_json: bool) -> None:
    """Each as it comes, then whether there is a problem.

    Args:
        said: the last sentence, with a place for "not".
    """
    found = []
    for finding in lines:
        found.append(finding)
        if not as_json:
            print(finding.line(), flush=True)
    problems = sum(f.state == "problem" for f in found)
    warnings = sum(f.state == "warn" for f in found)
    word = "not" if "can{}" in said else " not"
    tell(
        as_json, {"ok": not problems, "findings": [f.data() for f in found]},
        f"{said.format(word * bool(problems))} ({problems} problems, {warnings} warnings)",
    )  # fmt: skip
    if problems:
        raise typer.Exit(2)


def _probe(
    backbone: str, tracker: str, wanted: tuple[int | None, int | None, int | None], clips: int | None, tapvid: Path | None,
    as_json: bool, method: str, steps: int | None,
) -> None:  # fmt: skip
    from fastvmt.backbones import card as cards

    card = cards.load(backbone)
    names = ("width", "height", "frames")
    width, height, frames = (card.defaults[k] if v is None else v for k, v in zip(names, wanted, strict=True))
    if tracker:
        from fastvmt.metrics.trackers import check

        checked = check.check(tracker, width, height, frames, clips=clips or 2, tapvid_file=tapvid)
        tell(as_json, checked.data(), _tables(check.as_lines(checked)))
        return
    card.check_size(width, height, frames)
    cards.require_weights(card)
    import torch

    from fastvmt.backbones.device import has_cuda
    from fastvmt.backbones.wan import Backbone as Loaded
    from fastvmt.backbones.wan import encoded
    from fastvmt.datasets.drawn import probe
    from fastvmt.upkeep import sees

    if method:
        sees.refuse_blind(asked := split(method), clips or sees.CLIPS)

    device = "cuda" if has_cuda() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if method:
        loaded, several = Loaded(card, device, dtype), len(asked) > 1
        looked = [sees.sight(loaded, m, width, height, frames, steps, clips or sees.CLIPS, by_block=not several) for m in asked]
        tell(as_json, {"methods": [one.data() for one in looked]}, _tables(sees.as_lines(looked)))
        return
    empty = encoded(card, device, dtype, [""])[""]
    found = probe.correspondence(Loaded(card, device, dtype), width, height, frames, clips=clips or 12, empty=empty)
    tell(as_json, found.data(), _tables(probe.as_lines(found)))


def _tables(text: str) -> str:
    from fastvmt.reports.tables.terminal import drawn

    return drawn(text) if table_form() == "terminal" else text
