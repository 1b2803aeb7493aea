"""VACE (Jiang et al. 2025): a model trained to follow a control video, here the reference itself. A control row.

What the authors give it is a picture of the motion (depth, pose, flow, line drawings) or a video to be repainted. The reference
as it is holds all of them and its looks as well: nothing is left out, and nothing is computed that could be done badly. As
``WanVACEPipeline`` does it with ``video=reference`` alone: the mask is one everywhere, so every place may change.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from fastvmt.plugins.method import Context, Method

if TYPE_CHECKING:
    from torch import Tensor


class VACE(Method):
    id = "vace"
    summary = "a model trained for it is given the reference as its control video; only on a VACE backbone"
    source = "VACE, ICCV 2025 (arXiv 2503.07598), as diffusers' WanVACEPipeline runs it"
    role = "control"
    needs_control = True

    def fit(self, ctx: Context) -> Tensor:
        return ctx.backbone.control.of(ctx.frames(), ctx.noise)

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        return ctx.backbone.control.given(ctx.state)
