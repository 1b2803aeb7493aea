"""What a method is: parameters, and six hooks whose defaults mean "no transfer".

A method is one short file in ``methods/``: a class with an ``id``, a pydantic ``Params`` and the hooks it needs.
The denoise loop (``denoise.py``) calls the hooks and knows nothing else about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fastvmt.backbones.noise_levels import own_grid, sigma_grid
from fastvmt.backbones.token_grid import GRADIENT_COST, TAP_SHARE, Shape
from fastvmt.core.limits import MOST_WHOLE, number
from fastvmt.errors import SpecError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fastvmt.backbones.wan import Backbone
    from fastvmt.core.stages import Stages
    from fastvmt.media.files import Frames
    from fastvmt.model import Case
    from fastvmt.plugins.workspace import Workspace


__all__ = ["GRADIENT_COST", "TAP_SHARE", "Context", "Method", "Params", "Protocols", "Shape", "Study"]


class Params(BaseModel):
    """Base of a method's parameters: immutable; unknown names, and numbers that no machine takes, are refused.

    State the range of each number (``Field(3, ge=1, le=100)``): what lies outside is then refused by ``plan`` already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    silent: ClassVar[frozenset[str]] = frozenset()
    """Fields that a job's key leaves out at their default, so that keys made before a field was there stay valid."""

    @field_validator("*")
    @classmethod
    def _fits_a_machine(cls, value: Any) -> Any:
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, int) and abs(part) > MOST_WHOLE:
                raise ValueError(f"A whole number from {number(-MOST_WHOLE)} to {number(MOST_WHOLE)} is needed")
        return value


def _no_frames() -> Frames:
    """
    Raises:
        SpecError: always; a context that somebody made by hand holds no frames unless they are given.
    """
    raise SpecError("this context was made without the reference's frames: give it `frames`, a function returning them.")


