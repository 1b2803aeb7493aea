"""From what the user asked to a frozen run: suite, setting, methods, jobs; and what it would take."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastvmt import card as cards
from fastvmt import metric_specs, registry, specs
from fastvmt.errors import SpecError
from fastvmt.keys import digest
from fastvmt.model import Case, MethodSpec, Setting, Suite
from fastvmt.sigmas import sigma_grid
from fastvmt.store import RunConfig, Store, slug
from fastvmt.suites import Wanted, open_suite
from fastvmt.video import Frames

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
        shift, strength: of the noise grid; see ``fastvmt.sigmas.sigma_grid``.
        device: ``auto``, ``cpu`` or ``cuda``; dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
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
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    strength: float = 1.0
    solver: str = "euler"
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    offload: bool = False
    repeats: int = 0
    plugins: tuple[str, ...] = ()


@dataclass
class Plan:
    """A resolved run. ``frames`` holds the references by frames digest until they are stored."""

    config: RunConfig
    card: cards.Card
    frames: dict[str, Frames] = field(repr=False, default_factory=dict)

    def default_folder(self) -> Path:
        """``runs/<suite>-<backbone>-<digest>``: the same request gives the same folder, which is how it resumes."""
        c = self.config
        # Threads too: they change the last bits of a sum, and one table must not mix two settings.
        identity = [
            c.suite.digest(),
            c.setting.model_dump(mode="json"),
            [m.identity() for m in c.methods],
            list(c.seeds),
            c.threads,
            *([c.repeats] if c.repeats else []),
        ]
        return Path("runs") / f"{slug(c.suite.name)}-{slug(c.setting.backbone)}-{digest(identity)[:8]}"

    def open_store(self, out: Path | None) -> Store:
        """Create or reopen the run folder and store the references."""
        from fractions import Fraction

        from fastvmt.video import write_lossless

        store = Store.create(out or self.default_folder(), self.config)
        for key, frames in self.frames.items():
            path = store.reference_path(key)
            if not path.exists():
                partial = path.with_name(f".part-{path.name}")
                write_lossless(partial, frames, Fraction(15))
                partial.replace(path)
        return store


def resolve(request: Request) -> Plan:
    """Everything that can be wrong with a request is found here, before anything is loaded or written.

    Raises:
        UserError: with one clear sentence (several lines when a suite has several problems).
    """
    for plugin in request.plugins:
        registry.load_plugin(plugin)
    _check_solver(request.solver)
    card = cards.load(request.backbone)
    width, height, frames = (_or(getattr(request, k), card.defaults[k]) for k in ("width", "height", "frames"))
    card.check_size(width, height, frames)
    sigmas = sigma_grid(
        _or(request.steps, card.defaults["steps"]), _or(request.shift, card.defaults["shift"]), request.strength
    )
    methods = _methods(request, card, width, height, frames, sigmas)
    metrics, missing = metric_specs.choose(request.metrics, card.defaults["metrics"])
    if not request.seeds:
        raise SpecError("--seeds is empty; give at least one, e.g. --seeds 0.")
    suite, references = _suite(request, Wanted(width, height, frames, request.stride))
    device = _device(request.device)
    setting = Setting(
        backbone=request.backbone,
        weights_digest=cards.weights_digest(card),
        width=width,
        height=height,
        frames=frames,
        steps=len(sigmas) - 1,
        guidance=_or(request.guidance, card.defaults["guidance"]),
        sigmas=sigmas,
        dtype=("float32" if device == "cpu" else "bfloat16") if request.dtype == "auto" else request.dtype,
        negative=card.defaults["negative"],
    )
    config = RunConfig(
        suite=suite, setting=setting, methods=methods, seeds=request.seeds, metrics=metrics,
        plugins=tuple(str(Path(p).resolve()) for p in request.plugins), device=device,
        threads=request.threads or _cores(), offload=request.offload, repeats=request.repeats,
        notes=(*((card.note,) if card.note else ()), *missing),
    )  # fmt: skip
    return Plan(config, card, references)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise SpecError(f"--device {name}: use auto, cpu or cuda.")
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
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


def _methods(
    request: Request, card: cards.Card, width: int, height: int, frames: int, sigmas: tuple[float, ...]
) -> tuple[MethodSpec, ...]:
    labels = [label for label in dict.fromkeys(m.strip() for m in request.methods) if label]
    if not labels:
        raise SpecError("--methods is empty; `bench list methods` shows what there is.")
    if request.controls:
        labels = [c for c in CONTROLS if c not in labels] + labels
    shape = card.shape(width, height, frames, sigmas)
    found = [specs.resolve(label, shape, card.methods) for label in labels]
    seen: dict[str, str] = {}
    for spec in found:
        key = digest(spec.identity())
        if key in seen:
            raise SpecError(
                f"'{spec.label}' and '{seen[key]}' are the same on this backbone (all parameters agree); leave one out."
            )
        seen[key] = spec.label
    return tuple(found)


def _suite(request: Request, wanted: Wanted) -> tuple[Suite, dict[str, Frames]]:
    cases: list[Case] = []
    references: dict[str, Frames] = {}
    for case, frames in open_suite(request.suite, wanted, request.prompt):
        if request.limit and len(cases) == request.limit:
            break
        if any(c.id == case.id for c in cases):
            near = difflib.get_close_matches(case.id, [c.id for c in cases], 1, 0)
            raise SpecError(f"{request.suite}: two cases are called '{case.id}' ({', '.join(near)}); rename one clip.")
        cases.append(case)
        references[case.reference.frames_digest] = frames
    name = request.suite if request.suite in registry.suites.names() else slug(Path(request.suite).resolve().name)
    return Suite(name=name, cases=tuple(cases)), references


@dataclass(frozen=True)
class Estimate:
    """What a run would take; seconds are measured where this folder or its siblings hold timings, else None."""

    jobs: int
    done: int
    seconds: float | None
    seconds_basis: str
    memory_bytes: int
    disk_bytes: int
    fetch: str
    forward_equivalents: dict[str, float]


def estimate(plan: Plan, store: Store | None) -> Estimate:
    """Count jobs and what is already there, and estimate seconds, memory and disk for the rest."""
    config, card = plan.config, plan.card
    jobs = config.jobs()
    done = {job.key: store.artefact(job) for job in jobs} if store else {}
    finished = {k: a for k, a in done.items() if a}
    shape = card.shape(config.setting.width, config.setting.height, config.setting.frames, config.setting.sigmas)
    cost = {}
    for spec in config.methods:
        cls = registry.methods.get(spec.method)
        cost[spec.label] = round(float(cls.cost(cls.Params.model_validate(spec.params), shape)), 1)
    measured = [(sum(a.stages.values()) - a.stages.get("load", 0), a.forward_equivalents) for a in finished.values()]
    left = sum(cost[j.method.label] for j in jobs if j.key not in finished)
    seconds, basis = None, "unknown: no timings of this run on this machine yet"
    if measured and sum(f for _, f in measured):
        seconds = left * sum(s for s, _ in measured) / sum(f for _, f in measured)
        basis = f"from {len(measured)} measured videos of this run"
    pixels = config.setting.width * config.setting.height * config.setting.frames * 3
    size = 2 if config.setting.dtype != "float32" else 4
    f, h, w = shape.grid
    activations = f * h * w * card.heads * card.head_dim * size * 22 * (card.blocks // 2 + 1)
    missing = card.folder is None
    return Estimate(
        jobs=len(jobs),
        done=len(finished),
        seconds=seconds,
        seconds_basis=basis,
        memory_bytes=int(card.parameters * size + activations),
        disk_bytes=int(pixels * 0.6 * (len(jobs) - len(finished))),
        fetch=f"{card.download_gb:.1f} GB: hf download {card.hub}" if missing else "",
        forward_equivalents=cost,
    )
