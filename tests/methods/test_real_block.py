"""Every method on blocks of Wan2.1 1.3B's own shape, with random weights: 12 heads of 128, 8960 wide, two blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.wan import Backbone
from fastvmt.model import REFERENCE
from fastvmt.plugins import registry
from fastvmt.testing import Trial, random_wan, small

METHODS = [
    name for name in registry.BUILTIN["methods"]
    if name != REFERENCE and registry.methods.get(name).role not in ("toy", "imported")  # made by a model
    and not registry.methods.get(name).needs_control
]  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = random_wan(tmp_path_factory.mktemp("real"), blocks=2, heads=12, head_dim=128, ffn=8960, freq_dim=256)
    found = Backbone(card.load(str(folder)))
    found.encode_text("")  # loads the text encoder, which stays
    shutil.rmtree(folder)  # half a gigabyte that no later run needs
    yield found


@pytest.mark.parametrize(
    "name", [n if n in ("none", "fastvmt", "ditflow") else pytest.param(n, marks=pytest.mark.slow) for n in METHODS]
)
def test_two_steps_on_the_real_block(name: str, real: Any) -> None:
    cls = registry.methods.get(name)
    trial = Trial(cls, real, small(cls), steps=2)
    latent = trial.video()
    assert bool(torch.isfinite(latent).all()) and latent.shape == trial.context().noise.shape
    assert real.forward_equivalents == pytest.approx(cls.cost(trial.params(), trial.shape), rel=1e-6)


def test_it_is_the_real_block(real: Any) -> None:
    per_block = sum(p.numel() for p in real.transformer.blocks[0].parameters())
    assert per_block == pytest.approx(46.4e6, rel=0.01)
    assert real.transformer.dtype == torch.float32
