"""Every array of the authors' vectors that the descriptors are made of, and the same functions in other precisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.places import shared
from torch import Tensor

from fastvmt.methods._math import flow as amf
from fastvmt.methods._math import released
from fastvmt.methods._math.updater import LatentUpdate

Case = tuple[dict[str, Tensor], dict]


def load(golden: Path, name: str) -> tuple[dict[str, Tensor], dict]:
    with np.load(golden / name) as z:
        meta = json.loads(str(z["meta"]))
        return {k: torch.from_numpy(z[k]) for k in z.files if k != "meta"}, meta


def case_files(golden: Path) -> list[str]:
    return [p.name for p in sorted(golden.glob("case_*.npz")) if p.name != "case_c.npz"]


def tokens(z: dict[str, Tensor], meta: dict) -> tuple[Tensor, ...]:
    """Queries and keys of the reference, then of the generated clip, which take gradients; (F, P, D) each."""
    f, h, w, d = (meta[k] for k in "FHWD")
    found = tuple(z[n].reshape(f, h * w, d) for n in ("Q_ref", "K_ref", "Q_gen", "K_gen"))
    return (*found[:2], *(t.requires_grad_(True) for t in found[2:]))


@pytest.fixture(params=["case_a.npz", "case_b.npz", "case_d.npz"])
def case(golden: Path, request: pytest.FixtureRequest) -> Case:
    return load(shared("golden", request.param).parent, request.param)


def close(found: Tensor, wanted: Tensor, atol: float = 1e-5, rtol: float = 1e-5) -> None:
    torch.testing.assert_close(found.reshape_as(wanted), wanted, atol=atol, rtol=rtol, check_dtype=False)


def test_centres_and_slots(case: Case) -> None:
    z, meta = case
    _, h, w, d = (meta[k] for k in "FHWD")
    q_ref, k_ref, q, k = tokens(z, meta)
    tiles = amf.Tiles((h, w), *meta["tile"])
    for side, queries, keys in (("ref", q_ref, k_ref), ("gen", q, k)):
        flow = released.flow(queries, keys, tiles, meta["l"], meta["sf"], d**-0.5)
        for n, (i, j) in enumerate(z["pair_ij"].tolist()):
            close((flow.same if i == j else flow.between[j - i - 1])[i].detach(), z[f"amf_{side}_raster"][n], rtol=0)
        for n, (i, j) in enumerate(z["inter_pair_ij"].tolist()):
            close(amf.window_centres(queries[i : i + 1], keys[j : j + 1], tiles, d**-0.5)[0], z[f"centers_{side}"][n])
            rows, columns = (index[i] for index in flow.slots[j - i - 1])
            assert ((rows[..., :, None] * w + columns[..., None, :]).flatten(1) == z[f"window_linear_idx_{side}"][n]).all()
        close(released.track_loss(keys, flow, (h, w)).detach(), z[f"track_loss_{side}"], atol=0)


def test_each_loss_has_the_authors_gradient(case: Case) -> None:
    z, meta = case
    _, h, w, d = (meta[k] for k in "FHWD")
    q_ref, k_ref, q, k = tokens(z, meta)
    tiles, scale = amf.Tiles((h, w), *meta["tile"]), d**-0.5
    reference, seen = (released.flow(a, b, tiles, meta["l"], meta["sf"], scale) for a, b in ((q_ref, k_ref), (q, k)))
    loss, track = released.amf_loss(reference, seen, meta["sf"]), released.track_loss(k, seen, (h, w))
    for found, name in ((loss, "amf_loss"), (track, "track_loss_gen"), (5 * loss + track, "total_loss")):
        close(found.detach(), z[name], atol=0)
    for found, name in zip(
        torch.autograd.grad(loss, (q, k), retain_graph=True), ("grad_amf_Qgen", "grad_amf_Kgen"), strict=True
    ):
        close(found, z[name])
    close(torch.autograd.grad(track, k)[0], z["grad_track_Kgen"])


def test_dense_forms_of_ditflow_and_of_the_fork(golden: Path) -> None:
    """Dense code takes every grid, also the one that no tile divides."""
    for name in case_files(golden) + (["case_c.npz"] if (golden / "case_c.npz").exists() else []):
        z, meta = load(golden, name)
        f, h, w, d = (meta[k] for k in "FHWD")
        q_ref, k_ref, q, k = tokens(z, meta)
        first, second = torch.arange(f).repeat_interleave(f), torch.arange(f).repeat(f)
        soft = {n: amf.dense_flow(a[first], b, second, (h, w), 2 * d**-0.5) for n, a, b in (("r", q_ref, k_ref), ("g", q, k))}
        close(soft["r"].flip(-1), z["ditflow_ref_soft"], atol=2e-5)
        close((soft["g"] - soft["r"]).square().mean().detach(), z["ditflow_loss_nothresh_softref"], atol=0)
        hard = amf.hard_flow(q_ref[first], k_ref, second, (h, w))
        close(hard.flip(-1), z["ditflow_ref_argmax"].float(), atol=0)
        moving = (hard != 0).any(-1)
        assert int(moving.sum()) == int(z["ditflow_thresh_count"])
        loss = (soft["g"] - hard)[moving].square().mean()
        close(soft["g"].flip(-1).detach(), z["ditflow_gen_soft"], rtol=0)
        close(loss.detach(), z["ditflow_loss_thresh_argmaxref"], atol=0)
        for found, wanted in zip(torch.autograd.grad(loss, (q, k)), ("ditflow_grad_Qgen", "ditflow_grad_Kgen"), strict=True):
            close(found, z[wanted], rtol=1e-4)
        pairs = [(i, j) for i in range(f) for j in range(i, min(f, i + meta["sf"]))]
        one, two = (torch.tensor(index) for index in zip(*pairs, strict=True))
        fork = [amf.dense_flow(a[one], b, two, (h, w), d**-0.5) for a, b in ((q_ref, k_ref), (q, k))]
        close(fork[0], z["forkdense_ref"], atol=2e-5)
        close(fork[1].detach(), z["forkdense_gen"], atol=2e-5)
        weight = 1 - 0.2 * (two - one) / (meta["sf"] - 1)
        close(((fork[0] - fork[1]).square().sum((1, 2)) * weight).mean().detach(), z["forkdense_loss"], atol=0)


def test_heads_of_queries_and_keys_and_their_displacements(golden: Path) -> None:
    z, meta = load(golden, "heads.npz")
    f, h, w, n, d = (meta[k] for k in ("F", "H", "W", "heads", "head_dim"))
    q, k = (z[name].reshape(f, h * w, n, d) for name in ("q_full", "k_full"))
    for name, side in (("Q", q), ("K", k)):
        close(released.group_tokens(side, n), z[f"authors_{name}"], atol=1e-6)
        close(side.mean(2), z[f"fork_{name}"], atol=1e-6)
    first, second = torch.arange(f).repeat_interleave(f), torch.arange(f).repeat(f)
    hard = amf.hard_flow(q.flatten(2)[first], k.flatten(2), second, (h, w))
    close(hard.flip(-1), z["ditflow_multihead_argmax"].float())
    scale = meta["ditflow_temp"] / (n * d**0.5)  # mean of logits over heads = one product over the full width
    soft = amf.dense_flow(q.flatten(2)[first], k.flatten(2), second, (h, w), scale)
    close(soft.flip(-1), z["ditflow_multihead_soft"], rtol=0)


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "fp32"), (torch.bfloat16, "bf16")])
@pytest.mark.parametrize("interval", [1, 3])
def test_every_step_of_the_authors_optimiser(golden: Path, dtype: torch.dtype, name: str, interval: int) -> None:
    z, _ = load(golden, "optim_trace.npz")
    c, target, seen = z["c"], z["target"], []

    def loss(x: Tensor) -> Tensor:
        seen.append((c.to(x) * (x - target.to(x))).detach().float())
        return (0.5 * c.to(x) * (x - target.to(x)) ** 2).sum()

    for step in range(1, 11):
        seen.clear()
        found = LatentUpdate(step, interval, 0.003, 0.002, 10, dtype=dtype)(z["x0"], loss)
        close(found, z[f"x_{name}_interval{interval}"][step - 1].float(), atol=1e-6, rtol=0)
        close(
            seen[-1], z[f"grad_{name}_interval{interval}"][step - 1].float(), atol=1e-6, rtol=1e-2 if name == "bf16" else 1e-5
        )


# --- other precisions and sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_precision_is_taken_and_positions_keep_theirs(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(3, 48, 8, generator=generator).to(dtype) for _ in range(2))
    tiles, second = amf.Tiles((6, 8), 3, 4), torch.tensor([1, 2, 0])
    windows = amf.windows_at(amf.window_centres(q, k, tiles, 0.3), (6, 8), 4)

    def all_of(q: Tensor, k: Tensor) -> list[Tensor]:
        return [
            amf.dense_flow(q, k, second, (6, 8), 0.3),
            amf.windowed_flow(q, k, windows, tiles, 0.3), amf.window_centres(q, k, tiles, 0.3), amf.window_means(k, windows, (6, 8)),
        ]  # fmt: skip

    for found, exact in zip(all_of(q, k), all_of(q.double(), k.double()), strict=True):
        assert released.flow(q, k, tiles, 3, 3, 0.3).between[0].dtype == torch.promote_types(dtype, torch.float32)
        assert found.dtype == torch.promote_types(dtype, torch.float32) and exact.dtype == torch.float64
        # These jump by a token when a logit's last bit changes, so only their kind is compared.
        assert amf.dense_flow(q, k, second, (6, 8), 0.3, top=5).dtype == torch.promote_types(dtype, torch.float32)
        close(found, exact, atol={torch.float64: 0, torch.float16: 5e-3, torch.bfloat16: 5e-2}[dtype], rtol=0)


@pytest.mark.parametrize(
    ("side", "shortest", "wanted"), [(21, 30, 21), (21, 28, 21), (21, 21, 13), (21, 16, 11), (8, 8, 5), (5, 6, 5)]
)
def test_a_released_window_keeps_room_to_move(side: int, shortest: int, wanted: int) -> None:
    assert released.roomy_side(side, shortest) == wanted
    q, k = (torch.randn(2, shortest * shortest, 8, generator=torch.Generator().manual_seed(n)).requires_grad_() for n in (0, 1))
    tiles = amf.Tiles((shortest, shortest), 2, 2)
    flow = released.flow(q, k, tiles, released.roomy_side(side, shortest), 2, 8.0)
    assert max(g.abs().max() for g in torch.autograd.grad(flow.between[0].square().sum(), (q, k))) > 1e-4
    with pytest.raises(ValueError, match="no room"):
        released.flow(q, k, tiles, 2 * shortest, 2, 8.0)
