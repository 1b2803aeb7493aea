"""Methods whose result is known beforehand, so that a table can be read against them: they make no video of their own.

    oracle    the target's subjects on the target's ground, moved exactly as the reference's: right motion, right looks
    copy      the reference itself: right motion, wrong looks
    shuffled  the reference's latent frames in another order: its looks, no motion of its own
    frozen    the reference's first frame, held: no motion at all

A motion metric that does not rank oracle and copy over shuffled over frozen, on the clips at hand, does not measure motion
there; a metric of looks has to rank oracle over the rest. Each takes the last denoise step only and puts its own latent in
the place of that step's result (``start`` and ``settle``); the loop knows nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from fastvmt.core.limits import MOST_WHOLE
from fastvmt.datasets.drawn.redraw import redraw
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import Pair, suite_pairs
from fastvmt.datasets.drawn.suites import Shapes, Shapes64
from fastvmt.errors import JobError
from fastvmt.media.files import Frames, fit_frames
from fastvmt.plugins.method import Context, Method, Params, Shape

if TYPE_CHECKING:
    from torch import Tensor

CLEARLY_NEAREST, ALIKE = 0.7, 30.0
"""A drawn clip is recognised when its root mean square difference is below this share of the next clip's, and below so many
levels of 255. Through the VAE of ``tiny`` a clip is 2 to 15 levels from itself, at most 0.48 of the next one's distance."""


class Toy(Method):
    """Base: one step, whose result is replaced by the final latent (1, C, F, H, W) that ``fit`` gives."""

    source = "this package; a row whose place in the table is known"
    role = "toy"

    @classmethod
    def cost(cls, params: Params, shape: Shape) -> float:
        return 2.0

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        return ctx.noise, len(ctx.sigmas) - 2

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        found: Tensor = ctx.state
        return found


class Copy(Toy):
    id = "copy"
    summary = "toy: the reference itself; right motion, wrong looks"

    def fit(self, ctx: Context) -> Tensor:
        return ctx.reference()


class Frozen(Toy):
    id = "frozen"
    summary = "toy: the reference's first frame, held; no motion"

    def fit(self, ctx: Context) -> Tensor:
        frames = ctx.backbone.decode(ctx.reference())
        return ctx.backbone.encode_video(np.repeat(frames[:1], len(frames), axis=0))


class ShuffledParams(Params):
    order: int = Field(0, ge=-MOST_WHOLE, le=MOST_WHOLE, description="seed of the order of the latent frames")


class Shuffled(Toy):
    id = "shuffled"
    summary = "toy: the reference's latent frames in another order"
    Params = ShuffledParams

    def fit(self, ctx: Context) -> Tensor:
        latent = ctx.reference()
        order = torch.randperm(latent.shape[2], generator=torch.Generator().manual_seed(self.params.order))
        return latent[:, :, order.to(latent.device)]


class Oracle(Toy):
    """Known for drawn clips only: the reference is looked up by its picture among the drawn suites."""

    id = "oracle"
    summary = "toy, drawn suites only: the target's subjects drawn along the reference's known path; right motion, right looks"

    def fit(self, ctx: Context) -> Tensor:
        frames = ctx.backbone.decode(ctx.reference())
        pair = drawn_as(frames)
        return ctx.backbone.encode_video(
            fit_frames(draw(redraw(pair.reference, pair.target)), frames.shape[2], frames.shape[1])
        )


def drawn_as(frames: Frames) -> Pair:
    """The pair of a drawn suite whose reference these frames show, up to what a VAE does to them.

    Raises:
        JobError: when they show none.
    """
    count, height, width = frames.shape[:3]
    found = []
    for pair in (p for suite in (Shapes, Shapes64) for p in suite_pairs(suite.name, count)):
        apart = fit_frames(draw(pair.reference), width, height).astype(np.float32) - frames
        found.append((float(np.sqrt((apart * apart).mean())), pair))
    (nearest, best), (second, _) = sorted(found, key=lambda item: item[0])[:2]
    if nearest > min(ALIKE, CLEARLY_NEAREST * second):
        raise JobError("oracle: the reference is not a clip of the drawn suites, whose motion alone is known")
    return best
