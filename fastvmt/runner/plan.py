"""From what the user asked to a frozen run: suite, setting, methods, jobs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fastvmt.backbones import card as cards
from fastvmt.backbones.device import has_cuda
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.content_address import digest
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.jobs.numbering import slug
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Fit, Frames
from fastvmt.model import Case, MethodSpec, Setting, Suite
from fastvmt.plugins import labels as specs
from fastvmt.plugins import metric_labels, registry
from fastvmt.plugins.method import Shape
from fastvmt.store.folder import Store
from fastvmt.suites.cases import Short, Wanted
from fastvmt.suites.format import is_suite, read_header
from fastvmt.suites.opening import Habits, habits, list_suite, open_suite

KEPT_BYTES = 256 << 20
"""Decoded references held between planning and storing; what goes beyond is decoded a second time instead."""
OPENED_BY_PLAN = 20
"""``bench plan`` opens the clips of suites up to this many; larger ones it counts."""
CONTROLS = ("none", "sdedit")
SOLVERS = ("euler",)


@dataclass(frozen=True)
class Request:
    """A run as the user words it; None means the backbone's default.

    Attributes:
        methods: labels such as ``fastvmt:no-window``; ``controls`` adds *no transfer* and *SDEdit* to them.
        metrics: labels or patterns such as ``vbench:*``; none for the backbone's own list.
        suite: registered name, folder, suite.toml or clip; ``prompt`` serves all clips of a folder.
        limit: only the first so many cases.
        root: the user's copy of a dataset; prompts: the user's own prompt file for it.
        short_clips: ``error``, ``skip`` or ``trim``; None for the suite's own habit, or an error.
        fit: ``crop``, ``stretch`` or ``pad``; see ``clips.Wanted``.
        shift, strength: of the noise grid; see ``fastvmt.backbones.noise_levels.sigma_grid``.
        device: ``auto``, ``cpu`` or ``cuda``; dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        optional: labels that are left out, and said, where this backbone makes them equal to another one or refuses them.
        ablates_presets: presets of one method are wanted side by side.
        protocol: ``matched-start``, ``as-published`` or ``matched-budget``; see ``fastvmt.jobs.protocol``.
        budget: forward-equivalents of one video under ``matched-budget``; None for the cheapest method's.
        repeats: timed repeats of every video, after a discarded one (protocol timing); 0 for none.
        threads: CPU threads of each worker; 0 means all cores. The same for any number of workers, because the order
            of sums depends on it.
    """

    methods: tuple[str, ...] = ("fastvmt", "ditflow")
    suite: str = "shapes"
    backbone: str = "tiny"
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] = ()
    controls: bool = True
    prompt: str | None = None
    limit: int = 0
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    stride: int = 1
    root: str | None = None
    prompts: str | None = None
    short_clips: str | None = None
    fit: str = "crop"
    allow_truncated: bool = False
    allow_upscale: bool = False
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    strength: float = 1.0
    solver: str = "euler"
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    offload: bool = False
    protocol: str = protocol.DEFAULT
    budget: float | None = None
    repeats: int = 0
    plugins: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    ablates_presets: bool = False


@dataclass
class Plan:
    """A resolved run.

    Attributes:
        references: decodes the clips once more, for those that ``frames`` has no room for.
        frames: references by frames digest, the first ``KEPT_BYTES`` of them, until they are stored.
        notes: clips that are left out.
        decoded: false when clips were only listed (``bench plan`` of a large suite): digests and keys are not a run's.
    """

    config: RunConfig
    card: cards.Card
    references: Callable[[], Iterator[tuple[Case, Frames]]] = field(repr=False, default=lambda: iter(()))
    frames: dict[str, Frames] = field(repr=False, default_factory=dict)
    decoded: bool = True
    notes: tuple[str, ...] = ()

    def default_folder(self) -> Path:
        """``runs/<suite>-<backbone>-<digest>``: the same request gives the same folder, which is how it resumes."""
        c = self.config
        # Threads too: they change the last bits of a sum, and one table must not mix two settings.
        identity = [
            c.suite.digest(),
            c.setting.identity(),
            [m.identity() for m in c.methods],
            list(c.seeds),
            c.threads,
            *([c.repeats] if c.repeats else []),
        ]
        backbone = c.setting.backbone
        named = Path(backbone).name if Path(backbone).is_absolute() else backbone
        return Path("runs") / f"{slug(c.suite.name)}-{slug(named)}-{digest(identity)[:8]}"

    def open_store(self, out: Path | None, hold: bool = False) -> Store:
        """Create or reopen the run folder and store the references; ``hold`` locks it first and leaves it locked."""
        from fractions import Fraction

        from fastvmt.media.files import write_lossless

        store = Store.create(out or self.default_folder(), self.config, hold)
        wanted = {c.reference.frames_digest for c in self.config.suite.cases}
        missing = {key for key in wanted if not store.reference_path(key).exists()}

        def keep(key: str, frames: Frames) -> None:
            path = store.reference_path(key)
            partial = path.with_name(f".part-{path.name}")
            write_lossless(partial, frames, Fraction(15))
            partial.replace(path)
            missing.discard(key)

        for key in sorted(missing & self.frames.keys()):
            keep(key, self.frames[key])
        for case, frames in self.references() if missing else ():
            if case.reference.frames_digest in missing:
                keep(case.reference.frames_digest, frames)
            if not missing:
                break
        return store


def resolve(request: Request, decode: bool = True, elsewhere: bool = False) -> Plan:
    """Everything that can be wrong with a request is found here, before anything is loaded or written.

    Args:
        decode: false to list a large suite's clips instead of opening them.
        elsewhere: for a GPU that is not in this machine, unless the request names the CPU.

    Raises:
        UserError: with one clear sentence (several lines when a suite has several problems).
    """
    for plugin in request.plugins:
        registry.load_plugin(plugin)
    _check_solver(request.solver)
    card = cards.load(request.backbone)
    width, height = (_or(getattr(request, k), card.defaults[k]) for k in ("width", "height"))
    frames = _or(request.frames, _or(_habits(request).frames, card.defaults["frames"]))
    card.check_size(width, height, frames)
    sigmas = sigma_grid(
        _or(request.steps, card.defaults["steps"]), _or(request.shift, card.defaults["shift"]), request.strength
    )
    _check_protocol(request)
    methods, dropped, budget = _methods(request, card, card.shape(width, height, frames, sigmas))
    if not request.ablates_presets:
        specs.refuse_mixed_presets(methods)
    if request.dtype == "float16" and not all(m.control for m in methods):
        raise SpecError("--dtype float16: gradients of a latent lie below its smallest numbers. Use bfloat16 or float32.")
    metrics, missing = metric_labels.choose(request.metrics, card.defaults["metrics"])
    if request.guidance is not None and not math.isfinite(request.guidance):
        raise SpecError(f"--guidance {request.guidance}: a finite number is needed; 1 is no guidance.")
    if request.threads < 0:
        raise SpecError(f"--threads {request.threads}: at least 1 is needed, or 0 for all cores.")
    if len(set(request.seeds)) < len(request.seeds):
        raise SpecError("--seeds names one twice; the same job is not done two times.")
    if not request.seeds:
        raise SpecError("--seeds is empty; give at least one, e.g. --seeds 0.")
    found = _suite(request, _wanted(request, width, height, frames), decode)
    device = "cuda" if elsewhere and request.device in ("auto", "cuda") else device_named(request.device)
    setting = Setting(
        backbone=card.id,
        weights_digest=cards.weights_digest(card),
        width=width,
        height=height,
        frames=frames,
        steps=len(sigmas) - 1,
        guidance=_or(request.guidance, card.defaults["guidance"]),
        sigmas=sigmas,
        dtype=("float32" if device == "cpu" else "bfloat16") if request.dtype == "auto" else request.dtype,
        negative=card.defaults["negative"],
        protocol=cast(Any, request.protocol),
        budget=budget,
    )
    config = RunConfig(
        suite=found.suite, setting=setting, methods=methods, seeds=request.seeds, metrics=metrics,
        plugins=tuple(str(Path(p).resolve()) for p in request.plugins), device=device,
        threads=request.threads or _cores(), offload=request.offload, repeats=request.repeats,
        ablates_presets=request.ablates_presets,
        notes=(*((card.note,) if card.note else ()), *missing, *found.notes, *dropped),
    )  # fmt: skip
    return Plan(config, card, found.again, found.frames, found.decoded, (*found.notes, *dropped))


def _habits(request: Request) -> Habits:
    return habits(request.suite, Path(request.root) if request.root else None)


def _registered(suite: str) -> Any:
    return registry.suites.get(suite) if suite in registry.suites.names() else None


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_named(name: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        SpecError: for another name, or for CUDA where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SpecError(f"--device {name}: use auto, cpu or cuda.")
    if name == "cpu":
        return name
    available = has_cuda()
    if name == "cuda" and not available:
        raise SpecError("--device cuda: torch sees no CUDA device here. Use --device cpu, or install a driver.")
    return "cuda" if available else "cpu"


def _check_solver(name: str) -> None:
    if name in SOLVERS:
        return
    if name in ("unipc", "dpm++", "dpmpp", "heun"):
        raise SpecError(
            f"--solver {name}: multistep solvers rebuild the current sample from their own history and so discard what a "
            "method writes into the latent between steps (UniPC keeps 6 % of an edit); every method runs on euler."
        )
    raise SpecError(f"--solver {name}: unknown; use {', '.join(SOLVERS)}.")


def _check_protocol(request: Request) -> None:
    if request.protocol not in protocol.PROTOCOLS:
        raise SpecError(f"protocol '{request.protocol}' is unknown; use {', '.join(protocol.PROTOCOLS)}.")
    if request.budget is not None and (request.protocol != protocol.BUDGET or not 0 < request.budget < math.inf):
        raise SpecError(
            f"--budget {request.budget:g}: forward-equivalents of one video, above 0, and only beside --protocol "
            f"{protocol.BUDGET}."
        )


def _methods(request: Request, card: cards.Card, shape: Shape) -> tuple[tuple[MethodSpec, ...], list[str], float | None]:
    """The request's methods, a sentence for each thing a reader has to know about them, and the budget they share."""
    labels = [label for label in dict.fromkeys(m.strip() for m in request.methods) if label]
    if not labels:
        raise SpecError("--methods is empty; `bench list methods` shows what there is.")
    if "all" in labels:
        every = [n for n in registry.methods.names() if not registry.methods.get(n).toy and n not in CONTROLS]
        labels = list(dict.fromkeys(name for label in labels for name in (every if label == "all" else [label])))
    if request.controls:
        labels = [c for c in CONTROLS if c not in labels] + labels
    resolved: list[MethodSpec] = []
    said = []
    for label in labels:
        try:
            cls = specs.parse(label)[0]
            resolved.append(specs.resolve(label, shape, card.methods, protocol.starts(cls, request.protocol)))
        except SpecError as error:
            if label not in request.optional:
                raise
            said.append(f"left out: {error}")
    budget = None
    if request.protocol == protocol.BUDGET:
        scaled, budget, takes = protocol.matched(resolved, shape, request.budget)
        resolved, said = list(scaled), [*said, *takes]
    found: dict[str, MethodSpec] = {}
    for spec in resolved:
        same = found.setdefault(digest(spec.identity()), spec)
        if same is not spec and spec.label in request.optional:
            said.append(f"left out: '{spec.label}' is the same as '{same.label}' on this backbone and size.")
        elif same is not spec:
            raise SpecError(
                f"'{spec.label}' and '{same.label}' are the same on this backbone (all parameters agree); leave one out."
            )
    said += protocol.departures(list(found.values()), request.protocol)
    return tuple(found.values()), said, budget


