"""A few seconds of measuring: one block of a run's backbone on the run's device, at its token count, and a slice of the VAE.

Where the real token count takes too long, or more memory than there is, the largest smaller video is timed.
What was measured is kept in the user's cache, a small file for each device class, backbone and size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field

from fastvmt.backbones.card import Card
from fastvmt.backbones.device import others
from fastvmt.backbones.one_block import Coding, OneBlock, layout_of, operations
from fastvmt.backbones.token_grid import GRADIENT_COST, kept_activations
from fastvmt.core.caches import place
from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import plain_file, write_atomic
from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import shown
from fastvmt.errors import UserError
from fastvmt.estimates.memory import device_bytes, need
from fastvmt.estimates.seconds import device_class
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model.fields import Amount, Line, Size

SECONDS = 6.0
"""About what timing the block may take, and half of it the VAE; building them is apart."""
LONGEST = 1e6
"""s, of one pass through a block."""
SHARES = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""Parts of the picture that are tried, one after another, before the whole."""
REPEATS = 5
FREE = 0.5
"""Of the device's memory: what a block may take with all it keeps for its gradient."""


class Calibration(BaseModel):
    """What was measured, as it is kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: Line
    """Its class; see ``seconds.device_class``."""
    layout: Line
    """Digest of what decides the backbone's seconds."""
    software: Line
    width: Size
    height: Size
    frames: Size
    tokens: Size
    """In one video of the size that was timed; those of the wanted size, where that could be."""
    parameters: Size
    """Of one block."""
    text_tokens: Size
    block: float = Field(gt=0, le=LONGEST)
    """Seconds of one forward pass through it."""
    slope: Amount
    """Seconds an operation between this size and the next smaller one, which has no part in what every pass takes."""
    rest: Amount
    """Seconds of a pass outside all blocks."""
    gradient: float = Field(gt=0, le=LONGEST)
    """A pass and its way back, in passes."""
    spread: Amount
    """Median relative residual of the forward passes."""
    pixels: Size
    """Of the slice of the VAE."""
    encode: tuple[Amount, Amount]
    decode: tuple[Amount, Amount]
    """Seconds a pixel: of the first frame, of each latent frame behind it."""
    busy: Line = ""
    """Who else used the device."""
    made: Amount
    """When, s since 1970."""
    took: Amount
    """s."""

    def operations(self, tokens: int, card: Card) -> float:
        """Floating-point operations of one forward pass through the block."""
        return operations(self.parameters, tokens, self.text_tokens, card)

    def grows(self, config: RunConfig, card: Card) -> float:
        """Operations of a block in a run over those in what was timed."""
        s = config.setting
        return self.operations(tokens_of(card, s.width, s.height, s.frames), card) / self.operations(self.tokens, card)

    def outside(self, config: RunConfig, card: Card) -> float:
        """How many times the run's block is larger or smaller than what was timed."""
        return max(ratio := self.grows(config, card), 1 / ratio)


def calibrate(config: RunConfig, card: Card) -> Calibration:
    """Measure on this machine, and keep it.

    Raises:
        UserError: where not even a small video of one block fits the device, its configs say nothing that can be built, or the
            cache cannot be written.
    """
    s, began, busy = config.setting, time.perf_counter(), others(config.device, config.threads)
    try:
        with _alone(config.threads):
            doing("timing one block")
            one = OneBlock(card, config.device, s.dtype, config.threads, s.profile)
            size, tries, before = _timed(one, config)
            doing("timing a slice of the VAE")
            each = need(card, s.width, s.height, s.frames, s.dtype, (), device=config.device).decode / (s.width * s.height)
            most = int(FREE * device_bytes(config.device) / each)
            coding = one.coding(s.width, s.height, SECONDS / 2, most) if one.layout.vae else Coding()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # torch's own lack of memory is one
        raise UserError(
            f"--calibrate: one block of {card.id} cannot be built and timed here ({type(error).__name__}: "
            f"{shown(error, 200)}). Leave --calibrate out, or choose a smaller size."
        ) from None
    middle, tokens = median(block for (block, _), _ in tries), tokens_of(card, *size, s.frames)
    work, smaller = one.operations(tokens), before[0]
    slope = (middle - before[1]) / (work - smaller) if work > smaller else 0.0
    found = Calibration(
        device=device_class(config), layout=_layout(card), software=_software(), width=s.width, height=s.height,
        frames=s.frames, tokens=tokens, parameters=one.parameters,
        text_tokens=one.layout.text_tokens, block=middle, slope=max(0.0, slope),
        rest=max(0.0, median(rest for (_, rest), _ in tries)), gradient=median(back / sum(there) for there, back in tries),
        spread=median(abs(block / middle - 1) for (block, _), _ in tries), pixels=coding.pixels, encode=coding.encode,
        decode=coding.decode, busy=busy, made=time.time(), took=round(time.perf_counter() - began, 1),
    )  # fmt: skip
    name = digest([found.device, found.layout, found.software, found.width, found.height, found.frames])[:16]
    try:
        home().mkdir(parents=True, exist_ok=True)
        write_atomic(home() / f"{name}.json", found.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"--calibrate: {home()} cannot be written ({error.strerror}); set FASTVMT_CALIBRATIONS to a folder that can."
        ) from None
    return found


