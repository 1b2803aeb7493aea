"""The controls that belong under every comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from fastvmt.errors import SpecError
from fastvmt.model import REFERENCE
from fastvmt.plugins.method import Context, Method, OwnGrid, Params, Shape

if TYPE_CHECKING:
    from torch import Tensor


class NoTransfer(Method):
    """Plain text-to-video: pure noise, no reference. Equal to ``WanPipeline`` for the same noise."""

    id = "none"
    summary = "no transfer: the prompt alone, from pure noise"
    source = "control; motion fidelity's floor and text similarity's ceiling"
    role = "control"


class SDEditParams(OwnGrid):
    sigma: float = Field(0.95, gt=0, le=1, description="start at the first noise level not above this")


class SDEdit(Method):
    """Start from the noised reference, then sample as usual: z = (1-s) reference + s noise.

    Strength is stated as a noise level, because two incompatible meanings of "strength" are in use.
    """

    id = "sdedit"
    summary = "the noised reference as starting point, nothing else"
    source = "Meng et al. 2022 (arXiv 2108.01073); control for every method that starts from the reference"
    role = "control"
    Params = SDEditParams

    @classmethod
    def resolve(cls, params: SDEditParams, shape: Shape) -> SDEditParams:
        first = start_index(params.sigma, shape.sigmas)
        return params.model_copy(update={"sigma": shape.sigmas[first]})

    @classmethod
    def cost(cls, params: SDEditParams, shape: Shape) -> float:
        return 2.0 * (len(shape.sigmas) - 1 - start_index(params.sigma, shape.sigmas))

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        return noised_start(ctx, self.params.sigma)


class TheReference(Method):
    """The reference itself as its own video: stored as it is, never through the model, and scored by every metric.

    No method can be asked for more motion than this row has; what it lacks to 1 is the metric's own. Its looks are the wrong
    ones wherever the prompt names others.
    """

    id = REFERENCE
    summary = "ceiling: the reference itself, scored as a video; nothing is generated"
    source = "control; what a motion metric gives to the very motion that is asked for"
    role = "control"

    @classmethod
    def cost(cls, params: Params, shape: Shape) -> float:
        return 0.0

    @classmethod
    def from_noise(cls, params: Params) -> bool:
        return False

    def fit(self, ctx: Context) -> None:
        raise SpecError("the control 'reference' is stored from the reference's frames; no model makes it")


def noised_start(ctx: Context, sigma: float) -> tuple[Tensor, int]:
    """The reference noised to the first level not above ``sigma``, and that level's step."""
    first = start_index(sigma, ctx.sigmas)
    return ctx.backbone.noised(ctx.reference(), ctx.sigmas[first], ctx.noise), first


def start_index(sigma: float, sigmas: tuple[float, ...]) -> int:
    """First step whose noise level is not above ``sigma``.

    Raises:
        SpecError: when the grid has none but 0.
    """
    for i, level in enumerate(sigmas[:-1]):
        if level <= sigma + 1e-6:
            return i
    raise SpecError(f"sigma={sigma} lies below the whole noise grid (its last level is {sigmas[-2]:.4f}).")
