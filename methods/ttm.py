"""Time-to-Move (Singer et al., ICLR 2026): two clocks of denoising, one inside a mask and one outside.

As its authors' code has it: sampling starts at step ``weak`` from the motion signal, noised to that step's level; until step
``strong`` what lies inside the mask is overwritten after every step by the signal, noised to the next level with the same
noise, and from then on everything is the model's. The mask of a latent frame is that of the first frame it stands for, at the
first pixel of each of its places. Steps 3 and 7 of 50 are advised for cut-and-drag, 2 and 5 for camera motion. No gradient,
no inner tensors, no more passes than sampling takes.

What had to change: theirs is an image-to-video model, shown the first frame of the *target*, and the signal is that picture
cut and dragged. A text-to-video model has no such picture, so the signal is the reference clip, in its own looks, and the
prompt has to overcome them: the later ``strong``, the more of them stays. The mask is where the suite says that the
reference's subjects are. A suite that does not know gives none: the whole frame is taken then, and the log says so.

The two clocks are the method, so its start is the same under every protocol. ``weak=0`` starts from the run's noise; with
``mask=frame`` the video is SDEdit's from the level of step ``strong``, at the price of the steps before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from fastvmt.errors import SpecError
from fastvmt.methods._math.guided import Step
from fastvmt.plugins.method import Context, Method, Params, Shape, Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class TTMParams(Params):
    weak: Step = 0.06
    strong: Step = 0.14
    mask: Literal["suite", "frame"] = Field(
        "suite",
        description="where the suite says that subjects are (the whole frame where it does not know), or the whole frame",
    )


class TTM(Method):
    id = "ttm"
    summary = "the noised reference in the place of its subjects until a later step; elsewhere the model from the start"
    source = "Time-to-Move, ICLR 2026 (arXiv 2511.08633), the authors' code"
    Params = TTMParams
    variants = {"camera": {"weak": 0.04, "strong": 0.1}, "whole-frame": {"mask": "frame"}}
    study = Study({"mask": ("whole-frame",), "strong": ("strong=0.1", "strong=0.3"), "weak": ("weak=0", "weak=0.06")})

    @classmethod
    def resolve(cls, params: TTMParams, shape: Shape) -> TTMParams:
        """Shares of the steps as indices.

        Raises:
            SpecError: when the clocks are in the wrong order, or outside the run's steps.
        """
        steps = len(shape.sigmas) - 1
        weak, strong = (round(v * steps) if isinstance(v, float) and v < 1 else int(v) for v in (params.weak, params.strong))
        if not weak <= strong < steps:
            raise SpecError(
                f"{cls.id}: weak is step {weak} and strong is step {strong}; need weak <= strong < {steps}, the run's steps."
            )
        return params.model_copy(update={"weak": weak, "strong": strong})

    @classmethod
    def cost(cls, params: TTMParams, shape: Shape) -> float:
        return 2.0 * (len(shape.sigmas) - 1 - params.weak)

    def fit(self, ctx: Context) -> Tensor:
        """The mask (1, 1, F, H, W) of the latent: 1 where the reference is held."""
        _, _, *latent = ctx.noise.shape
        known = ctx.masks() if self.params.mask == "suite" else None
        unknown = "" if self.params.mask == "frame" else ", as the suite has no masks"
        ctx.log["mask"] = f"the whole frame{unknown}" if known is None else "the suite's"
        card = ctx.backbone.card
        found = torch.ones(1, 1, *latent) if known is None else latent_mask(known, card.vae_temporal, card.vae_spatial)
        ctx.log["mask_share"] = round(float(found.mean()), 4)
        return found.to(ctx.noise)

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        first = int(self.params.weak)
        return ctx.backbone.noised(ctx.reference(), ctx.sigmas[first], ctx.noise), first

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        if i >= self.params.strong:
            return x_next
        held = ctx.backbone.noised(ctx.reference(), ctx.sigmas[i + 1], ctx.noise)
        return ctx.state * held + (1 - ctx.state) * x_next


def latent_mask(mask: NDArray[np.bool_], frames: int, pixels: int) -> Tensor:
    """A mask (T, H, W) at the latent's size (1, 1, F, H/pixels, W/pixels), fp32: the first frame and the first pixel of each.

    Args:
        frames, pixels: strides of the VAE; the first latent frame stands for one frame, the others for ``frames``.
    """
    first = [0, *range(1, len(mask), frames)]
    return torch.tensor(mask[first][:, ::pixels, ::pixels], dtype=torch.float32)[None, None]