@contextmanager
def _alone(threads: int) -> Iterator[None]:
    """As a worker of the run has torch, and then as it was."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


Try = tuple[tuple[float, float], float]
"""Seconds in the block and in the rest of one pass, and those of a pass with its way back."""


def _timed(one: OneBlock, config: RunConfig) -> tuple[tuple[int, int], list[Try], tuple[float, float]]:
    """The largest size (px) that fits the time and the memory, what was timed there, and a block's operations and seconds at
    the size before."""
    from fastvmt.backbones.memory import free_bytes

    s, card, width = config.setting, one.card, one.card.heads * one.card.head_dim
    one.operations(1)  # builds the block, before the clock runs
    room, end = FREE * free_bytes(one.device), one.now() + SECONDS
    size, last, seconds, block, before = (0, 0), 0.0, 0.0, 0.0, (0.0, 0.0)
    for share in SHARES:
        next_size = _part(s.width, share, card.multiple), _part(s.height, share, card.multiple)
        tokens = tokens_of(card, *next_size, s.frames)
        work = one.operations(tokens)
        grown = seconds * work / last if last else 0.0
        if last and (kept_activations(tokens, width, 4, 1) > room or grown * (3 + GRADIENT_COST) > end - one.now()):
            break
        x = one.latent(*next_size, s.frames)
        one.forward(x)  # what is only slow once is nobody's
        before = (last, block) if work > last else before
        (block, rest), size, last = one.forward(x), next_size, work
        seconds = block + rest
    tries: list[Try] = []
    while not tries or (len(tries) < REPEATS and one.now() < end):
        if not tries and seconds < SECONDS / 20:
            one.gradient(x)
        tries.append((one.forward(x), one.gradient(x)))
    return size, tries, before


def _part(pixels: int, share: float, step: int) -> int:
    return max(step, round(pixels * share**0.5 / step) * step)


def tokens_of(card: Card, width: int, height: int, frames: int) -> int:
    """Of a video of this size (px)."""
    f, h, w = card.shape(width, height, frames, ()).grid
    return f * h * w


def _layout(card: Card) -> str:
    return digest(layout_of(card).facts())[:16]


def _software() -> str:
    """What decides a block's seconds beside the machine."""
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers"))


# --- what is kept ----------------------------------------------------------------------------------------------------------


def home() -> Path:
    """Where calibrations are."""
    return place("FASTVMT_CALIBRATIONS", "~/.cache/fastvmt/calibrations")


def known(config: RunConfig, card: Card) -> Calibration | None:
    """The calibration of this device class and backbone whose size is nearest, the newest of those; None without one."""
    with suppress(OSError, KeyError, TypeError, ValueError):
        mine = device_class(config), _layout(card), _software()
        found = [c for path in home().glob("*.json") if (c := _read(path)) and (c.device, c.layout, c.software) == mine]
        return min(found, key=lambda c: (c.outside(config, card), -c.made), default=None)
    return None


def _read(path: Path) -> Calibration | None:
    try:
        with open(path, "rb", opener=plain_file) as file:
            return Calibration.model_validate_json(file.read())
    except (OSError, ValueError):
        return None