def _wanted(request: Request, width: int, height: int, frames: int) -> Wanted:
    if request.stride < 1:
        raise SpecError(f"--stride {request.stride}: at least 1 is needed, which takes every frame.")
    short = _or(request.short_clips, _or(_habits(request).short, "error"))
    for option, value, known in (
        ("--short-clips", short, ("error", "skip", "trim")), ("--fit", request.fit, ("crop", "stretch", "pad")),
    ):  # fmt: skip
        if value not in known:
            raise SpecError(f"{option} {value}: use {', '.join(known)}.")
    return Wanted(
        width, height, frames, request.stride, root=Path(request.root) if request.root else None,
        prompts=Path(request.prompts) if request.prompts else None, short=cast(Short, short),
        fit=cast(Fit, request.fit), truncated=request.allow_truncated, upscale=request.allow_upscale,
    )  # fmt: skip


def _suite_name(request: Request) -> str:
    """What a suite is called, however its folder is named on the command line; the id where its header has one."""
    own = request.root if request.root and hasattr(_registered(request.suite), "path") else request.suite
    if own in registry.suites.names():
        return own
    path = Path(own).resolve()
    if is_suite(path):
        return read_header(path)[0].id
    inside = path.is_file() and path.name in ("suite.toml", "manifest.json")
    return slug((path.parent if inside else path).name) or "suite"


