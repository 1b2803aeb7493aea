"""One job to one artefact, inside a worker: seed, reference, denoise loop, frames, files."""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastvmt.artefacts.code_state import edited_method, method_code
from fastvmt.artefacts.prepared_weights import Meta, Prepared, Shelf
from fastvmt.backbones import card as cards
from fastvmt.backbones.conditions import conditions
from fastvmt.backbones.device import energy_joules, others
from fastvmt.backbones.memory import give_back
from fastvmt.backbones.wan import Backbone, TextEncoder
from fastvmt.core.content_address import digest, frames_digest, noise_seed
from fastvmt.core.sealed import sealed
from fastvmt.core.spelling import value_shown
from fastvmt.core.stages import Stages, cpu_name, peak_process_bytes, reset_peak, software
from fastvmt.denoise import denoise
from fastvmt.errors import NonFinite, WrongOutput
from fastvmt.jobs.prepared_key import prepared_key
from fastvmt.jobs.protocol import cost_of
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Frames, write_lossless, write_viewable
from fastvmt.model import Artefact, Case, Job
from fastvmt.plugins.blame import defined, in_hook
from fastvmt.plugins.labels import build, guided_window
from fastvmt.plugins.method import Context, Shape
from fastvmt.plugins.tracker import masks_of
from fastvmt.plugins.workspace import Checkpoint, Spent, Workspace
from fastvmt.runner.tensor_cache import TensorCache
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store
from fastvmt.store.layout import CACHE, FRAMES, VIDEO
from fastvmt.store.texts import encoding, identity, name_of, not_encoded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Take:
    """One sampled video: uint8 frames (T, H, W, 3), its clock, and what the hooks left."""

    frames: Frames
    stages: Stages
    ctx: Context

    @property
    def seconds(self) -> float:
        return sum(self.stages.seconds.values())


