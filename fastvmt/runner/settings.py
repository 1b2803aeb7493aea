"""What can be asked of a run: an option is one field, with its default, its help, its panel, and the values it takes.

From these fields come the options of the command line and with them the reference in the docs, ``Request`` and ``Options``,
the checks of their values, and a JSON schema. A new option is one more field here. Nothing heavy is imported.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from fastvmt.core import limits
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.jobs.part import Part
from fastvmt.model.fields import OFFLOADS, placing
from fastvmt.model.profile import ATTENTION, COMPILERS, cache_parts, interval_of
from fastvmt.runner.option import Option, integers, pairs_of, split

COMMON, WHAT, MODEL, WHERE, SPEED, OUTPUT = "Common", "What to run", "Model and size", "Where", "Speed", "Output"
PANELS = (COMMON, WHAT, MODEL, WHERE, SPEED, OUTPUT)
"""Panels of a help page, in their order."""
MULTISTEP = ("unipc", "dpm++", "dpmpp", "heun")
TIMED = 3
"""Timed repeats where ``--protocol timing`` says no number."""
_BUDGET = "matched-budget"
_SIDE, _FRAMES = (1, limits.MAX_SIDE), (1, limits.MAX_FRAMES)


def _setting(default: Any, panel: str, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": more | {"panel": panel, "help": help}})


class _Checked:
    """Settings whose values are checked when they are made."""

    def __post_init__(self) -> None:
        model: Any = type(self)
        for option in options_of(model):
            value = given = getattr(self, option.name)
            if value is not None and (value := option.taken(given)) is not given:
                object.__setattr__(self, option.name, value)
            if type(value) is not type(option.default) or value != option.default:
                option.check(value)


@dataclass(frozen=True)
class Request(_Checked):
    """What decides the videos of a run, as the user words it; None means the backbone's default.

    Attributes:
        short_clips: None for the suite's own habit, or an error.
        shift, strength: of the noise grid; see ``fastvmt.backbones.noise_levels.sigma_grid``.
        repeats: after a discarded video (protocol timing); 0 for one video and no warm-up.
        threads: the same for any number of workers, because the order of sums depends on it.
        optional: labels that are left out, and said, where this backbone makes them equal to another one or refuses them.
        ablates_presets: presets of one method are wanted side by side.
        command: which chooses the methods: ``run``, ``ablate`` with its method and factors, or ``frontier`` with its grid.

    Raises:
        SpecError: for a value that cannot be. What depends on suite and backbone is found by ``fastvmt.runner.plan.resolve``.
    """

    methods: tuple[str, ...] = _setting(
        ("fastvmt", "ditflow"), COMMON, "Comma-separated, e.g. fastvmt,fastvmt:no-window,ditflow:inner=10.", names="methods"
    )
    suite: str = _setting(
        "shapes", COMMON, "Registered suite, folder of clips and prompts, suite.toml, or one clip.", names="suites"
    )
    backbone: str = _setting(
        "tiny", COMMON, "tiny, a name (bench list backbones), a WanPipeline folder, or a hub id.", names="backbones"
    )
    seeds: tuple[int, ...] = _setting(
        (0,), COMMON, "Comma-separated integers.", valid=lambda seeds: 0 < len(seeds) == len(set(seeds)),
        needs="one or more, each of them once, e.g. --seeds 0,1",
    )  # fmt: skip
    metrics: tuple[str, ...] = _setting(
        (),
        COMMON,
        "Comma-separated labels or patterns, e.g. vbench:*; +a,+b adds to the backbone's own list, which empty stands for.",
        names="metrics",
    )
    controls: bool = _setting(True, WHAT, "Add the rows no transfer, SDEdit and the reference itself.")
    prompt: str | None = _setting(
        None, WHAT, "Target prompt for every clip of a folder, or for one clip.", most=10_000, lines=True
    )
    cases: tuple[str, ...] = _setting(
        (), WHAT, "Only these cases: comma-separated ids or patterns, e.g. bus--1,car*; empty for all."
    )
    limit: int = _setting(0, WHAT, "Only the first so many cases; 0 for all.", between=(0, 10**9))
    width: int | None = _setting(None, COMMON, "Width in px.", between=_SIDE)
    height: int | None = _setting(None, COMMON, "Height in px.", between=_SIDE)
    frames: int | None = _setting(None, COMMON, "Frames, 4k+1.", between=_FRAMES)
    stride: int = _setting(1, WHAT, "Take every n-th frame of a clip.", between=_FRAMES, needs="1 takes every frame")
    root: str | None = _setting(None, WHAT, "Your copy of a registered dataset, e.g. DAVIS.", flags=("--root", "--davis-root"))
    prompts: str | None = _setting(None, WHAT, "Your own prompt file for a registered dataset.")
    short_clips: str | None = _setting(
        None, WHAT, "Clips with too few frames: error, skip, or trim to their largest 4k+1.", known=("error", "skip", "trim")
    )
    fit: str = _setting(
        "crop", WHAT, "How a clip is brought to size: crop (middle), stretch, or pad.", known=("crop", "stretch", "pad")
    )
    allow_truncated: bool = _setting(False, WHAT, "Keep what damaged clips still give.", flags=("--allow-truncated",))
    allow_upscale: bool = _setting(False, WHAT, "Enlarge clips that are smaller than the video.", flags=("--allow-upscale",))
    steps: int | None = _setting(None, COMMON, "Denoise steps.", between=(1, 10_000))
    guidance: float | None = _setting(
        None, MODEL, "Classifier-free guidance scale.", between=(-1000, 1000), needs="1 is no guidance"
    )
    guidance_2: float | None = _setting(
        None, MODEL, "Guidance scale of the second of two transformers; by default the backbone's, or --guidance if given.",
        between=(-1000, 1000), needs="1 is no guidance", flags=("--guidance-2",),
    )  # fmt: skip
    shift: float | None = _setting(None, MODEL, "Shift of the noise grid.", between=(0.01, 100))
    strength: float = _setting(
        1.0, MODEL, "Start the grid lower, keeping all steps (released FastVMT code).", between=(0.01, 1)
    )
    solver: str = _setting(
        "euler", MODEL, "euler.", known=("euler",), valid=lambda name: name not in MULTISTEP,
        needs="multistep solvers rebuild the current sample from their own history and so discard what a method writes into "
        "the latent between steps (UniPC keeps 6 % of an edit); every method runs on euler",
    )  # fmt: skip
    device: str = _setting("auto", WHERE, "auto, cpu or cuda.", known=("auto", "cpu", "cuda"))
    dtype: str = _setting(
        "auto", MODEL, "auto, float32, bfloat16 or float16.", known=("auto", "float32", "bfloat16", "float16")
    )
    threads: int = _setting(
        0,
        SPEED,
        "CPU threads of each worker; 0 for one, or more where workers for every core would not fit in memory.",
        between=(0, 1024),
        needs="0 to choose by memory",
    )
    attention: str | None = _setting(
        None, SPEED, "Attention backend of diffusers' dispatcher, for every row; native without.", known=tuple(ATTENTION)
    )
    compile: str | None = _setting(
        None, SPEED, "Compile the model's blocks, for every row: inductor; aot_eager and eager for tests.", known=COMPILERS
    )
    cache: str | None = _setting(
        None, SPEED, "Skip parts of sampling passes in steps without guidance by a method, for every row: "
        "first_block:threshold=0.05, taylorseer:interval=5 or sea:threshold=0.25.", valid=cache_parts,
    )  # fmt: skip
    cfg_interval: str | None = _setting(
        None, SPEED, "Use classifier-free guidance at noise levels from LOW to HIGH alone, for every row, e.g. 0.3:0.95.",
        valid=interval_of,
    )  # fmt: skip
    offload: str = _setting(
        "auto", SPEED, "What is on a GPU only while it is used: none; text: its encoder; vae: that too; block: also the "
        "transformer's blocks. auto: as little as must.", known=("auto", *OFFLOADS),
    )  # fmt: skip
    protocol: str = _setting(
        "matched-start", WHAT,
        "matched-start (all from the same noise), as-published, or matched-budget; and, by itself or behind a comma, timing: "
        "one worker, a discarded video, then --repeats timed ones.", known=("matched-start", "as-published", _BUDGET),
    )  # fmt: skip
    budget: float | None = _setting(
        None, WHAT, "Forward-equivalents of a video under matched-budget; by default the cheapest method's.",
        between=(0.1, 10**9), needs=f"they are those of one video, with --protocol {_BUDGET}",
    )  # fmt: skip
    repeats: int = _setting(
        0, WHAT, "Timed repeats of every video with --protocol timing.", between=(0, 1000), counted=True, typed=TIMED
    )
    plugins: tuple[str, ...] = _setting(
        (), WHAT, "Python file with METHODS, METRICS or SUITES; may be repeated.", flags=("--plugin",), kind=list[str] | None
    )
    optional: frozenset[str] = frozenset()
    ablates_presets: bool = False
    command: tuple[str, ...] = ("run",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offload", placing(self.offload))
        super().__post_init__()
        if self.budget is not None and self.protocol != _BUDGET:
            raise SpecError(f"--budget {self.budget:g} belongs to --protocol {_BUDGET}; add that, or leave the budget out.")


@dataclass(frozen=True)
class Options(_Checked):
    """How a run is done, without influence on its results.

    Attributes:
        workers: 0 for one a GPU, or for as many as cores and memory allow.
        reuse: the seconds of videos that are taken over are not reported.
        remake: each video is replaced when its new one is there, and scored again.
        part: what is made where it is missing; None for all of the run.
        style: of the progress: ``plain``, ``live``, ``json`` or ``none``.
        address: "" starts a Ray cluster here.
        wait: False to leave when SLURM has the tasks.

    Raises:
        SpecError: for a value that cannot be, and options that contradict each other.
    """

    workers: int = _setting(
        0, SPEED, "Workers; by default one for every GPU, or on a CPU one for every --threads cores.", between=(0, 10_000),
        counted=True, kind=int | None, typed=None,
    )  # fmt: skip
    timeout: float = _setting(
        0.0,
        SPEED,
        "Seconds that a video, a training or one metric of a video may take; 0 for no limit.",
        between=(0, 10**9),
        needs="seconds, or 0 for no limit",
    )
    fail_fast: bool = _setting(False, SPEED, "Stop at the first failure.", flags=("--fail-fast",))
    reuse: bool = _setting(True, SPEED, "Take the same videos over from run folders beside this one (without their seconds).")
    force: bool = _setting(False, WHERE, "Begin even where the plan says that memory or disk will not do.", flags=("--force",))
    verify: bool = _setting(False, WHERE, "First compare the SHA-256 of every file that is there.", flags=("--verify",))
    remake: tuple[str, ...] = _setting(
        (), WHERE, "Comma-separated labels whose videos are made again, although they are there."
    )
    keep_old: bool = _setting(
        False, WHAT, "Keep videos and numbers that were made before the code of a --plugin file changed.", flags=("--keep-old",)
    )  # fmt: skip
    style: str = "plain"
    part: Part | None = None
    executor: str = _setting("local", WHERE, "local, ray or slurm: where the workers are.", known=("local", "ray", "slurm"))
    address: str = _setting("", WHERE, "With --executor ray: auto, or host:port of a cluster; without it one starts here.")
    slurm: tuple[tuple[str, str], ...] = _setting(
        (), WHERE, "With --executor slurm: KEY=VALUE for sbatch, e.g. partition=gpu; may be repeated.", kind=list[str] | None
    )
    wait: bool = _setting(True, WHERE, "With --executor slurm: stay until everything is done.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address and self.executor != "ray":
            raise SpecError(f"--address {shown(self.address)} belongs to --executor ray; add that, or leave the address out.")
        if (self.slurm or not self.wait) and self.executor != "slurm":
            raise SpecError("--slurm and --no-wait belong to --executor slurm; add that, or leave them out.")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        made, found, failed: videos.
        unscored: numbers that could not be computed, each a failed record with its reason.
    """

    made: int
    found: int
    failed: int
    interrupted: bool
    unscored: int = 0

    @property
    def exit_code(self) -> int:
        return 130 if self.interrupted else 3 if self.failed or self.unscored else 0


