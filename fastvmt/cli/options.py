"""The options of ``bench run``, which other commands share, and the request they make. Nothing heavy is imported."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.errors import SpecError

if TYPE_CHECKING:
    from fastvmt.runner.plan import Request
    from fastvmt.runner.runner import Options

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; by default its name follows from the request.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]
Workers = Annotated[int | None, typer.Option(help="Workers; by default one for every GPU, or one.")]
ExecutorName = Annotated[str, typer.Option("--executor", help="local, ray or slurm: where the workers are.")]
Address = Annotated[str, typer.Option(help="With --executor ray: auto, or host:port of a cluster; without it one starts here.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option(help="With --executor slurm: KEY=VALUE for sbatch, e.g. partition=gpu; may be repeated."),
]
Wait = Annotated[bool, typer.Option(help="With --executor slurm: stay until everything is done.")]
Timeout = Annotated[float, typer.Option(help="Seconds a job may take; 0 for no limit.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
Reuse = Annotated[
    bool, typer.Option(help="Take the same videos over from run folders beside this one (without their seconds).")
]
Methods = Annotated[str, typer.Option(help="Comma-separated, e.g. fastvmt,fastvmt:no-window,ditflow:inner=10.")]
SuiteName = Annotated[str, typer.Option(help="Registered suite, folder of clips and prompts, suite.toml, or one clip.")]
Backbone = Annotated[str, typer.Option(help="tiny, wan2.1-1.3b, wan2.1-14b, a WanPipeline folder, or a hub id.")]
Seeds = Annotated[str, typer.Option(help="Comma-separated integers.")]
Metrics = Annotated[
    str, typer.Option(help="Comma-separated labels or patterns, e.g. vbench:*; empty for the backbone's own list.")
]
Controls = Annotated[bool, typer.Option(help="Add the rows no transfer and SDEdit.")]
Prompt = Annotated[str | None, typer.Option(help="Target prompt for every clip of a folder, or for one clip.")]
Limit = Annotated[int, typer.Option(help="Only the first so many cases; 0 for all.")]
Width = Annotated[int | None, typer.Option(help="Width in px.")]
Height = Annotated[int | None, typer.Option(help="Height in px.")]
FrameCount = Annotated[int | None, typer.Option("--frames", help="Frames, 4k+1.")]
Stride = Annotated[int, typer.Option(help="Take every n-th frame of a clip.")]
Root = Annotated[str | None, typer.Option("--root", "--davis-root", help="Your copy of a registered dataset, e.g. DAVIS.")]
Prompts = Annotated[str | None, typer.Option(help="Your own prompt file for a registered dataset.")]
ShortClips = Annotated[str | None, typer.Option(help="Clips with too few frames: error, skip, or trim to their largest 4k+1.")]
Fit = Annotated[str, typer.Option(help="How a clip is brought to size: crop (middle), stretch, or pad.")]
Truncated = Annotated[bool, typer.Option("--allow-truncated", help="Keep what damaged clips still give.")]
Upscale = Annotated[bool, typer.Option("--allow-upscale", help="Enlarge clips that are smaller than the video.")]
Steps = Annotated[int | None, typer.Option(help="Denoise steps.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance scale.")]
Shift = Annotated[float | None, typer.Option(help="Shift of the noise grid.")]
Strength = Annotated[float, typer.Option(help="Start the grid lower, keeping all steps (released FastVMT code).")]
Solver = Annotated[str, typer.Option(help="euler.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Threads = Annotated[int, typer.Option(help="CPU threads of each worker; 0 for all cores.")]
Offload = Annotated[bool, typer.Option(help="Keep text encoder and VAE on the CPU between uses.")]
Protocol = Annotated[
    str,
    typer.Option(
        help="matched-start (all from the same noise), as-published, or matched-budget; and, by itself or behind a comma, "
        "timing: one worker, a discarded video, then --repeats timed ones."
    ),
]
Budget = Annotated[
    float | None, typer.Option(help="Forward-equivalents of a video under matched-budget; by default the cheapest method's.")
]
Repeats = Annotated[int, typer.Option(help="Timed repeats of every video with --protocol timing.")]
Force = Annotated[bool, typer.Option("--force", help="Begin even where the plan says that memory or disk will not do.")]
Verify = Annotated[bool, typer.Option("--verify", help="First compare the SHA-256 of every file that is there.")]
By = Annotated[str, typer.Option(help="category: also print a table split by the cases' category.")]
Plugin = Annotated[list[str] | None, typer.Option(help="Python file with METHODS, METRICS or SUITES; may be repeated.")]


RUN: dict[str, tuple[Any, Any]] = {
    "suite": (SuiteName, "shapes"), "backbone": (Backbone, "tiny"), "seeds": (Seeds, "0"), "metrics": (Metrics, ""),
    "controls": (Controls, True), "prompt": (Prompt, None), "limit": (Limit, 0), "width": (Width, None),
    "height": (Height, None), "frames": (FrameCount, None), "stride": (Stride, 1), "root": (Root, None),
    "prompts": (Prompts, None), "short_clips": (ShortClips, None), "fit": (Fit, "crop"),
    "allow_truncated": (Truncated, False), "allow_upscale": (Upscale, False), "steps": (Steps, None),
    "guidance": (Guidance, None), "shift": (Shift, None), "strength": (Strength, 1.0), "solver": (Solver, "euler"),
    "device": (Device, "auto"), "dtype": (Dtype, "auto"), "threads": (Threads, 0), "offload": (Offload, False),
    "protocol": (Protocol, "matched-start"), "budget": (Budget, None), "repeats": (Repeats, 3),
    "plugin": (Plugin, None), "out": (Out, None),
    "workers": (Workers, None), "executor": (ExecutorName, "local"), "address": (Address, ""), "slurm": (Slurm, None),
    "wait": (Wait, True), "timeout": (Timeout, 0.0), "fail_fast": (FailFast, False),
    "reuse": (Reuse, True), "force": (Force, False), "as_json": (Json, False),
}  # fmt: skip
"""Name to type and default of every option that ``run``, ``plan`` and ``ablate`` have in common."""
SAME = (
    "suite", "backbone", "controls", "prompt", "limit", "width", "height", "frames", "stride", "root", "prompts", "short_clips",
    "fit", "allow_truncated", "allow_upscale", "steps", "guidance", "shift", "strength", "solver", "device", "dtype", "threads",
    "offload", "budget",
)  # fmt: skip
"""Options that a request takes as they are."""


def takes_run_options(command: Callable[..., None], without: Collection[str] = ()) -> Callable[..., None]:
    """A command with every option in ``RUN`` beside its own; they reach it as the dictionary ``values``.

    Args:
        without: options that the command does not take; ``values`` holds their defaults.
    """
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "values"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in RUN.items()
        if name not in without
    ]

    def call(**given: Any) -> None:
        values = {name: default if name in without else given.pop(name) for name, (_, default) in RUN.items()}
        command(**given, values=values)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    required = [p for p in keyword if p.default is inspect.Parameter.empty]
    rest = [p for p in keyword if p.default is not inspect.Parameter.empty]
    call.__signature__ = inspect.Signature([*required, *rest, *shared])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call


def split(text: str) -> tuple[str, ...]:
    """``a, b`` as ("a", "b")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def request(methods: tuple[str, ...], v: dict[str, Any], **more: Any) -> Request:
    """The request that these options make.

    Raises:
        SpecError: for seeds or a protocol that cannot be understood.
    """
    from fastvmt.jobs import protocol
    from fastvmt.runner.plan import Request

    try:
        seeds = tuple(dict.fromkeys(int(s) for s in split(v["seeds"])))
    except ValueError:
        raise SpecError(f"--seeds {v['seeds']}: comma-separated integers are needed, e.g. 0,1.") from None
    chosen, timing = protocol.parse(v["protocol"])
    if v["repeats"] < 1:
        raise SpecError(f"--repeats {v['repeats']}: at least 1 is needed.")
    return Request(
        methods=methods, seeds=seeds, metrics=split(v["metrics"]), plugins=tuple(v["plugin"] or ()),
        protocol=chosen, repeats=v["repeats"] if timing else 0, **{k: v[k] for k in SAME}, **more,
    )  # fmt: skip