class OwnGrid(Params):
    """Base of parameters of a method that can have noise levels of its own, as its authors do."""

    grid: str = Field("", description="own noise levels as SHIFT:STRENGTH (7:0.75); the run's without, or with grid=run")
    silent: ClassVar[frozenset[str]] = frozenset({"grid"})

    @field_validator("grid")
    @classmethod
    def _one_spelling(cls, value: str) -> str:
        return "" if value in ("", "run") else "{:g}:{:g}".format(*own_grid(value))


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
        guidance: classifier-free scale at the present noise level; the loop sets it before the first hook and each step.
        prepared: weights by name that ``prepare`` left for this reference, on the model's device.
        state: what ``fit`` returned.
        log: plain data for the artefact (loss curves, centre spread ...).
        frames: function returning the reference's frames, uint8 RGB (T, H, W, 3), at the run's size, read-only.
        masks: function returning where the reference's subjects are, (T, H, W) bool at the run's size; None where its suite
            does not know.
    """

    backbone: Backbone
    sigmas: tuple[float, ...]
    noise: Tensor
    reference: Callable[[], Tensor]
    texts: Mapping[str, Tensor]
    stages: Stages
    guidance: float = 1.0
    prepared: Mapping[str, Tensor] = field(default_factory=dict)
    state: Any = None
    log: dict[str, Any] = field(default_factory=dict)
    frames: Callable[[], Frames] = _no_frames
    masks: Callable[[], NDArray[np.bool_] | None] = lambda: None


Role = Literal["method", "baseline", "control", "toy", "imported"]
Changes = Mapping[str, Any]
"""Parameters by name, with the values they get."""


@dataclass(frozen=True)
class Protocols:
    """How protocols act on a method's parameters; what the user types in a label goes before it.

    Attributes:
        starts: for a method that need not start from the run's noise, the changes that make it start as ``as-published`` and
            as ``matched-start`` say.
        work: the parameter (a whole number, larger is dearer) that ``matched-budget`` scales; "" where there is none.
        preset: the parameter whose values must not be mixed in a table and switch the backbone's tuned parameters off; or "".
    """

    starts: Mapping[str, Changes] = field(default_factory=dict)
    work: str = ""
    preset: str = ""


@dataclass(frozen=True)
class Study:
    """How a method is taken apart, by ``bench ablate`` and by checks. Changes are written as after the method's name.

    Attributes:
        ablations: factors that are varied one at a time, by name: ``{"reuse": ("no-step-skip",)}``.
        ladder: the way from the slowest form to the default, one saving a step: its name, and what is still changed without
            the later ones.
        floor_when: changes with which the reference has the lowest possible loss against itself.
    """

    ablations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ladder: tuple[tuple[str, str], ...] = ()
    floor_when: Changes = field(default_factory=dict)


class Method:
    """Base of all methods; every default is "no transfer".

    Class attributes, of which only ``id`` is needed:
        id: registered name.
        version: raise it when the same parameters give another video.
        summary, source: one sentence each.
        Params: what can be chosen, a subclass of ``fastvmt.Params`` in which every field has a default.
        variants: named changes of parameters, usable as ``id:variant``.
        role: ``control`` for a row that belongs under every comparison, ``baseline`` for the method that speed-ups are
            over, ``toy`` for one whose result is known beforehand; ``--methods all`` takes methods and baselines.
        protocols, study: see there.
        whole_gradient: its gradients go through all blocks, without a tapped one; for estimates of memory.
        needs_control: it gives passes a control video, and is refused on a backbone that takes none.
        card: the method's card, as a file or as data; "" for ``cards/<id>.toml`` beside the method's own file, None for none.
    """

    id: ClassVar[str] = ""
    version: ClassVar[int] = 1
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    Params: ClassVar[type[BaseModel]] = Params
    variants: ClassVar[Mapping[str, Changes]] = {}
    role: ClassVar[Role] = "method"
    protocols: ClassVar[Protocols] = Protocols()
    study: ClassVar[Study] = Study()
    whole_gradient: ClassVar[bool] = False
    needs_control: ClassVar[bool] = False
    card: ClassVar[str | Path | Mapping[str, Any] | None] = ""

    def __init_subclass__(cls) -> None:
        """
        Raises:
            SpecError: for an unknown role.
        """
        if cls.role not in get_args(Role):
            raise SpecError(f"{cls.__name__}.role is '{cls.role}'; it is one of {', '.join(get_args(Role))}.")

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

    @classmethod
    def held(cls, params: Any, shape: Shape, width: int) -> int:
        """Bytes that a guided step holds beside the model's own activations, for ``bench plan``: an estimate.

        Args:
            width: of a token's hidden state.
        """
        return 0

    @classmethod
    def version_of(cls, params: Mapping[str, Any]) -> int:
        """The version of one form of it, where only that form gives another video than before.

        Args:
            params: resolved, as plain data.
        """
        return cls.version

    @classmethod
    def levels(cls, params: Any, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        """Noise levels that its videos are sampled on: the run's, or its own (``OwnGrid``) in as many steps."""
        own = params.grid if isinstance(params, OwnGrid) else ""
        return sigma_grid(len(sigmas) - 1, *own_grid(own)) if own else sigmas

    @classmethod
    def guided_steps(cls, params: Any, shape: Shape) -> range | None:
        """The steps in which it guides the video, with resolved parameters; None for a method that has no such steps."""
        return None

    @classmethod
    def from_noise(cls, params: Any) -> bool:
        """Whether it starts from noise alone, which is a start at noise level 1 and at no lower one."""
        return cls.start is Method.start

    @classmethod
    def remarks(cls, params: Any, shape: Shape) -> list[str]:
        """What a reader of a table has to know of a row with resolved parameters, as ends of sentences after its label."""
        return []

    # --- before the loop, for methods that train ---------------------------------------------------------------------

    @classmethod
    def trains(cls) -> bool:
        """Whether it fits weights to the reference before sampling, which tables group by."""
        return cls.prepare is not Method.prepare

    @classmethod
    def training(cls, params: Mapping[str, Any], case: Case) -> dict[str, Any]:
        """What training depends on beside reference, caption, model and size; a part of ``prepared_key``.

        Args:
            params: resolved, as plain data. Leave out what only sampling uses, and changing it trains nothing anew.
            case: for methods that use more of it (tracks).
        """
        return dict(params)

    def prepare(self, ctx: Context, workspace: Workspace) -> Mapping[str, Tensor]:
        """Fit weights to the reference, once for all jobs of the same ``prepared_key``; they come back as ``ctx.prepared``.

        Must not depend on the target prompt, guidance, noise levels or noise of ``ctx``.
        """
        return {}

    # --- the six hooks -----------------------------------------------------------------------------------------------

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

    # --- what checks ask (``fastvmt.testing``); the loop never does -------------------------------------------------

    @classmethod
    def reach(cls, params: Any, shape: Shape) -> float | None:
        """The most that its optimiser can move one element of the latent in a whole video: learning rates, summed over steps.

        None for a method without such a bound.
        """
        return None

    def loss(self, ctx: Context, i: int, x: Tensor, level: float | None = None) -> Tensor | None:
        """What step ``i`` pulls down, a scalar that can be differentiated; None for a method without a loss on the latent.

        Args:
            level: noise level told to the model, when it is not the step's own.
        """
        return None

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str] | None:
        """The reference as step ``i`` compares with it: latent, noise level and the name of the text beside it.

        There ``loss`` is as low as it can be (with ``floor_when``); None for a method without a loss.
        """
        return None

    def adapted(self, ctx: Context) -> AbstractContextManager[Any] | None:
        """A context in which a new, untrained adapter is installed; None for a method that trains none."""
        return None
