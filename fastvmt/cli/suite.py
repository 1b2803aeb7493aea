"""``bench suite``: suites of clips and prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Asked, Json, note, number, place, takes, tell
from fastvmt.core.limits import MAX_FRAMES, MOST_WHOLE

app = typer.Typer(no_args_is_help=True, help="Make, check, show and freeze suites of clips and prompts.")

Name = Annotated[str, typer.Argument(metavar="SUITE", help="Registered suite, folder, suite.toml, or manifest.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of clips and prompts.")]
Root = Annotated[Path | None, typer.Option("--root", "--davis-root", help="Your copy of a registered dataset.")]
Prompts = Annotated[Path | None, typer.Option(help="Your own prompts for a registered dataset.")]
Frames = Annotated[
    int | None, number("--frames", "Name clips with fewer frames; by default those the suite asks for.", 1, MAX_FRAMES)
]
Targets = Annotated[int, number("--targets", "Target prompts a clip: so many of the prompts that follow its own.", 1, 10_000)]


@app.command()
def make(
    folder: Folder,
    title: Annotated[str, typer.Option(help="What the suite is.")] = "",
    licence: Annotated[str, typer.Option(help="Of the clips.")] = "",
    source: Annotated[str, typer.Option(help="Where the clips come from.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write the files anew.")] = False,
) -> None:
    """Write suite.toml, clips.jsonl and prompts.jsonl for a folder of clips, by decoding every clip."""
    from fastvmt.suites import tools

    print(tools.make(folder, title, licence, source, force))


@app.command()
def check(
    name: Name, root: Root = None, prompts: Prompts = None, frames: Frames = None,
    fast: Annotated[bool, typer.Option("--fast", help="Compare lists and digests, decode nothing.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Open every clip and compare it with what the suite says; all problems in one pass, exit code 2."""
    from fastvmt.suites import tools
    from fastvmt.suites.cases import Wanted
    from fastvmt.suites.opening import habits

    habit = habits(name, root)
    wanted = Wanted(1, 1, frames or habit.frames or 1, root=root, prompts=prompts, short=habit.short or "error")
    found = tools.check(name, wanted, fast, (lambda _: None) if as_json else print)
    for warning in () if as_json else found.warnings:
        note(f"warning: {warning}")
    told = f"{found.clips} clips, {found.prompts} prompts, digest {found.digest[:16] or 'drawn'}: ok"
    tell(as_json, vars(found), told)


@app.command()
def show(name: Name, root: Root = None, prompts: Prompts = None, as_json: Json = False) -> None:
    """Print a suite's clips, and the ids and prompts of its cases, nothing decoded."""
    from fastvmt.suites import tools
    from fastvmt.suites.cases import Wanted

    data = tools.show(name, Wanted(1, 1, 1, root=root, prompts=prompts))
    lines = []
    for clip in data["clips"]:
        frames = [f"{clip['frames']} frames"] if clip.get("frames") else []
        about = ", ".join([clip["category"], *clip.get("tags", ()), *frames])
        cases = zip(clip["cases"], clip["prompts"], strict=True)
        lines += [f"{clip['id']} ({about}): {clip['caption']}", *(f"  - {case}: {text}" for case, text in cases)]
    tell(as_json, data, "\n".join(lines))


@app.command()
def freeze(folder: Folder) -> None:
    """Record the digest of clips and prompts in suite.toml; a run refuses the suite when they change."""
    from fastvmt.suites import tools

    print(tools.freeze(folder))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the format vmt-suite/1."""
    from fastvmt.suites.format import json_schema

    print(json.dumps(json_schema(), indent=1))


@app.command()
@takes("backbone", "width", "height", "frames", "steps", "guidance", "device")
def generate(
    asked: Asked,
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="Text file, one prompt a line.")],
    out: Annotated[Path, place("Folder of the new suite.")],
    seed: Annotated[int, number("--seed", "Of the noise.", -MOST_WHOLE, MOST_WHOLE)] = 0,
    targets: Targets = 1,
    limit: Annotated[int, number("--limit", "Only the first so many prompts; 0 for all.", 0, 10**9)] = 0,
) -> None:
    """Make a suite of generated clips with a backbone; the same command goes on where it was stopped."""
    from fastvmt.runner.generate_suite import Wish
    from fastvmt.runner.generate_suite import generate as make_clips
    from fastvmt.runner.plan import device_named

    words = asked.words | {"device": device_named(asked.words["device"])}
    wish = Wish(**words, seed=seed, targets=targets, limit=limit)
    print(make_clips(prompts, out, wish, note))
