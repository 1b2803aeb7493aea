"""Running the flow backwards: a clip's latent at every noise level of a grid, without drawing noise.

Euler steps from data to noise, unguided. Going up from level s_lo to s_hi the model sees the less noisy latent and is told
the upper level, x_hi = x_lo + (s_hi - s_lo) v(x_lo, s_hi): the convention of the DDIM inversions in SMM, MotionClone, MOFT,
MotionDirector and MotionInversion. Sampling evaluates v(x_hi, s_hi), so
one step leaves an error of second order and a whole grid one of first order in its step size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from fastvmt.core.lazy import no_grad
from fastvmt.plugins.method import Context

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.backbones.wan import Backbone


@no_grad
def inverted(backbone: Backbone, clean: Tensor, sigmas: Sequence[float], text: Tensor) -> list[Tensor]:
    """The clip's latents at every level of ``sigmas``, in its order: the first is the noisiest, the last is ``clean``.

    Takes one forward a step. All steps + 1 latents stay on the clip's device in fp32: with 50 steps on Wan 832x480 that is
    175 MiB for 33 frames and 408 MiB for 81, so a method that needs features only should take them and let the list go.

    Args:
        backbone: whose velocity is followed.
        clean: normalised latent (1, C, F, H, W) at the last level.
        sigmas: the run's falling noise levels, the last one 0.
        text: embedding of what the clip shows.
    """
    path = [clean.float()]
    for i in range(len(sigmas) - 2, -1, -1):
        # The step as the denoise loop rounds it, so that undoing it with the same velocity leaves rounding only.
        step = torch.tensor(sigmas[i], dtype=torch.float32) - torch.tensor(sigmas[i + 1], dtype=torch.float32)
        path.append(path[-1] + step.to(clean.device) * backbone.velocity(path[-1], sigmas[i], text))
    return path[::-1]


def source_text(ctx: Context) -> Tensor:
    """Embedding of what the reference shows, or the null text where the suite has no caption; logged as ``source_text``."""
    caption, null = ctx.texts.get("caption"), ctx.texts["null"]
    if caption is None or torch.equal(caption, null):  # an empty caption is encoded as the null text is
        ctx.log["source_text"] = "null: the reference has no caption"
        return null
    ctx.log["source_text"] = "caption"
    return caption
