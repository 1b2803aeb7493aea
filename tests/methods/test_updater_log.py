"""What guided steps leave in the log: known answers, small, and never a changed video."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.denoise import denoise
from fastvmt.methods._math import updater
from fastvmt.methods._math.updater import LatentUpdate, StepLog, sketch_of
from fastvmt.plugins import labels

LABEL = "fastvmt:window=3:tile=2x2:guided=steps:0-1"


def sample(label: str, ctx: Any) -> torch.Tensor:
    ctx.state, ctx.log, ctx.backbone.forward_equivalents = None, {}, 0.0
    shape = ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)
    return denoise(labels.build(labels.resolve(label, shape, {})), ctx, 3.0)


def logged(update: LatentUpdate, x: torch.Tensor, loss: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    log: dict[str, Any] = {}
    return update(x, loss, StepLog(log, 4)), log


def test_gradients_of_known_directions() -> None:
    """A loss whose gradient turns by 30 degrees a step and doubles its length."""
    steps = iter(range(9))

    def loss(x: torch.Tensor) -> torch.Tensor:
        n = next(steps)
        angle = torch.tensor(n * torch.pi / 6)
        return 2.0**n * (x * torch.stack([angle.cos(), angle.sin()])).sum()

    _, log = logged(LatentUpdate(7, 2, 0.1, 0.1, 7), torch.zeros(2), loss)
    found = log["gradients"]["4"]
    assert found["at"] == [0, 2, 4, 6] and found["norm"] == [1.0, 2.0, 4.0, 8.0] and len(log["loss"]["4"]) == 4
    angles = np.arange(4) * np.pi / 6
    np.testing.assert_allclose(found["cosine"], np.cos(angles[:, None] - angles), atol=6e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_path_is_the_sketch_of_what_moved(dtype: torch.dtype) -> None:
    x, update = torch.randn(500), LatentUpdate(3, 2, 0.1, 0.05, 3, dtype=dtype)
    found, log = logged(update, x, lambda v: v.square().sum())
    assert torch.equal(found, update(x, lambda v: v.square().sum()))
    assert log["path"]["step"] == 4 and len(log["path"]["sketch"]) == 3
    assert log["path"]["sketch"][-1] == sketch_of(found - x.to(dtype).float())


def test_sketches_keep_distances_and_are_the_same_in_every_process() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3000, generator=generator)
    sketches = np.array([sketch_of(v) for v in x])
    exact = torch.pdist(x.double()).numpy()
    near = np.array([np.linalg.norm(a - b) for n, a in enumerate(sketches) for b in sketches[n + 1 :]])
    assert abs((near / exact).mean() - 1) < 0.03 and np.std(near / exact) < 0.13
    np.testing.assert_allclose(sketch_of(x[0] - x[1]), sketches[0] - sketches[1], atol=1e-2)
    again = sketches[0].tolist()
    updater._draw.cache_clear()
    assert sketch_of(x[0].view(1, 3, 10, 100)) == again  # drawn anew, for another shape of as many entries
    assert sketch_of(torch.eye(5)[2]) == [1.0 if n == 60 else 0.0 for n in range(64)]  # the fixed seed's bucket and sign


@pytest.mark.parametrize("label", [LABEL, "fastvmt:released:tile=2x2:guided=steps:0-1", "ditflow:guided=steps:0-1"])
def test_logging_changes_no_bit_of_the_latent(label: str, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_log = sample(label, context)
    assert {"loss", "gradients", "path"} <= set(context.log)
    nothing = type("Silent", (), {"__init__": lambda *_: None, "fresh": lambda *_: None, "moved": lambda *_: None})
    monkeypatch.setattr("fastvmt.methods._math.guided.StepLog", nothing)
    assert torch.equal(sample(label, context), with_log) and not set(context.log)