class Generator:
    """A loaded backbone and what it makes. One per worker process."""

    def __init__(self, store: Store, config: RunConfig) -> None:
        self.store, self.config = store, config
        self.cases = {c.id: c for c in config.suite.cases}
        torch.set_num_threads(config.threads)
        if config.device == "cpu":  # else gradients of indexing are summed in whatever order the threads arrive
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self.device = torch.device(config.device)
        self.cache = TensorCache(store.root / CACHE, identity(config), self.device, self._synchronise)
        stages = Stages(synchronise=self._synchronise)
        self._encoder: TextEncoder | None = None
        with stages("load"):
            self.card = cards.load(config.setting.backbone, texts=False)
            self._encode_texts(stages)
            setting = config.setting
            self.backbone = Backbone(self.card, config.device, DTYPES[setting.dtype], config.offload, setting.profile)
            self._warm_up(stages)
        self.load_seconds = stages.seconds["load"]
        self.warm: set[str] = set()

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _encode_texts(self, stages: Stages) -> None:
        """Every text of the run that nobody has encoded yet, before the model is loaded: the two are never there together."""
        if not not_encoded(self.store.root, self.config):
            return
        with stages("wait"), encoding(self.store.root), stages("load"):
            missing = not_encoded(self.store.root, self.config)
            if not missing:
                return
            encoder = self._text_encoder()
            encoder("")  # so that no text pays for first-use costs
            for text in missing:
                self._text(text, stages, encoder)
            self._encoder = encoder if self.config.offload == "none" else None
            del encoder
            give_back(self.device)

    def _text_encoder(self) -> TextEncoder:
        config = self.config
        return self._encoder or TextEncoder(self.card, config.device, DTYPES[config.setting.dtype], config.offload)

    def _warm_up(self, stages: Stages) -> None:
        """One pass at the run's size, so that no job pays for first-use costs."""
        x = torch.zeros(self._latent_shape(self.config.setting.frames), device=self.device)
        with torch.no_grad():
            self.backbone.velocity(x, 0.5, self._text("", stages))

    def _latent_shape(self, frames: int) -> tuple[int, int, int, int, int]:
        s = self.config.setting
        return self.card.latent_shape(s.width, s.height, frames)

    # --- what is shared between jobs --------------------------------------------------------------------------------

    def _text(self, prompt: str, stages: Stages, encoder: TextEncoder | None = None) -> Tensor:
        """A text's embeddings; one that was lost from the disk since is encoded again."""
        return self.cache.get(name_of(prompt), lambda: (encoder or self._text_encoder())(prompt), "text", stages)

    def _frames(self, case: Case) -> Frames:
        return self.store.reference(case.reference)

    def _reference(self, case: Case, stages: Stages) -> Tensor:
        name = f"reference:{case.reference.frames_digest}"
        return self.cache.get(name, lambda: self.backbone.encode_video(self._frames(case)), "encode", stages)

    def _noise(self, case: Case, seed: int) -> Tensor:
        """The same tensor for every method of a case and seed, drawn on the CPU so that devices agree."""
        generator = torch.Generator("cpu").manual_seed(noise_seed(seed, case.digest()))
        return torch.randn(self._latent_shape(case.reference.frames), generator=generator).to(self.device)

    # --- what training leaves ---------------------------------------------------------------------------------------

    def prepare(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> float:
        """Train what the job's method needs for its reference, unless that is there already.

        Returns:
            The seconds that training took, whoever did it; 0 for a method that trains nothing.

        Raises:
            JobError: for a loss that is not finite; anything else a method raises passes through.
        """
        prepared = self._prepared(job, tick, enter)
        return prepared.meta.spent.seconds if prepared else 0.0

    def _prepared(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> Prepared | None:
        key = prepared_key(job, self.cases[job.case_id], self.config.setting)
        if key is None:
            return None
        code = edited_method(job.method.method, job.method.params)
        return Shelf(self.store).get(key, lambda place: self._train(key, job, place, tick, enter), code)

    def _train(
        self, key: str, job: Job, place: Path, tick: Callable[[int, int], None], enter: Callable[[str], None]
    ) -> Prepared:
        case, stages = self.cases[job.case_id], Stages(listener=enter, synchronise=self._synchronise)
        reference = self._reference(case, stages)  # charged to every job by itself, as texts are
        texts = {name: self._text(prompt, stages) for name, prompt in (("null", ""), ("caption", case.caption))}
        ctx = Context(self.backbone, self.config.setting.sigmas, torch.zeros_like(reference), lambda: reference, texts, stages)
        checkpoint = Checkpoint(place, self._measure())
        workspace = Workspace(case.reference, lambda: sealed(self._frames(case)), tick, checkpoint, ctx.log)
        with torch.random.fork_rng(), stages("train"):
            torch.manual_seed(int(key[:15], 16))
            method = build(job.method)
            with in_hook("prepare"):
                tensors = method.prepare(ctx, workspace)
        at = f" ({defined(type(method).prepare)})"
        if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
            raise WrongOutput(f"prepare returned {value_shown(tensors)}, need tensors by name{at}")
        if any(not bool(torch.isfinite(t).all()) for t in tensors.values()):
            raise NonFinite(f"prepare left NaN or infinity in its weights{at}")
        meta = Meta(
            key=key, method=job.method.label, spent=checkpoint.total(), device=self._device_name(), software=software(),
            files={}, log=_plain(ctx.log), code=edited_method(job.method.method, job.method.params),
        )  # fmt: skip
        return Prepared(tensors, meta)

    # --- one job ----------------------------------------------------------------------------------------------------

    def make(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> Artefact:
        """Generate, store and publish one job's video.

        Args:
            tick: called with (step, steps).
            enter: called with the name of each stage.

        Raises:
            JobError: for NaN or a wrong shape; anything else a method raises passes through.
        """
        busy, warm_up = others(self.config.device, self.config.threads), 0.0
        prepared = self._prepared(job, tick, enter)
        if self.config.repeats and job.method.label not in self.warm:
            self.warm.add(job.method.label)
            warm_up = self._sample(job, prepared, tick, enter).seconds
        spent = self._measure()
        takes = [self._sample(job, prepared, tick, enter) for _ in range(max(1, self.config.repeats))]
        whole = spent(len(takes))
        if prepared:
            whole = prepared.meta.spent.plus(whole)
        take = takes[-1]
        if any(frames_digest(t.frames) != frames_digest(take.frames) for t in takes):
            take.ctx.log["repeats_differ"] = True  # the same job gave other pixels: said under the table
        for clock in ("seconds", "processor"):
            mine: dict[str, float] = getattr(take.stages, clock)
            for name in mine:
                mine[name] = statistics.median(getattr(t.stages, clock).get(name, 0.0) for t in takes)
        cost = {
            "repeats": tuple(round(t.seconds, 6) for t in takes) if self.config.repeats else (),
            "warm_up_seconds": round(warm_up, 6),
            "energy_joules": whole.energy_joules,
            "peak_memory_bytes": whole.peak_memory_bytes,
            "peak_reserved_bytes": whole.peak_reserved_bytes,
            "busy": busy,
            "conditions": conditions(self.config.device, self.backbone.transformer, busy, self.config.offload),
            "forward_formula": round(cost_of(job.method, self._shape()), 3),
            "shared_by": self._sharing(job),
        }
        return self._write(job, take, cost)

    def _shape(self) -> Shape:
        s = self.config.setting
        return self.card.shape(s.width, s.height, s.frames, s.sigmas)

    def _sharing(self, job: Job) -> int:
        """Jobs of this run with the same method and reference: preparation could serve them all."""
        own = self.cases[job.case_id].reference.frames_digest
        return sum(c.reference.frames_digest == own for c in self.cases.values()) * len(self.config.seeds)

    def _measure(self) -> Callable[..., Spent]:
        """Begin to measure; the function returned says what was spent since, by each of so many equal takes."""
        if cuda := self.device.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier job left cached is not this one's
            torch.cuda.reset_peak_memory_stats(self.device)
        reset_peak()
        self.backbone.forward_equivalents = 0.0
        since, energy = time.perf_counter(), energy_joules(self.config.device)

        def spent(takes: int = 1) -> Spent:
            self._synchronise()
            used = energy_joules(self.config.device)
            return Spent(
                seconds=round((time.perf_counter() - since) / takes, 6),
                forward_equivalents=round(self.backbone.forward_equivalents, 6),
                energy_joules=None if energy is None or used is None else (used - energy) / takes,
                peak_memory_bytes=torch.cuda.max_memory_allocated(self.device) if cuda else peak_process_bytes(),
                peak_reserved_bytes=torch.cuda.max_memory_reserved(self.device) if cuda else 0,
            )

        return spent

    def _sample(
        self, job: Job, prepared: Prepared | None, tick: Callable[[int, int], None], enter: Callable[[str], None]
    ) -> Take:
        """One video, from texts to frames; the same each time it is called."""
        case, setting = self.cases[job.case_id], self.config.setting
        stages = Stages(listener=enter, synchronise=self._synchronise)
        method = build(job.method)
        torch.manual_seed(job.seed)
        self.backbone.forward_equivalents = 0.0
        negative = setting.negative if case.negative is None else case.negative
        texts = {
            name: self._text(prompt, stages)
            for name, prompt in (("target", case.prompt), ("negative", negative), ("null", ""), ("caption", case.caption))
        }
        ctx = Context(
            backbone=self.backbone, sigmas=method.levels(method.params, setting.sigmas), noise=self._noise(case, job.seed),
            reference=functools.cache(lambda: self._reference(case, stages)), texts=texts, stages=stages,
            frames=lambda: sealed(self._frames(case)), masks=lambda: masks_of(case.reference),
        )  # fmt: skip
        guided = range(0)
        if window := guided_window(type(method), method.params, self._shape()):
            ctx.log["guided"] = window
            guided = range(window["steps"][0], window["steps"][1] + 1)
        if prepared is not None:
            self._charge(prepared, ctx)
        guidance = self.card.scale(setting.guidance, setting.guidance_2)
        try:
            latent = denoise(method, ctx, guidance, tick, setting.profile, guided)
        finally:
            self.backbone.cache.forget()
        with stages("decode"):
            frames = self.backbone.decode(latent)
        expected = (case.reference.frames, setting.height, setting.width, 3)
        if frames.shape != expected:
            raise WrongOutput(f"the decoded video has shape {frames.shape}, need {expected} (frames, height, width, 3)")
        if not bool(torch.isfinite(latent).all()):
            raise NonFinite("the final latent holds NaN or infinity")
        return Take(frames, stages, ctx)

    def _charge(self, prepared: Prepared, ctx: Context) -> None:
        """Hand the weights to the hooks, and the whole cost of training to the job, whoever trained."""
        ctx.prepared = {name: tensor.to(self.device, copy=True) for name, tensor in prepared.tensors.items()}
        ctx.reference()  # training has used it, so its encoding is charged where sampling does not need it too
        spent = prepared.meta.spent
        ctx.stages.seconds["train"] = spent.seconds
        self.backbone.forward_equivalents += spent.forward_equivalents
        facts = {"key": prepared.meta.key, "device": prepared.meta.device, "seconds": spent.seconds}
        ctx.log["prepared"] = facts | prepared.meta.log

    def _write(self, job: Job, take: Take, cost: dict[str, Any]) -> Artefact:
        case, setting, frames, stages = self.cases[job.case_id], self.config.setting, take.frames, take.stages
        folder = self.store.new_folder()
        fps = Fraction(case.reference.fps_num, case.reference.fps_den)
        with stages("write"):
            write_lossless(folder / FRAMES, frames, fps)
            write_viewable(folder / VIDEO, frames, fps)
        # What another job may have paid for (texts, encoding, training) has wall seconds alone.
        own = {k: v for k, v in stages.processor.items() if k in stages.seconds}
        device = self._device_name()
        versions, repeats = software(), self.config.repeats
        edited = edited_method(job.method.method, job.method.params)  # seconds of another state of the code are no record of it
        said = cost["conditions"].said()
        artefact = Artefact(
            key=job.key,
            frames_digest=frames_digest(frames),
            width=setting.width,
            height=setting.height,
            frames=len(frames),
            fps_num=fps.numerator,
            fps_den=fps.denominator,
            files={p.name: file_info(p) for p in sorted(folder.iterdir())},
            stages={k: round(v, 6) for k, v in stages.seconds.items()} | {"load": round(self.load_seconds, 6)},
            processor={k: round(v, 6) for k, v in own.items()} if self.device.type == "cpu" else {},
            forward_equivalents=round(self.backbone.forward_equivalents, 3),
            device=device,
            software=versions,
            timing_key=digest(
                [job.key, device, self.config.threads, versions, *(more for more in (repeats, edited, said) if more)]
            ),
            **cost,
            log=_plain(take.ctx.log) | {"code": method_code(job.method.method, job.method.params)},
        )
        self.store.publish(folder, job, artefact)
        return artefact

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_name()


def _plain(log: dict[str, Any]) -> dict[str, Any]:
    """As JSON can hold it.

    Raises:
        WrongOutput: for what it cannot hold.
    """
    try:
        return dict(json.loads(json.dumps(log, default=str)))
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongOutput(f"what the hooks left in ctx.log is no plain data: {error}") from error
