"""Attention motion flow against the authors' vectors, a slow transcription, and brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference_amf import total_loss
from torch import Tensor

from fastvmt.methods._math import expectation, released
from fastvmt.methods._math import flow as amf


@pytest.mark.parametrize(
    ("grid", "tile", "side", "frames", "span"),
    [((6, 8), (3, 4), 5, 4, 4), ((9, 12), (3, 4), 7, 5, 3), ((8, 8), (2, 2), 4, 4, 3)],
)
def test_vectorised_released_equals_the_transcription(
    grid: tuple[int, int], tile: tuple[int, int], side: int, frames: int, span: int
) -> None:
    generator = torch.Generator().manual_seed(3)
    tensors = [torch.randn(frames, grid[0] * grid[1], 16, generator=generator) for _ in range(4)]
    results = []
    for literal in (True, False):
        q_ref, k_ref, q, k = (t.clone().requires_grad_(True) for t in tensors)
        if literal:
            loss = total_loss(q_ref, k_ref, q, k, grid, tile, side, span)
        else:
            tiles, scale = amf.Tiles(grid, *tile), 16**-0.5
            seen = released.flow(q, k, tiles, side, span, scale)
            with torch.no_grad():
                target = released.flow(q_ref, k_ref, tiles, side, span, scale)
            loss = 5 * released.amf_loss(target, seen, span) + released.track_loss(k, seen, grid)
        results.append((loss, *torch.autograd.grad(loss, (q, k))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def brute_windowed(q: Tensor, k: Tensor, windows: amf.Windows, tiles: amf.Tiles, scale: float) -> Tensor:
    height, width = tiles.grid
    place = amf.positions(height, width)
    out = torch.zeros(q.shape[0], height * width, 2)
    for b in range(q.shape[0]):
        for p, tokens in enumerate(tiles.order(q.device)):
            top, left = int(windows.top[b, p]), int(windows.left[b, p])
            index = torch.tensor(
                [r * width + c for r in range(top, top + windows.rows) for c in range(left, left + windows.columns)]
            )
            attention = torch.softmax(q[b, tokens] @ k[b, index].T * scale, -1)
            out[b, tokens] = attention @ place[index] - place[tokens]
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(4, 9), st.integers(4, 10), st.integers(1, 4), st.integers(1, 4), st.integers(1, 12), st.integers(0, 10**6),
    st.sampled_from((100, 600, 1 << 18)),
)  # fmt: skip
def test_windowed_flow_equals_brute_force(height: int, width: int, th: int, tw: int, side: int, seed: int, block: int) -> None:
    """Any grid (also not a multiple of the tile), any window (also larger than the frame), blocks of any size."""
    generator = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(2, height * width, 8, generator=generator) for _ in range(2))
    tiles = amf.Tiles((height, width), th, tw)
    windows = amf.windows_at(amf.window_centres(q, k, tiles, 1.0), (height, width), side)
    assert int(windows.top.min()) >= 0 and int((windows.top + windows.rows).max()) <= height
    assert int(windows.left.min()) >= 0 and int((windows.left + windows.columns).max()) <= width
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expectation, "BLOCK_ELEMENTS", block)
        found = amf.windowed_flow(q, k, windows, tiles, 0.7)
    torch.testing.assert_close(found, brute_windowed(q, k, windows, tiles, 0.7), atol=2e-5, rtol=0)
    means = amf.window_means(k, windows, (height, width))
    top, left = int(windows.top[1, 0]), int(windows.left[1, 0])
    box = k[1].view(height, width, 8)[top : top + windows.rows, left : left + windows.columns]
    torch.testing.assert_close(means[1, 0], box.reshape(-1, 8).mean(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 40, 1 << 18])
def test_the_gradient_of_expected_values_is_that_of_attention(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Its backward pass is written by hand: against finite differences, in blocks of any size, for all keys and for some."""
    monkeypatch.setattr(expectation, "BLOCK_ELEMENTS", block)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 3, 2, 4, generator=generator), torch.randn(2, 6, 4, generator=generator)
    q, k = (t.double().requires_grad_(True) for t in (q, k))
    rows = torch.tensor([[1, 2], [0, 1], [1, 0]]).expand(2, 3, 2).double()
    columns = torch.tensor([[[0, 3, 1], [1, 0, 1], [0, 0, 1]], [[1, 1, 0], [0, 0, 2], [2, 1, 1]]]).double()
    counts = (rows[..., :, None] * columns[..., None, :]).flatten(2)
    for seen, often in ((None, torch.ones_like(counts)), ((rows.log(), columns.log()), counts)):
        for shape in ((6, 2), (2, 3, 6, 2)):
            values = torch.randn(shape, generator=generator).double()

            def found(q: Tensor, k: Tensor, values: Tensor = values, seen: object = seen) -> Tensor:
                return amf.soft_expectation(q, k, values, 0.7, seen)  # type: ignore[arg-type]

            weights = (0.7 * torch.einsum("bgnd,bmd->bgnm", q, k)).exp() * often[:, :, None]
            torch.testing.assert_close(found(q, k), (weights / weights.sum(-1, keepdim=True)) @ values)
            assert torch.autograd.gradcheck(found, (q, k))
