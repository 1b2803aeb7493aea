"""The command line: ``bench`` and ``fastvmt-bench``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt import env_cli, fetch_cli, suite_cli
from fastvmt.errors import BenchError
from fastvmt.lazy import load_when_used

if TYPE_CHECKING:
    from fastvmt.api import Result
    from fastvmt.planning import Request
    from fastvmt.runner import Options

app = typer.Typer(
    name="bench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Benchmark of video motion transfer: plan, generate, score, tabulate; the same command resumes.",
)  # fmt: skip
app.add_typer(env_cli.app, name="env")
app.add_typer(suite_cli.app, name="suite")
app.command()(fetch_cli.fetch)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; by default its name follows from the request.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]
Workers = Annotated[int, typer.Option(help="Worker processes.")]
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
Protocol = Annotated[str, typer.Option(help="normal, or timing: one worker, a discarded video, then --repeats timed ones.")]
Repeats = Annotated[int, typer.Option(help="Timed repeats of every video with --protocol timing.")]
By = Annotated[str, typer.Option(help="category: also print a table split by the cases' category.")]
Plugin = Annotated[list[str] | None, typer.Option(help="Python file with METHODS, METRICS or SUITES; may be repeated.")]


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _request(v: dict[str, Any]) -> Request:
    from fastvmt.errors import SpecError
    from fastvmt.planning import Request

    try:
        seeds = tuple(int(s) for s in _split(v["seeds"]))
    except ValueError:
        raise SpecError(f"--seeds {v['seeds']}: comma-separated integers are needed, e.g. 0,1.") from None
    same = (
        "suite", "backbone", "controls", "prompt", "limit", "width", "height", "frames", "stride", "root", "prompts",
        "short_clips", "fit", "allow_truncated", "allow_upscale", "steps", "guidance",
        "shift", "strength", "solver", "device", "dtype", "threads", "offload",
    )  # fmt: skip
    if v["protocol"] not in ("normal", "timing") or v["repeats"] < 1:
        raise SpecError(f"--protocol {v['protocol']} --repeats {v['repeats']}: use normal, or timing with 1 or more repeats.")
    timing = v["protocol"] == "timing"
    return Request(
        methods=_split(v["methods"]), seeds=seeds, metrics=_split(v["metrics"]),
        plugins=tuple(v["plugin"] or ()), repeats=v["repeats"] if timing else 0, **{k: v[k] for k in same},
    )  # fmt: skip


def _options(workers: int, timeout: float, fail_fast: bool, as_json: bool, reuse: bool = True) -> Options:
    from fastvmt.runner import Options

    style = "json" if as_json else "live" if sys.stderr.isatty() else "plain"
    return Options(workers=workers, timeout=timeout, fail_fast=fail_fast, reuse=reuse, style=style)


def _check_by(by: str) -> None:
    from fastvmt.errors import SpecError

    if by not in ("", "category"):
        raise SpecError(f"--by {by}: a table can be split by category only.")


def _print_split(folder: Path, by: str) -> None:
    from fastvmt import api

    if by:
        print("\n" + api.by_category(folder))


def _finish(result: Result, as_json: bool, by: str = "") -> None:
    from fastvmt.reports.table import as_data, as_lines

    outcome = result.outcome
    if as_json:
        print(json.dumps(as_data(result.table) | {"folder": str(result.folder), "outcome": vars(outcome)}, ensure_ascii=False))
    else:
        print(as_lines(result.table, result.sheet))
        _print_split(result.folder, by)
    if outcome.interrupted:
        print(f"Interrupted; what was finished is kept. Go on with: bench resume {result.folder}", file=sys.stderr)
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(3)


@app.command()
def run(
    methods: Methods = "fastvmt,ditflow", suite: SuiteName = "shapes", backbone: Backbone = "tiny", seeds: Seeds = "0",
    metrics: Metrics = "", controls: Controls = True, prompt: Prompt = None, limit: Limit = 0, width: Width = None,
    height: Height = None, frames: FrameCount = None, stride: Stride = 1, root: Root = None, prompts: Prompts = None,
    short_clips: ShortClips = None, fit: Fit = "crop", allow_truncated: Truncated = False, allow_upscale: Upscale = False,
    steps: Steps = None, guidance: Guidance = None,
    shift: Shift = None, strength: Strength = 1.0, solver: Solver = "euler", device: Device = "auto",
    dtype: Dtype = "auto", threads: Threads = 0, offload: Offload = False, protocol: Protocol = "normal", repeats: Repeats = 3,
    plugin: Plugin = None,
    out: Out = None, workers: Workers = 1, timeout: Timeout = 0.0, fail_fast: FailFast = False,
    reuse: Reuse = True, by: By = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Plan, generate what is missing, score, print the table. The same command resumes."""
    values = dict(locals())
    from fastvmt import api

    _check_by(by)
    _finish(api.run(_request(values), out, _options(workers, timeout, fail_fast, as_json, reuse)), as_json, by)


