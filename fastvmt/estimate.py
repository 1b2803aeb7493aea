"""What a run would take: jobs, seconds, memory, disk and weights, measured where this folder holds timings, else estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastvmt import card as cards
from fastvmt import registry
from fastvmt.method import Shape
from fastvmt.planning import Plan
from fastvmt.protocol import cost_of
from fastvmt.sigmas import sigma_grid
from fastvmt.store import Store

PUBLISHED = {"backbone": "wan2.1-1.3b", "method": "fastvmt", "seconds": 184.18, "width": 832, "height": 480, "frames": 33}
"""FastVMT, table 1: one video on an A100-80GB. The paper names neither the size of the model nor the length; its counted work
fits only 1.3B at 32 or 33 frames."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take; seconds are measured where this folder holds timings, else scaled from a published one."""

    jobs: int
    done: int
    seconds: float | None
    seconds_basis: str
    memory_bytes: int
    disk_bytes: int
    fetch: str
    forward_equivalents: dict[str, float]


def estimate(plan: Plan, store: Store | None) -> Estimate:
    """Count jobs and what is already there, and estimate seconds, memory and disk for the rest."""
    config, card = plan.config, plan.card
    per_method = len(config.suite.cases) * len(config.seeds)
    finished = {j.key: (j, a) for j in config.jobs() if (a := store.artefact(j))} if store else {}
    shape = card.shape(config.setting.width, config.setting.height, config.setting.frames, config.setting.sigmas)
    cost = {}
    for spec in config.methods:
        cost[spec.label] = round(cost_of(spec, shape), 1)
    measured = [(sum(a.stages.values()) - a.stages.get("load", 0), a.forward_equivalents) for _, a in finished.values()]
    left = sum(cost.values()) * per_method - sum(cost[j.method.label] for j, _ in finished.values())
    seconds, basis, jobs = None, "unknown: no timings of this run on this machine yet", per_method * len(config.methods)
    if measured and sum(f for _, f in measured):
        seconds = left * sum(s for s, _ in measured) / sum(f for _, f in measured)
        basis = f"from {len(measured)} measured videos of this run"
    elif card.parameters > 10**9:
        seconds = left * work(card, shape) * _seconds_a_flop()
        basis = "estimated: the paper's 184.18 s a video on an A100-80GB, scaled by counted work"
    pixels = config.setting.width * config.setting.height * config.setting.frames * 3
    size = 2 if config.setting.dtype != "float32" else 4
    f, h, w = shape.grid
    activations = f * h * w * card.heads * card.head_dim * size * 22 * (card.blocks // 2 + 1)
    missing = card.folder is None
    return Estimate(
        jobs=jobs,
        done=len(finished),
        seconds=seconds,
        seconds_basis=basis,
        memory_bytes=int(card.parameters * size + activations),
        disk_bytes=int(pixels * 0.6 * (jobs - len(finished))),
        fetch=f"{card.download_gb:.1f} GB: hf download {card.hub}" if missing else "",
        forward_equivalents=cost,
    )


def work(card: cards.Card, shape: Shape) -> float:
    """Floating-point operations of one forward pass: two a weight and token, and self-attention's products."""
    f, h, w = shape.grid
    tokens = f * h * w
    return 2.0 * card.parameters * tokens + 4.0 * tokens**2 * card.heads * card.head_dim * card.blocks


def _seconds_a_flop() -> float:
    """The published seconds over the work that we count for them."""
    facts: dict[str, Any] = PUBLISHED
    card = cards.load(facts["backbone"])
    sigmas = sigma_grid(card.defaults["steps"], card.defaults["shift"], 1.0)
    shape = card.shape(facts["width"], facts["height"], facts["frames"], sigmas)
    cls = registry.methods.get(facts["method"])
    params = cls.resolve(cls.Params.model_validate(card.methods.get(facts["method"], {})), shape)
    return float(facts["seconds"] / (cls.cost(params, shape) * work(card, shape)))
