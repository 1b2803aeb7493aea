"""Flow-ODE inversion: which level the model is told, what undoes it, and how its error falls."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.methods._math.inversion import inverted, source_text
from fastvmt.plugins.method import Context


class Growing:
    """A stand-in whose velocity, s x, makes every inversion step a known factor."""

    def velocity(self, x: torch.Tensor, sigma: float, text: torch.Tensor) -> torch.Tensor:
        return sigma * x


def test_each_step_is_told_the_upper_level() -> None:
    sigmas, x0 = sigma_grid(7, 3.0), torch.randn(1, 4, 3, 2, 2)
    path = inverted(Growing(), x0, sigmas, x0)  # type: ignore[arg-type]
    factor = 1.0
    assert len(path) == 8 and torch.equal(path[-1], x0)
    for i in range(6, -1, -1):
        factor *= 1 + (sigmas[i] - sigmas[i + 1]) * sigmas[i]
        torch.testing.assert_close(path[i], factor * x0, rtol=1e-5, atol=1e-6)


def test_a_step_is_undone_by_the_same_velocity(backbone: Any, context: Context) -> None:
    """With the velocity that the inversion used, sampling's Euler step leaves rounding alone; and it costs a forward a step."""
    before = backbone.forward_equivalents
    path = inverted(backbone, context.reference(), context.sigmas, context.texts["caption"])
    assert backbone.forward_equivalents - before == pytest.approx(len(context.sigmas) - 1)
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in path)
    with torch.no_grad():
        for i, (high, low) in enumerate(itertools.pairwise(context.sigmas)):
            v = backbone.velocity(path[i + 1], high, context.texts["caption"])
            torch.testing.assert_close(path[i] + (low - high) * v, path[i + 1], rtol=0, atol=1e-6)
            assert float((path[i] - path[i + 1]).abs().max()) > 1e-3


@pytest.mark.parametrize("empty", ["same", "absent"])
def test_a_clip_without_a_caption_is_inverted_with_the_null_text(empty: str, context: Context) -> None:
    assert source_text(context) is context.texts["caption"] and context.log["source_text"] == "caption"
    texts = dict(context.texts)
    if empty == "same":
        texts["caption"] = context.backbone.encode_text("")
    else:
        del texts["caption"]
    context.texts = texts
    assert source_text(context) is context.texts["null"] and "no caption" in context.log["source_text"]
