"""Seconds of a video from a calibration.

    pass     one block times their number, and what is before and behind them
    video    the forward-equivalents of its method; those beyond plain denoising cost what a gradient was measured to cost
    beside   the VAE's two ways by its slice, texts by counted operations

Where the timed video was smaller, seconds grow with the counted operations, and the interval widens as that of any other
extrapolation does (``seconds.widened``). Its low end has no encoding and no text, which not every video needs; its high end has
activations computed twice and what a method computes beside its passes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fastvmt.backbones.card import Card
from fastvmt.backbones.one_block import TEXT_TOKENS
from fastvmt.backbones.token_grid import GRADIENT_COST
from fastvmt.core.spelling import duration
from fastvmt.estimates import parts
from fastvmt.estimates.calibration import Calibration, known, tokens_of
from fastvmt.estimates.memory import Need, device_bytes, need
from fastvmt.estimates.seconds import BEND, FAR, OTHER_DEVICE, Prediction, widened
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import MethodSpec
from fastvmt.plugins import labels, registry

BESIDE = 0.4
"""Part of a job's seconds, up or down, that one block does not have: the step itself, files, a card that grows warm. Twice as
much where others used the device: on two cores with ten busy threads, the same block took from 0.059 to 0.091 s."""
OWN = 0.5
"""Of the seconds of guided passes: what a method may compute beside them."""
TEXTS = 3
"""Texts that most videos have: the prompt, the empty one, the caption."""


def predict(config: RunConfig, card: Card, passes: dict[str, float]) -> Prediction:
    """Seconds of one video of each method by the nearest calibration; empty without one.

    Args:
        passes: forward-equivalents of one video by label.
    """
    found = known(config, card)
    if found is None:
        return Prediction()
    costs = _Costs(found, config, card)
    outside, spread = found.outside(config, card), max(found.spread, BESIDE / 4) * (2 if found.busy else 1)
    seconds, shared, low, high = {}, {}, {}, {}
    for spec in config.methods:
        label = spec.label
        if spec.ceiling:  # stored, and made by nobody
            seconds[label] = shared[label] = low[label] = high[label] = 0.0
            continue
        seconds[label], shared[label], ends = costs.video(spec, passes[label])
        low[label], high[label] = widened(ends, spread, outside)
        if str(config.offload) == "block":  # weights are on their way while a block computes
            high[label] *= OTHER_DEVICE
    return Prediction(seconds, _basis(found, config, card), shared, 0.0, low, high, _beyond(outside), outside)


@dataclass(frozen=True)
class _Costs:
    """Seconds of a run's parts by a calibration."""

    found: Calibration
    config: RunConfig
    card: Card

    def video(self, spec: MethodSpec, passes: float) -> tuple[float, float, tuple[float, float]]:
        """Seconds of one video, the part of them that happens once for a reference or prompt, and their two ends before they
        are widened."""
        plain = min(passes, 2.0 * self.config.setting.steps)
        beyond, (one, fast) = passes - plain, self.one_pass()
        kept, again = self.found.gradient / GRADIENT_COST, (self.found.gradient + 1) / GRADIENT_COST
        wanted = self._need(spec)
        at_peak = wanted.stages(device_bytes(self.config.device)).get("guidance", {})
        guided = beyond * one * (kept if at_peak.get("activations") == wanted.stored else again)
        once, decode = self._coding(self.found.encode) + TEXTS * self._text(), self._coding(self.found.decode)
        seconds = plain * one + guided + once + decode
        trained = guided if labels.trains(registry.methods.get(spec.method)) else 0.0
        slices = max(1.0, self.config.setting.width * self.config.setting.height / self.found.pixels) ** BEND
        least = (plain + beyond * min(1.0, kept)) * fast + decode / slices
        most = (plain + beyond * max(1.0, again) * (1 + OWN)) * one + 2 * once + decode
        return round(seconds, 3), (once + trained) / seconds, (least, most)

    def one_pass(self) -> tuple[float, float]:
        """Of the whole transformer: with all of a block's seconds growing as operations do, and with those that did."""
        s, found, card = self.config.setting, self.found, self.card
        whole = found.block * found.grows(self.config, card)
        wanted = found.operations(tokens_of(card, s.width, s.height, s.frames), card)
        more = wanted - found.operations(found.tokens, card)
        partly = min(whole, found.block + found.slope * more) if more > 0 and found.slope else whole
        blocks = card.blocks + card.control_blocks
        return blocks * whole + found.rest, blocks * partly + found.rest

    def _coding(self, pixel: tuple[float, float]) -> float:
        s = self.config.setting
        return s.width * s.height * (pixel[0] + pixel[1] * ((s.frames - 1) // self.card.vae_temporal))

    def _need(self, spec: MethodSpec) -> Need:
        s, where = self.config.setting, {"offload": self.config.offload, "device": self.config.device}
        return need(self.card, s.width, s.height, s.frames, s.dtype, (spec,), **where)

    def _text(self) -> float:
        """Of one text: its encoder's operations as fast as the block's."""
        each = self.found.block / self.found.operations(self.found.tokens, self.card)
        return 2.0 * parts.text_encoder(self.card).whole * TEXT_TOKENS * each


def _basis(found: Calibration, config: RunConfig, card: Card) -> str:
    s = config.setting
    wanted = tokens_of(card, s.width, s.height, s.frames)
    at = f"{found.tokens:,} tokens" if found.tokens == wanted else f"{found.tokens:,} of {wanted:,} tokens"
    day = time.strftime("%Y-%m-%d", time.gmtime(found.made))
    where = found.device + (f", beside {found.busy}" if found.busy else "")
    return f"from a calibration: one block of {Path(card.id).name}, {at}, on {where}, {day}, in {duration(found.took)}"


def _beyond(outside: float) -> str:
    return f"{outside:,.0f} times outside the work of the block that was timed" if outside > FAR else ""