def run_options(
    workers: int | None, timeout: float = 0.0, fail_fast: bool = False, as_json: bool = False, reuse: bool = True,
    executor: str = "local", address: str = "", slurm: list[str] | None = None, wait: bool = True,
    force: bool = False, verify: bool = False,
) -> Options:  # fmt: skip
    """How to run, without influence on the results.

    Raises:
        SpecError: for no workers at all, or a --slurm without a value.
    """
    from fastvmt.runner.runner import Options

    style = "json" if as_json else "live" if sys.stderr.isatty() else "plain"
    halves = (text.partition("=") for text in slurm or ())
    pairs = tuple((key.strip().lstrip("-").replace("-", "_"), value.strip()) for key, _, value in halves)
    if any(not key or not value for key, value in pairs):
        raise SpecError(f"--slurm {' '.join(slurm or ())}: KEY=VALUE is needed, e.g. --slurm partition=gpu.")
    if not 0 <= timeout < math.inf:
        raise SpecError(f"--timeout {timeout:g}: seconds are needed, or 0 for no limit.")
    if workers is not None and workers < 1:
        raise SpecError(f"--workers {workers}: at least 1 is needed.")
    return Options(
        workers=workers or 0, timeout=timeout, fail_fast=fail_fast, reuse=reuse, style=style, executor=executor,
        address=address, slurm=pairs, wait=wait, force=force, verify=verify,
    )  # fmt: skip


HOW = ("workers", "timeout", "fail_fast", "as_json", "reuse", "executor", "address", "slurm", "wait", "force")
"""Options that ``run_options`` takes as they are."""


def options_of(v: dict[str, Any]) -> Options:
    """``run_options`` from ``RUN``'s values."""
    return run_options(**{name: v[name] for name in HOW})