# --- what is made of the fields ------------------------------------------------------------------------------------------


@cache
def options_of(*models: Any) -> tuple[Option, ...]:
    """The options of ``Request``, ``Options`` or both, in the order of their fields."""
    hinted = [(f, hints[f.name]) for model in models for hints in [get_type_hints(model)] for f in fields(model)]
    return tuple(_option(f, hint) for f, hint in hinted if "option" in f.metadata)


def _option(f: Field[Any], hint: Any) -> Option:
    flag = f.name.replace("_", "-")
    both = f"/--no-{flag}" if hint is bool else ""
    facts: dict[str, Any] = {"name": f.name, "kind": hint, "typed": f.default, "flags": (f"--{flag}{both}",)}
    plain = next((kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)), str)
    facts["of"] = plain
    if get_origin(hint) is tuple:
        default: Any = f.default
        item, repeated = get_args(hint)[0], "kind" in f.metadata["option"]
        read = {int: integers, str: tuple if repeated else split}.get(item, pairs_of)
        facts |= {"kind": str, "typed": None if repeated else ",".join(map(str, default)), "read": read, "many": True}
    return Option(**facts | {"default": f.default} | f.metadata["option"])


def from_words(model: type, words: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``Request`` or ``Options`` that stand among what was typed, as their values.

    Raises:
        SpecError: for words that cannot be read.
    """
    found = {}
    for option in options_of(model):
        if (word := words.get(option.name)) is not None:
            found[option.name] = option.read(word)
            if option.counted:
                option.check(word, typed=True)
    return found


def words_of(model: type, values: Mapping[str, Any]) -> list[str]:
    """Fields as they are typed, an option each; what ``from_words`` reads.

    >>> words_of(Request, {"seeds": (0, 1), "controls": False, "prompt": "a bus", "plugins": ("a.py", "b.py")})
    ['--seeds 0,1', '--no-controls', "--prompt 'a bus'", '--plugin a.py --plugin b.py']
    """
    found = []
    for option in options_of(model):
        value = values.get(option.name)
        if value in (None, "", ()) or (value is option.default and isinstance(value, bool)):
            continue
        on, _, off = option.flags[0].partition("/")
        if isinstance(value, bool):
            found.append(on if value else off)
        elif isinstance(value, list | tuple) and option.kind is not str:
            found.append(" ".join(f"{on} {shlex.quote(str(one))}" for one in value))
        else:
            found.append(f"{on} {shlex.quote(','.join(map(str, value)) if isinstance(value, list | tuple) else str(value))}")
    return found


def schema() -> dict[str, Any]:
    """JSON Schema of a ``request``, of ``options``, and of a run folder's ``config``, which says shared fields as they do."""
    from pydantic import TypeAdapter

    from fastvmt.jobs.run_config import RunConfig

    models: dict[str, Any] = {"request": Request, "options": Options, "config": RunConfig}
    parts = {name: TypeAdapter(model).json_schema(mode="serialization") for name, model in models.items()}
    for option in options_of(Request, Options):
        for part in parts.values():
            if (entry := part["properties"].get(option.name)) is not None:
                entry["description"] = option.help
                if option.known and part is not parts["config"]:
                    entry["enum"] = [*option.known, *([None] if option.default is None else [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": parts}