@dataclass
class _Found:
    suite: Suite
    again: Callable[[], Iterator[tuple[Case, Frames]]]
    frames: dict[str, Frames]
    decoded: bool
    notes: tuple[str, ...]


def _suite(request: Request, wanted: Wanted, decode: bool) -> _Found:
    """Cases, with as many references in memory as ``KEPT_BYTES`` allow."""
    again = lambda: open_suite(request.suite, wanted, request.prompt)  # noqa: E731
    skipped: list[str] = []
    most = sys.maxsize if decode else OPENED_BY_PLAN
    source, decoded = list_suite(request.suite, wanted, request.prompt, skipped, most)
    cases: list[Case] = []
    ids: set[str] = set()
    kept: dict[str, Frames] = {}
    room = KEPT_BYTES
    for case, frames in source:
        if request.limit and len(cases) == request.limit:
            break
        if case.id in ids:
            raise SpecError(f"{request.suite}: two cases are called '{case.id}'; rename one clip.")
        ids.add(case.id)
        cases.append(case)
        if frames is not None and case.reference.frames_digest not in kept and frames.nbytes <= room:
            kept[case.reference.frames_digest] = frames
            room -= frames.nbytes
    if not cases:
        raise SpecError(f"{request.suite}: no clip is left ({'; '.join(skipped) or 'it names none'}).")
    notes = tuple(f"left out: {s.split('. Use')[0]}" for s in skipped)
    return _Found(Suite(name=_suite_name(request), cases=tuple(cases)), again, kept, decoded, notes)
