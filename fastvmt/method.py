"""What a method is: parameters, and six hooks whose defaults mean "no transfer".

A method is one short file in ``methods/``: a class with an ``id``, a pydantic ``Params`` and the hooks it needs.
The denoise loop (``denoise.py``) calls the hooks and knows nothing else about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from fastvmt.shape import GRADIENT_COST, TAP_SHARE, Shape

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.backbone import Backbone
    from fastvmt.measure import Stages


__all__ = ["GRADIENT_COST", "TAP_SHARE", "Context", "Method", "Params", "Shape"]


class Params(BaseModel):
    """Base of a method's parameters: immutable, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass
class Context:
    """What the hooks of one job may use.

    Attributes:
        backbone: the only way to the model.
        sigmas: noise levels, steps + 1.
        noise: initial noise (1, C, F, H, W), fp32, the same tensor for every method of a case and seed.
        reference: function returning the clean reference latent, same shape, normalised; encoded on first use.
        texts: embeddings under ``target``, ``negative``, ``null`` and ``caption``, each (1, n, d).
        stages: the job's clock.
        state: what ``fit`` returned.
        log: plain data for the artefact (loss curves, centre spread ...).
    """

    backbone: Backbone
    sigmas: tuple[float, ...]
    noise: Tensor
    reference: Callable[[], Tensor]
    texts: Mapping[str, Tensor]
    stages: Stages
    state: Any = None
    log: dict[str, Any] = field(default_factory=dict)


class Method:
    """Base of all methods; every default is "no transfer".

    Class attributes:
        id: registered name.
        version: raise it when the same parameters give another video.
        summary, source: one sentence each.
        variants: named parameter changes, usable as ``id:variant``.
        preset_of: parameter whose value is a preset that must not be mixed in a table, or "".
        control: true for rows that belong under every comparison.
        trains: true for methods that fit weights to the reference before sampling; tables group by it.
        ablations: factors that ``bench ablate`` varies one at a time: name to changes written as after the method's name.
        ladder: the way from the slowest form to the default, one saving a step: name of the saving to what is still
            changed without the later ones.
        toy: true for rows whose result is known beforehand; ``--methods all`` leaves them out.
    """

    id: ClassVar[str] = ""
    version: ClassVar[int] = 1
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_of: ClassVar[str] = ""
    control: ClassVar[bool] = False
    toy: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    ablations: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    ladder: ClassVar[tuple[tuple[str, str], ...]] = ()
    Params: ClassVar[type[BaseModel]] = Params

    def __init__(self, params: BaseModel) -> None:
        self.params: Any = params

    @classmethod
    def resolve(cls, params: Any, shape: Shape) -> Any:
        """Relative parameters (fractions, intervals) as absolute ones for this backbone and grid."""
        return params

    @classmethod
    def cost(cls, params: Any, shape: Shape) -> float:
        """Forward-equivalents of one video with resolved parameters: two passes a step without guidance."""
        return 2.0 * (len(shape.sigmas) - 1)

    def fit(self, ctx: Context) -> Any:
        """Look at the reference once, before sampling; the result becomes ``ctx.state``."""
        return None

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        """Initial latent and index of the first step."""
        return ctx.noise, 0

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        """A context that holds during step ``i`` (adapters, injected keys and values)."""
        return nullcontext()

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        """Change the latent before step ``i``; must return a detached fp32 tensor of the same shape."""
        return x

    def steer(self, ctx: Context, i: int, x: Tensor) -> Tensor | float:
        """A term added to the velocity of step ``i``."""
        return 0.0

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        """Change the latent after step ``i``."""
        return x_next
