"""From what the user asked to a frozen run: suite, setting, methods, jobs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from fastvmt.backbones import card as cards
from fastvmt.backbones.device import cores, has_cuda
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.choices import one_of
from fastvmt.core.content_address import digest
from fastvmt.errors import SpecError
from fastvmt.estimates.advice import chosen_offload
from fastvmt.estimates.memory import device_bytes, need, threads_when_unsaid
from fastvmt.jobs.numbering import slug
from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.media.files import Fit, Frames, write_lossless
from fastvmt.model import Setting
from fastvmt.plugins import metric_labels, registry
from fastvmt.plugins.labels import guided_window, in_words
from fastvmt.runner.code import open_run
from fastvmt.runner.plan.cases import Listed, cases_of
from fastvmt.runner.plan.methods import chosen_methods
from fastvmt.runner.plan.profile import profile_of
from fastvmt.runner.settings import Request
from fastvmt.store import layout
from fastvmt.store.folder import Store
from fastvmt.suites.cases import Short, Wanted
from fastvmt.suites.opening import habits

MOST_JOBS = 1_000_000
"""Videos of one run; each costs a look when it is resumed."""


@dataclass
class Plan:
    """A resolved run.

    Attributes:
        listed: its cases; those of a large suite that ``bench plan`` only listed have digests and keys that are not a run's.
        notes: clips and methods that are left out.
        warnings: what has to be known of the results before they are made.
    """

    config: RunConfig
    card: cards.Card
    listed: Listed = field(repr=False)
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def guided(self) -> dict[str, dict[str, Any]]:
        """By label, the steps in which a method guides and their noise levels."""
        s = self.config.setting
        shape = self.card.shape(s.width, s.height, s.frames, s.sigmas)
        found = {m.label: (registry.methods.get(m.method), m.params) for m in self.config.methods}
        windows = {k: guided_window(cls, cls.Params.model_validate(p), shape) for k, (cls, p) in found.items()}
        return {label: window for label, window in windows.items() if window}

    def default_folder(self) -> Path:
        """``runs/<suite>-<backbone>-<digest>``: the same request gives the same folder, which is how it resumes."""
        return self._default_folder

    @cached_property
    def _default_folder(self) -> Path:
        c = self.config
        # Threads too: they change the last bits of a sum, and one table must not mix two settings.
        identity = [c.suite.digest(), c.setting.identity(), [m.identity() for m in c.methods], list(c.seeds), c.threads]
        identity += [c.repeats] if c.repeats else []
        return Path("runs") / f"{slug(c.suite.name)}-{slug(c.setting.called)}-{digest(identity)[:8]}"

    def open_store(self, out: Path | None, hold: bool = False) -> Store:
        """Create or reopen the run folder and store the references; ``hold`` locks it first and leaves it locked."""
        folder = out or self.default_folder()
        store = Store.create(folder, _with_plugins_of(folder, self.config), hold)
        wanted = {c.reference.frames_digest for c in self.config.suite.cases}
        missing = {key for key in wanted if not store.reference_path(key).exists()}

        def keep(key: str, frames: Frames) -> None:
            path = store.reference_path(key)
            partial = path.with_name(f".part-{path.name}")
            write_lossless(partial, frames, Fraction(15))
            partial.replace(path)
            missing.discard(key)

        for key in sorted(missing & self.listed.frames.keys()):
            keep(key, self.listed.frames[key])
        for case, frames in self.listed.again() if missing else ():
            if case.reference.frames_digest in missing:
                keep(case.reference.frames_digest, frames)
            if not missing:
                break
        return store


def resolve(request: Request, decode: bool = True, elsewhere: bool = False, memory: int = 0) -> Plan:
    """Everything that can be wrong with a request is found here, before anything is loaded or written.

    Args:
        decode: false to list a large suite's clips instead of opening them.
        elsewhere: for a GPU that is not in this machine, unless the request names the CPU.
        memory: bytes of that GPU; 0 where nobody knows them.

    Raises:
        UserError: with one clear sentence (several lines when a suite has several problems).
    """
    for plugin in request.plugins:
        registry.load_plugin(plugin)
    card = cards.load(request.backbone)
    habit = habits(request.suite, _path(request.root))
    width, height, frames, steps, shift, guidance, second = _size_and_grid(request, card, habit.frames)
    card.check_size(width, height, frames)
    sigmas = sigma_grid(steps, shift, request.strength)
    methods, dropped, budget = chosen_methods(request, card, card.shape(width, height, frames, sigmas))
    own = card.defaults["metrics"]
    metrics, missing = metric_labels.choose(request.metrics, (*own, *registry.defined_in("metrics", request.plugins)), own)
    found = cases_of(request, Wanted(
        width, height, frames, request.stride, root=_path(request.root), prompts=_path(request.prompts),
        short=cast(Short, _or(request.short_clips, _or(habit.short, "error"))), fit=cast(Fit, request.fit),
        truncated=request.allow_truncated, upscale=request.allow_upscale, cases=request.cases,
    ), decode)  # fmt: skip
    if (videos := len(methods) * len(found.suite.cases) * len(request.seeds)) > MOST_JOBS:
        raise SpecError(
            f"{videos:,} videos (methods x cases x seeds) are more than the {MOST_JOBS:,} of one run: use --limit, fewer "
            "--seeds, or several runs."
        )
    warnings = tuple(filter(None, [card.said_of(c.reference.source for c in found.suite.cases)]))
    device = "cuda" if elsewhere and request.device in ("auto", "cuda") else device_named(request.device)
    dtype = ("float32" if device == "cpu" else "bfloat16") if request.dtype == "auto" else request.dtype
    profile = profile_of(request, card, methods, sigmas, dtype, "" if elsewhere else device)
    same = {name: getattr(request, name) for name in ("seeds", "repeats", "ablates_presets")}
    with in_words("This run"):
        setting = Setting(
            backbone=card.id, weights_digest=cards.weights_digest(card), width=width, height=height, frames=frames,
            steps=len(sigmas) - 1, guidance=guidance, guidance_2=second, sigmas=sigmas, dtype=dtype,
            negative=card.defaults["negative"], protocol=cast(Any, request.protocol), budget=budget, profile=profile,
        )  # fmt: skip
        config = RunConfig(
            suite=found.suite, setting=setting, methods=methods, metrics=metrics, device=device, **same,
            plugins=tuple(str(Path(p).resolve()) for p in request.plugins),
            asked=_asked(request), caveat=warnings[0] if warnings else card.caveat,
            notes=(*warnings, *((card.note,) if card.note else ()), *missing, *found.notes, *dropped),
        )  # fmt: skip
    config, chosen = _placed(config, card, request.offload, memory if elsewhere else None)
    if profile.compile and config.offload == "block":
        raise SpecError("--compile does not go with --offload block: blocks that come in turn are not compiled. Leave one out.")
    cautions = [metric_labels.build(label).caution(found.suite.cases) for label in metrics]
    sped_up = "forward passes and seconds of a plan are those without the profile's cache and cfg-interval."
    fewer = sped_up if profile.cache or profile.cfg_interval else ""
    said = (*warnings, *filter(None, (*cautions, chosen, fewer)))
    return Plan(_with_threads(config, card, request.threads), card, found, (*found.notes, *dropped), said)


def _placed(config: RunConfig, card: cards.Card, wanted: str, memory: int | None) -> tuple[RunConfig, str]:
    """The run with what leaves the device between uses, and the sentence about that where it was chosen here.

    Args:
        memory: bytes of another machine's GPU, 0 where nobody knows them; None for this machine's.
    """
    if wanted != "auto":
        return config.model_copy(update={"offload": wanted}), ""
    if config.device == "cpu" or (memory is None and card.folder is None):
        return config, ""
    capacity = device_bytes("cuda") if memory is None else memory
    offload, why = chosen_offload(config, card, capacity)
    return config.model_copy(update={"offload": offload}), why


def _with_threads(config: RunConfig, card: cards.Card, wanted: int) -> RunConfig:
    """All cores for timed repeats, which are one after another."""
    s = config.setting
    how: dict[str, Any] = {"offload": config.offload, "device": config.device, "cache": s.profile.cache}
    size = need(card, s.width, s.height, s.frames, s.dtype, config.methods, **how)
    unsaid = cores() if config.repeats else threads_when_unsaid(config.device, size.least)
    return config.model_copy(update={"threads": wanted or unsaid})


def _with_plugins_of(folder: Path, config: RunConfig) -> RunConfig:
    """The configuration with the plug-ins of the run that it is added to, as far as the user ever gave them."""
    if not layout.is_run(folder):
        return config
    _, before = open_run(folder, config.plugins)
    return config.model_copy(update={"plugins": tuple(dict.fromkeys([*before.plugins, *config.plugins]))})


def _asked(request: Request) -> Asked:
    """What a configuration does not say itself of the request that it came from; paths are absolute."""
    found = {name: getattr(request, name) for name in Asked.model_fields if hasattr(request, name) and name != "command"}
    paths = {"root", "prompts"} if request.suite in registry.suites.names() else {"suite", "root", "prompts"}
    found |= {name: str(Path(found[name]).resolve()) for name in paths if found[name]}
    command, *words = request.command
    return Asked(**found, some=bool(request.cases or request.limit), command=cast(Any, command), words=tuple(words))


def _size_and_grid(request: Request, card: cards.Card, habitual: int | None) -> tuple[Any, ...]:
    """Width, height, frames, steps, shift and both scales of guidance: as asked, else the suite's, else the backbone's.

    Raises:
        SpecError: where those of a backbone's folder cannot be.
    """
    names = ("width", "height", "frames", "steps", "shift")
    found = {k: _or(getattr(request, k), _or(habitual if k == "frames" else None, card.defaults[k])) for k in names}
    found |= zip(("guidance", "guidance_2"), card.scales(request.guidance, request.guidance_2), strict=True)
    try:
        replace(request, **found)  # its values are checked as if they had been typed
    except SpecError as error:
        raise SpecError(f"The defaults of backbone '{card.id}' or suite '{request.suite}': {error}") from None
    return tuple(found.values())


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def device_named(name: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        SpecError: for another name, or for CUDA where there is none.
    """
    one_of("--device", name, ("auto", "cpu", "cuda"))
    if name == "cpu":
        return name
    available = has_cuda()
    if name == "cuda" and not available:
        raise SpecError("--device cuda: torch sees no CUDA device here. Use --device cpu, or install a driver.")
    return "cuda" if available else "cpu"
