"""MotionClone (Ling et al., ICLR 2025): sparse temporal attention as a score term, in its inversion-free form ("v4").

As its authors define it: the reference is noised once (t = 400 of their schedule) and run once with an empty prompt; of its
temporal attention only the strongest key frame per location, head and query frame is kept, index and probability; the loss
is the mean squared difference of the video's probabilities at these entries; its gradient through the conditional pass, one a
guided step and without inner loop or optimiser, enters as a score does. With their DDIM step that is x <- x - w sqrt(1-abar_t)
sqrt(1-abar_{t-1}) grad; here x <- x - w s_i s_{i+1} grad, written as a term of the velocity. Weights rise over the first tenth
of the guided steps and fall over the last.

What had to change for Wan, and why it may:

* Wan has no temporal attention module. The surrogate reads the 3D attention at equal location: softmax over frames f' of
  q[f, p] . k[f', p] / sqrt(d). There the spatial rotary factors cancel and the temporal rotation is left, as in a module that
  attends over frames alone. One block at a fraction of the depth stands for the six modules of ``up_blocks.1``.
* t = 400 and the guided steps become noise levels of equal signal-to-noise ratio: 0.610, and down to 0.773 (t = 600, for
  objects) or 0.839 (t = 700, variant ``camera``). Theirs start at 0.962, the top of their schedule; ours at the top of Wan's.
* The reference gets the run's own noise; theirs is another draw (``own-noise``).
* The weight 2000 belongs to another normaliser and softmax. ``strength`` says how far one full-weight update may move the
  latent in the first guided step (RMS over RMS; 0.2 to 1 % is the range to try); the weight that follows is logged and stays
  for the whole video. ``weight`` sets it outright, which freezes it across videos.
* In 3D attention the strongest key frame at equal location may be the query's own frame everywhere, which says nothing about
  motion. Its share is logged; ``diagonal=auto`` leaves the own frame out of the softmax, on both sides, when it exceeds 0.95.

The other remedy for that, the strongest spatial key in every other frame, is not here: it needs the probabilities of all
(P, P) pairs of frames and heads with gradients. At equal location they are small enough for one piece: (P, heads, F, F) in fp32
is 31 MiB for Wan 1.3B at width 832, height 480 and 81 frames, 105 MiB for 14B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from fastvmt.backbones.noise_levels import resolve_steps
from fastvmt.core.lazy import no_grad
from fastvmt.errors import SpecError
from fastvmt.methods._math.guided import NONE, Guided, GuidedMethod, GuidedParams, needs_latent_frames, other_noise
from fastvmt.methods._math.updater import StepLog
from fastvmt.plugins.method import GRADIENT_COST, TAP_SHARE, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

DEGENERATE = 0.95
"""Above this share of queries that prefer their own frame, the representation holds no motion."""


class MotionCloneParams(GuidedParams):
    guided: Guided = "sigma:1.0-0.773"  # the very last step never is
    ref_sigma: float = Field(0.610, ge=0, le=1, description="noise level of the one reference pass")
    strength: float = Field(
        0.005, ge=0, le=1000,
        description="RMS of a full-weight update over the latent's RMS in the first guided step; gives the weight",
    )  # fmt: skip
    weight: float | None = Field(None, ge=0, le=1e12, description="weight of the loss itself, in place of strength")
    ramp: float = Field(0.1, ge=0, le=0.5, description="share of the guided steps to warm up in, and to cool down in")
    diagonal: Literal["auto", "keep", "mask"] = Field(
        "auto", description="leave the query's own frame out of the softmax: never, always, or when it wins almost everywhere"
    )
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")
    ref_noise: Literal["run", "own"] = Field(
        "run", description="noise on the reference: that which the video starts from, or other noise, as the authors draw it"
    )
    silent: ClassVar[frozenset[str]] = GuidedParams.silent | {"ref_noise"}


@dataclass
class Kept:
    """What stays of the reference, and the weight once it is known.

    Attributes:
        index: (P, heads, F) strongest key frame of every location, head and query frame.
        value: (P, heads, F) its probability, fp32.
        masked: whether the query's own frame is left out.
        weight: of the loss; None until the first guided step when ``strength`` decides it.
    """

    index: Tensor
    value: Tensor
    masked: bool
    weight: float | None


class MotionClone(GuidedMethod):
    id = "motionclone"
    summary = "sparse temporal attention at equal location, as a score term in the velocity"
    source = "MotionClone, ICLR 2025 (arXiv 2406.05338), the later form without inversion"
    Params = MotionCloneParams
    variants = {
        "camera": {"guided": "sigma:1.0-0.839"},
        "own-frame": {"diagonal": "keep"},
        "no-own-frame": {"diagonal": "mask"},
        "own-noise": {"ref_noise": "own"},
    }
    study = Study({
        "diagonal": ("own-frame", "no-own-frame"),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
        "strength": ("strength=0.002", "strength=0.01"), "guided": ("camera",), "rope": ("rope=false",),
        "noise": ("own-noise",),
    })  # fmt: skip

    @classmethod
    def resolve(cls, params: MotionCloneParams, shape: Shape) -> MotionCloneParams:
        """Absolute block and steps.

        Raises:
            SpecError: for clips of fewer than three latent frames.
        """
        needs_latent_frames(cls.id, shape, 3)
        first, last = resolve_steps(params.guided, shape.sigmas)
        last = min(last, len(shape.sigmas) - 3)  # the last step ends at level 0, where the term vanishes
        if last < first and not NONE.fullmatch(params.guided):
            raise SpecError(f"{cls.id}: guided={params.guided} holds none of the run's steps; the last one is never guided.")
        return params.model_copy(update={"block": shape.block_index(params.block), "guided": f"steps:{first}-{last}"})

    @classmethod
    def cost(cls, params: MotionCloneParams, shape: Shape) -> float:
        share = shape.share(params.block + TAP_SHARE)
        return cls.sampling_cost(params, shape) + share * (1 + GRADIENT_COST * len(cls.guided_steps(params, shape)))

    @no_grad
    def fit(self, ctx: Context) -> Kept:
        """One noised pass of the reference: top-1 key frames and their probabilities."""
        p = self.params
        q, k = self._attended(ctx, *self.mirror(ctx, 0), p.rope)
        value, index = temporal_attention(q, k).max(-1)
        lags = lag_shares(index)
        masked = p.diagonal == "mask" or (p.diagonal == "auto" and lags[0] > DEGENERATE)
        if masked:
            value, index = temporal_attention(q, k, masked=True).max(-1)
        ctx.log["diagonal"] = "mask" if masked else "keep"
        ctx.log["diagonal_share"], ctx.log["lag_shares"] = lags[0], lags
        return Kept(index, value, masked, p.weight)

    def steer(self, ctx: Context, i: int, x: Tensor) -> Tensor | float:
        """w s_i s_{i+1} grad / (s_i - s_{i+1}): after the Euler step the latent has moved by -w s_i s_{i+1} grad."""
        window = self.window(ctx.sigmas)
        if i not in window:
            return 0.0
        level, following = ctx.sigmas[i], ctx.sigmas[i + 1]
        with torch.enable_grad():
            latent = x.detach().clone().requires_grad_(True)
            value = self.compare(ctx, level, ctx.state, latent)
            (gradient,) = torch.autograd.grad(value, latent)
        kept: Kept = ctx.state
        if kept.weight is None and (rms := _rms(gradient)) > 0:
            kept.weight = self.params.strength * _rms(x) / (level * following * rms)
        weight = kept.weight or 0.0
        ctx.log["weight"] = float(f"{weight:.5g}")
        move = weight * ramp_weight(i - window.start, len(window), self.params.ramp) * level * following * gradient
        self._note(ctx, i, x, value.detach(), gradient, move)
        return move / (level - following)

    def _note(self, ctx: Context, i: int, x: Tensor, value: Tensor, gradient: Tensor, move: Tensor) -> None:
        log = StepLog(ctx.log, i)
        log.fresh(0, value, gradient)
        log.moved(x, x - move)
        share = _rms(move) / max(_rms(x), 1e-12)
        ctx.log.setdefault("score_term", {})[str(i)] = {"loss": float(value), "update share": float(f"{share:.5g}")}

    def compare(self, ctx: Context, level: float, wanted: Kept, x: Tensor) -> Tensor:
        """Mean squared difference to the reference at the reference's entries, gathered from probabilities: the softmax still
        couples them to all other frames."""
        seen = temporal_attention(*self._attended(ctx, x, level, "target", self.params.rope), masked=wanted.masked)
        return (seen.gather(-1, wanted.index[..., None])[..., 0] - wanted.value).square().mean()

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        p = self.params
        noise = other_noise(ctx, 0) if p.ref_noise == "own" else ctx.noise
        return ctx.backbone.noised(ctx.reference(), p.ref_sigma, noise), p.ref_sigma, "null"


def temporal_attention(q: Tensor, k: Tensor, masked: bool = False) -> Tensor:
    """Attention over frames at equal location.

    Args:
        q, k: (F, P, heads, d).
        masked: leave the query's own frame out.

    Returns:
        (P, heads, F, F) probabilities, the last axis over key frames.
    """
    logits = torch.einsum("fpnd,gpnd->pnfg", q, k) / q.shape[-1] ** 0.5
    if masked:
        logits = logits.masked_fill(torch.eye(q.shape[0], dtype=torch.bool, device=q.device), -torch.inf)
    return logits.softmax(-1)


def lag_shares(index: Tensor) -> list[float]:
    """How often the strongest key frame lies 0, 1, ... F - 1 frames from the query's; the first is the diagonal share."""
    frames = index.shape[-1]
    lags = (index - torch.arange(frames, device=index.device)).abs().flatten().cpu()
    counts = torch.bincount(lags, minlength=frames).tolist()
    return [round(c / index.numel(), 4) for c in counts]


def ramp_weight(n: int, steps: int, share: float) -> float:
    """Weight of the n-th of the guided steps: linear up to 1 over the first share of them, and down over the last."""
    width = max(1, round(share * steps))
    return min(1.0, (n + 1) / width, (steps - n) / width)


def _rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())
