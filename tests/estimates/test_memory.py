"""What ``bench plan`` says of memory, held against what is really allocated, at small width and few tokens on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.places import ROOT

from fastvmt.methods._math import flow


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import memory

    return memory


@pytest.mark.parametrize(("dtype", "ffn"), [("bfloat16", 1493), ("bfloat16", 691), ("float32", 1493)])
def test_what_blocks_hold_is_what_the_formula_says(memory: Any, dtype: str, ffn: int) -> None:
    """Feed-forwards as wide, over the model's width, as those of 1.3B and 14B."""
    for name, (measured, formula) in memory.of_blocks(dtype, 2, heads=4, head_dim=64, ffn=ffn).items():
        assert measured == pytest.approx(formula, rel=0.12), name


@pytest.mark.parametrize(("pairs", "tokens", "features"), [(8, 256, 32), (8, 64, 512)])
def test_a_dense_flow_holds_no_more_than_is_said(memory: Any, pairs: int, tokens: int, features: int) -> None:
    """A GPU holds the logits of all pairs that are taken together, a CPU those of a few."""
    side, every = int(tokens**0.5), torch.arange(pairs)
    q, k = (torch.randn(pairs, tokens, features, requires_grad=True) for _ in range(2))

    def call() -> None:
        flow.dense_flow(q, k, every, (side, side), 0.1, 0, every).sum().backward()

    held = memory.allocated(call)
    assert 0.4 < held / flow.dense_bytes(pairs, tokens, features) < 1.25


def test_pairs_beyond_what_is_kept_are_taken_a_few_at_a_time(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is larger, the weights or the gathered queries and keys."""
    wide = flow.dense_bytes(64, 64, 1024)
    monkeypatch.setattr(flow, "KEEP_ELEMENTS", 16 * 64 * 1024)
    assert flow.dense_bytes(64, 64, 1024) == wide // 16
    q, k = (torch.randn(8, 64, 1024, requires_grad=True) for _ in range(2))
    first, second = (t.flatten() for t in torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"))

    def call() -> None:
        flow.dense_flow(q, k, second, (8, 8), 0.1, 0, first).sum().backward()

    assert memory.allocated(call) < wide / 4