@app.command()
def plan(
    methods: Methods = "fastvmt,ditflow", suite: SuiteName = "shapes", backbone: Backbone = "tiny", seeds: Seeds = "0",
    metrics: Metrics = "", controls: Controls = True, prompt: Prompt = None, limit: Limit = 0, width: Width = None,
    height: Height = None, frames: FrameCount = None, stride: Stride = 1, root: Root = None, prompts: Prompts = None,
    short_clips: ShortClips = None, fit: Fit = "crop", allow_truncated: Truncated = False, allow_upscale: Upscale = False,
    steps: Steps = None, guidance: Guidance = None,
    shift: Shift = None, strength: Strength = 1.0, solver: Solver = "euler", device: Device = "auto",
    dtype: Dtype = "auto", threads: Threads = 0, offload: Offload = False, protocol: Protocol = "normal", repeats: Repeats = 3,
    plugin: Plugin = None, out: Out = None,
    workers: Workers = 1, timeout: Timeout = 0.0, fail_fast: FailFast = False, reuse: Reuse = True, as_json: Json = False,
) -> None:  # fmt: skip
    """Say what the same ``run`` would do and take, and do nothing."""
    values = dict(locals())
    from fastvmt import api

    found, cost = api.plan(_request(values), out)
    folder = str(out or found.default_folder())
    if as_json:
        methods_data = [m.model_dump(mode="json") for m in found.config.methods]
        print(json.dumps(vars(cost) | {"folder": folder, "methods": methods_data}))
        return
    print(f"{cost.jobs} videos, {cost.done} already there, {cost.jobs - cost.done} to make, into {folder}")
    for label, passes in cost.forward_equivalents.items():
        print(f"  {label}: {passes:g} forward passes a video (counted from its parameters)")
    for note in found.notes:
        print(note)
    if not found.decoded:
        print("clips were listed, not opened: what is already there is not counted, and the folder's name can change")
    time = "unknown" if cost.seconds is None else _duration(cost.seconds / max(1, workers))
    print(f"time: {time} ({cost.seconds_basis})")
    print(f"memory: about {cost.memory_bytes / 2**30:.1f} GiB for model and activations (estimated), beside the libraries")
    print(f"disk: about {cost.disk_bytes / 2**20:.0f} MiB (estimated)")
    print(f"weights to fetch: {cost.fetch or 'none'}")


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 7200 else f"about {seconds / 3600:,.0f} GPU-hours"


@app.command()
def resume(
    folder: Run,
    workers: Workers = 1,
    timeout: Timeout = 0.0,
    fail_fast: FailFast = False,
    reuse: Reuse = True,
    as_json: Json = False,
) -> None:
    """Go on with a run folder."""
    from fastvmt import api

    _finish(api.resume(folder, _options(workers, timeout, fail_fast, as_json, reuse)), as_json)


