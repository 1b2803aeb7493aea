"""Backend ``native``: what needs no network, exactly VBench's number without VBench; the other dimensions name the package."""

from __future__ import annotations

from typing import Any

from fastvmt.metrics import formulas
from fastvmt.metrics.vbench import files
from fastvmt.plugins.metric import Scored, Value


def missing(name: str) -> str:
    if name == "temporal_flickering":
        return ""
    return f"the network of {name} is run by the vbench package alone: use `vbench:{name}` (backend=package)."


def identity(name: str, device: str) -> dict[str, Any]:
    """Of the networks too, which earlier versions ran: their records stay readable."""
    if name == "temporal_flickering":
        return {"features": "pixels"}
    needed = (n for n in files.NEEDED[name] if n != files.REPO)
    return {"device": device, "weights": files.digests(tuple(needed))}


def score(name: str, scored: Scored, device: str) -> Value:
    return Value(formulas.temporal_flickering(scored.generated))
