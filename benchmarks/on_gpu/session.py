"""What the parts of a session share: sizes, the loaded model, contexts and methods on it, calls timed in turns, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from on_gpu.device import Device
from torch import Tensor

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone, encoded
from fastvmt.core.disk.atomic import publish_folder
from fastvmt.core.stages import Stages
from fastvmt.denoise import denoise
from fastvmt.model import MethodSpec
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method, Shape
from fastvmt.testing.wan import CAPTION, TARGET, random_wan

Row = dict[str, Any]
Named = Iterator[tuple[str, Row]]


class OutOfTime(BaseException):
    """The part's time is up. No ``Exception``: what a part makes of its own failures must not take it for one."""


@dataclass(frozen=True)
class Scale:
    """Sizes of one session.

    Attributes:
        width, height: px.
        long, short: frames of the two lengths.
        long_steps, short_steps: denoise steps of whole videos; a fifth of them is guided, as of fifty.
        runs: rounds of short calls.
        layout: of the random weights, see ``random_wan``.
        compiler: torch.compile's backend; ``eager`` traces and compiles nothing.
        patience: how often a part's seconds it may take; a toy's numbers are none, and its machine may be busy.
    """

    width: int
    height: int
    long: int
    short: int
    long_steps: int
    short_steps: int
    runs: int
    dtype: torch.dtype
    layout: dict[str, Any]
    compiler: str = "inductor"
    patience: int = 1

    def words(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return (
            f"width {self.width}, height {self.height} px, {kind}; long: {self.long} frames, {self.long_steps} steps; short: "
            f"{self.short} frames, {self.short_steps} steps; a fifth of the steps is guided; random weights"
        )


REAL = Scale(
    832, 480, 81, 33, 10, 25, 3, torch.bfloat16,
    {"blocks": 30, "heads": 12, "head_dim": 128, "ffn": 8960, "text_dim": 4096, "freq_dim": 256, "vae": {}, "words": 512,
     "text": {"vocab_size": 256384, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}},
)  # fmt: skip
"""Wan2.1-T2V-1.3B as on its hub page, but for the words of the tokenizer and files in bfloat16."""
TOY = Scale(
    128, 96, 17, 13, 5, 5, 1, torch.float32, {"vae": {"base_dim": 4, "num_res_blocks": 1}, "words": 24}, "eager", patience=10
)
"""The same shapes of modules, a few kilobytes large: 5 latent frames of 6 rows and 8 columns of tokens."""


class Session:
    """One device, one folder of random weights, and what is loaded of it."""

    def __init__(self, device: Device, scale: Scale, folder: Path) -> None:
        self.device, self.scale, self.folder = device, scale, folder
        self.ends = float("inf")

    # --- the model --------------------------------------------------------------------------------------------------

    def write_folder(self) -> None:
        """Random weights, made on the device and written whole or not at all."""
        if self.folder.is_dir():
            return
        making = self.folder.with_name(f"{self.folder.name}.part-{time.time_ns()}")
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.scale.dtype)
        try:
            with torch.device(self.device.kind):
                random_wan(making, **self.scale.layout)
        finally:
            torch.set_default_dtype(before)
        publish_folder(making, self.folder)

    def unload(self) -> None:
        """Let go of the model, so that what comes next is alone on the device."""
        self.__dict__.pop("backbone", None)
        self.device.collect()

    @cached_property
    def card(self) -> cards.Card:
        self.write_folder()
        return cards.load(str(self.folder))

    @cached_property
    def backbone(self) -> Backbone:
        return Backbone(self.card, self.device.kind, self.scale.dtype)

    def encode_texts(self) -> dict[str, Tensor]:
        """As a run does: the encoder is loaded, asked, and gone again."""
        said = {"target": TARGET, "negative": "", "null": "", "caption": CAPTION}
        found = encoded(self.card, self.device.kind, self.scale.dtype, said.values())
        return {name: found[text] for name, text in said.items()}

    @cached_property
    def texts(self) -> dict[str, Tensor]:
        return self.encode_texts()

    def noise(self, frames: int, seed: int = 0) -> Tensor:
        """A latent of noise at this length, the same on every device."""
        shape = self.card.latent_shape(self.scale.width, self.scale.height, frames)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device.kind)

    def context(self, frames: int, steps: int) -> Context:
        """A job's context whose reference is noise: what it shows changes no time."""
        reference, stages = self.noise(frames, 1), Stages(synchronise=self.device.synchronise)
        return Context(self.backbone, sigma_grid(steps, 3.0), self.noise(frames), lambda: reference, self.texts, stages)

    def shape(self, frames: int, steps: int) -> Shape:
        return self.card.shape(self.scale.width, self.scale.height, frames, sigma_grid(steps, 3.0))

    def spec(self, label: str, frames: int, steps: int) -> MethodSpec:
        return labels.resolve(label, self.shape(frames, steps), {})

    def method(self, label: str, frames: int, steps: int) -> Method:
        return labels.build(self.spec(label, frames, steps))

    def velocity(self, frames: int) -> Tensor:
        """One sampling pass."""
        with torch.no_grad():
            return self.backbone.velocity(self.noise(frames), 0.9, self.texts["target"])

    def guided_step(self, method: Method, frames: int, steps: int) -> Tensor:
        """The first guided step of a job, its reference's descriptors included."""
        ctx = self.context(frames, steps)
        return method.adjust(ctx, 0, ctx.noise)

    def video(self, method: Method, frames: int, steps: int) -> Row:
        """The denoise loop of one video: seconds by stage, its passes, the latent's size (which no fault leaves as it is)."""
        ctx, before = self.context(frames, steps), self.backbone.forward_equivalents
        latent = denoise(method, ctx, 5.0)
        return {"stages": {name: round(s, 4) for name, s in ctx.stages.seconds.items()}, "spread": float(latent.std()),
                "passes": round(self.backbone.forward_equivalents - before, 3)}  # fmt: skip

    # --- the clock --------------------------------------------------------------------------------------------------

    def left(self) -> float:
        """Seconds that the part under way still has."""
        return self.ends - time.monotonic()

    def turns(self, calls: dict[str, Callable[[], object]], runs: int, warm: Callable[[], object] | None = None) -> Named:
        """Time calls in turns, round after round, as long as another round fits; each call's rows so far after each round.

        Args:
            warm: called once before, in place of a first round that is not counted.
        """
        rows: dict[str, Row] = {name: {"seconds": []} for name in calls}
        if warm is not None:
            warm()
        for n in range(runs if warm is not None else runs + 1):
            began = time.monotonic()
            for name, call in calls.items():
                self.device.reset_peak()
                seconds, found = self.device.seconds(call)
                if warm is None and n == 0:
                    rows[name]["first"] = seconds
                    continue
                rows[name]["seconds"].append(seconds)
                rows[name]["peak"] = self.device.peaks()
                for key, value in (found if isinstance(found, dict) else {}).items():
                    rows[name].setdefault(key, []).append(value)
            if any(row["seconds"] for row in rows.values()):
                yield from rows.items()
                if self.left() < 1.3 * (time.monotonic() - began):
                    return


@contextmanager
def as_row(row: Row) -> Iterator[None]:
    """What is tried and may not be there on this machine: its failure is its row."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - of any library, and each is one row's end and no more
        row["failed"] = first_line(error)


def first_line(error: BaseException) -> str:
    """Kind and first words of an error."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0][:200]}" if words else type(error).__name__


def difference(found: Tensor, wanted: Tensor) -> Row:
    """How far apart: the largest difference over the largest number, its norm over the norm, the cosine."""
    a, b = found.double().flatten(), wanted.double().flatten()
    apart = a - b
    return {
        "largest": float(apart.abs().max() / b.abs().max()), "norm": float(apart.norm() / b.norm()),
        "cosine": float(a @ b / (a.norm() * b.norm())),
    }  # fmt: skip