@app.command()
def score(
    folder: Run, metrics: Metrics = "", workers: Workers = 1, as_json: Json = False,
    again: Annotated[bool, typer.Option("--again", help="Compute even what is already recorded.")] = False,
) -> None:  # fmt: skip
    """Score a run folder, without generating."""
    from fastvmt import api

    _finish(api.score(folder, _split(metrics), _options(workers, 0.0, False, as_json), again), as_json)


@app.command()
def table(folder: Run, by: By = "", as_json: Json = False) -> None:
    """Print the table of a run folder."""
    from fastvmt import api
    from fastvmt.reports.table import as_data, as_lines

    _check_by(by)
    found = api.table(folder)
    sheet = folder / "sheet.png"
    print(json.dumps(as_data(found), ensure_ascii=False) if as_json else as_lines(found, sheet if sheet.exists() else None))
    if not as_json:
        _print_split(folder, by)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="methods, metrics, suites or backbones.")],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """List what is registered."""
    from fastvmt import registry
    from fastvmt.catalog import listing

    for path in plugin or ():
        registry.load_plugin(path)
    rows = listing(kind)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    width = max(len(r["name"]) for r in rows)
    for row in rows:
        origin = "" if row["origin"] == "built in" else f" [{row['origin']}]"
        print(f"{row['name']:<{width}}  {row['summary']}{origin}")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="A method, metric, suite or backbone.")],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Say what a name stands for: source, parameters, defaults."""
    from fastvmt import api, registry

    for path in plugin or ():
        registry.load_plugin(path)
    facts = api.describe(name)
    if as_json:
        print(json.dumps(facts, default=str, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, what in value.items():
                print(f"  {inner}: {what}")
        else:
            print(f"{key}: {value}")


@app.command()
def doctor(
    backbone: Backbone = "tiny", frames: FrameCount = None, width: Width = None, height: Height = None,
    clips: Annotated[int | None, typer.Option(help="Drawn clips (12; with --tracker 2 of each motion).")] = None,
    tracker: Annotated[str, typer.Option(help="Judge this tracker on the known tracks of drawn clips instead.")] = "",
    tapvid: Annotated[
        Path | None,
        typer.Option(help="With --tracker: judge on this TAP-Vid pickle. Only arrays are taken from it; nothing in it is run."),
    ] = None,
    plugin: Plugin = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Show per block and noise level how well queries and keys follow known motion, to choose the guided block.

    With --tracker: how well a tracker follows points whose tracks are known, and what that does to motion fidelity.
    """
    from fastvmt import card as cards
    from fastvmt import registry
    from fastvmt.errors import SpecError

    for path in plugin or ():
        registry.load_plugin(path)
    if clips is not None and clips < 1:
        raise SpecError(f"--clips {clips}: at least 1 is needed.")
    if tapvid and not tracker:
        raise SpecError("--tapvid needs --tracker NAME beside it: it is a tracker that is judged on it.")
    card = cards.load(backbone)
    size = [v or card.defaults[k] for k, v in (("width", width), ("height", height), ("frames", frames))]
    if tracker:
        checked = registry.probes.get("tracker")(tracker, *size, clips=clips or 2, tapvid_file=tapvid)
        print(json.dumps(checked.data()) if as_json else registry.probes.get("tracker-lines")(checked))
        return
    card.check_size(*size)
    cards.require_weights(card)
    from fastvmt.backbone import Backbone as Loaded

    found = registry.probes.get("correspondence")(Loaded(card), *size, clips=clips or 12)
    if as_json:
        print(
            json.dumps(
                {"levels": found.levels, "forms": found.forms, "share": found.share.tolist(), "best": found.best_block()}
            )
        )
    else:
        print(registry.probes.get("correspondence-lines")(found))


def main() -> None:
    """Entry point: errors raised on purpose end in one sentence and their exit code."""
    load_when_used("torch")
    guarded(app)


def guarded(call: Callable[[], Any]) -> None:
    try:
        call()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
