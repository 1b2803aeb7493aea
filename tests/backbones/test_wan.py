"""The only code that knows Wan, held against diffusers itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card, wan
from fastvmt.backbones.wan import Backbone, rotate
from fastvmt.core.caches import torch_home
from fastvmt.datasets.drawn.probe import correspondence
from fastvmt.denoise import denoise
from fastvmt.errors import MissingWeights, UserError
from fastvmt.methods.controls import NoTransfer
from fastvmt.plugins.method import TAP_SHARE, Context, Params


def none(ctx: Context, guidance: float = 3.0) -> torch.Tensor:
    return denoise(NoTransfer(Params()), ctx, guidance)


def test_no_transfer_is_wan_pipeline_bit_for_bit(xs: Path, backbone: Any, context: Context) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

    pipe = WanPipeline.from_pretrained(xs, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    steps = len(context.sigmas) - 1
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    plain = scheduler.set_timesteps
    linear = np.linspace(1, 0, steps + 1)[:-1]
    scheduler.set_timesteps = lambda n, device=None: plain(sigmas=linear, device=device)
    pipe.scheduler = scheduler
    wanted = pipe(
        prompt="a red circle on a navy plain background", negative_prompt="", height=32, width=32, num_frames=17,
        num_inference_steps=steps, guidance_scale=3.0, latents=context.noise.clone(), output_type="latent",
        max_sequence_length=24,
    ).frames  # fmt: skip
    assert torch.equal(none(context), wanted)


def test_taps_are_what_the_attention_kernel_receives(backbone: Any, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.transformers import transformer_wan

    seen = []
    plain = transformer_wan.dispatch_attention_fn

    def spy(query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append((query, key))
        return plain(query, key, *args, **kwargs)

    monkeypatch.setattr(transformer_wan, "dispatch_attention_fn", spy)
    backbone.velocity(context.noise, 0.7, context.texts["target"])
    for block in range(3):
        taps = backbone.taps(context.noise, 0.7, context.texts["target"], (f"q@{block}", f"k@{block}"))
        assert torch.equal(taps[f"q@{block}"], seen[2 * block][0]) and torch.equal(taps[f"k@{block}"], seen[2 * block][1])


def test_early_exit_runs_no_later_block_and_changes_no_gradient(backbone: Any, context: Context) -> None:
    ran: list[int] = []
    handles = [b.register_forward_pre_hook(lambda m, a, i=i: ran.append(i)) for i, b in enumerate(backbone.transformer.blocks)]
    x = context.noise.clone().requires_grad_(True)
    with torch.enable_grad():
        taps = backbone.taps(x, 0.7, context.texts["target"], ("q@1", "k@1"))
        (short,) = torch.autograd.grad(taps["q@1"].square().sum() + taps["k@1"].sin().sum(), x)
    for handle in handles:
        handle.remove()
    assert ran == [0, 1]
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: kept.update({name: output})

    y = context.noise.clone().requires_grad_(True)
    hooks = [(f"blocks.1.attn1.norm_{n}", keep(n)) for n in "qk"]
    with torch.enable_grad(), backbone.hooked(*hooks):
        backbone.velocity(y, 0.7, context.texts["target"])
        q, k = (rotate(kept[n].unflatten(2, (4, -1)), *backbone.transformer.rope(y)) for n in "qk")
        (whole,) = torch.autograd.grad(q.square().sum() + k.sin().sum(), y)
    assert torch.equal(short, whole)


@pytest.mark.parametrize("free", [1 << 40, 0], ids=["kept", "computed again"])
def test_one_pass_gives_taps_with_gradients_and_the_velocity(
    backbone: Any, context: Context, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(wan, "free_bytes", lambda device: free)
    x, text, before = context.noise, context.texts["target"], backbone.forward_equivalents
    plain = backbone.velocity(x, 0.7, text)
    found = []
    for names in (("q@1", "k@1"), ("q@1", "k@1", "velocity")):
        at = x.clone().requires_grad_(True)
        with torch.enable_grad():
            taps = backbone.taps(at, 0.7, text, names)
            found.append(torch.autograd.grad((taps["q@1"] * taps["k@1"]).sum(), at)[0])
        assert torch.is_grad_enabled(), "a pass leaves the mode as it was"
    assert torch.equal(*found)
    assert not taps["velocity"].requires_grad
    torch.testing.assert_close(taps["velocity"], plain)
    share = (1 + TAP_SHARE) / backbone.card.blocks
    assert backbone.forward_equivalents - before == pytest.approx(1 + 3 * share + 1 + 2 * share)

    backbone.foretell(x, 0.7, text, taps["velocity"])
    assert backbone.velocity(x.detach(), 0.7, text) is taps["velocity"], "it was known"
    assert backbone.velocity(x, 0.7, text) is not taps["velocity"], "once"
    backbone.foretell(x, 0.7, text, taps["velocity"])
    assert backbone.velocity(x.clone(), 0.7, text) is not taps["velocity"], "of this very latent alone"
    changed = x.clone()
    backbone.foretell(changed, 0.7, text, taps["velocity"])
    assert backbone.velocity(changed.mul_(2), 0.7, text) is not taps["velocity"], "as it was"


def test_missing_weights_say_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"about 29 GB.*hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers"):
        card.require_weights(card.load("wan2.1-1.3b"))


def test_a_hub_snapshot_on_disk_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, xs: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshots = tmp_path / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / "abc").symlink_to(xs)
    assert card.load("wan2.1-1.3b").folder == snapshots / "abc"
    assert card.load("Wan-AI/Wan2.1-T2V-1.3B-Diffusers").blocks == 3


def test_weights_digest_follows_content_not_place(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTVMT_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(xs, tmp_path / "copy")
    before = card.weights_digest(card.load(str(xs)))
    assert card.weights_digest(card.load(str(copy))) == before
    target = copy / "transformer" / "config.json"
    target.write_text(target.read_text().replace('"freq_dim": 16', '"freq_dim": 32'))
    assert card.weights_digest(card.load(str(copy))) != before


def test_a_relative_folder_is_kept_as_its_whole_path(xs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers start in the run folder, where ``./name`` is nothing."""
    from fastvmt.runner.plan import resolve
    from fastvmt.runner.settings import Request

    monkeypatch.chdir(xs.parent)
    plan = resolve(Request(backbone=f"./{xs.name}", limit=1, metrics=("time",)))
    assert plan.config.setting.backbone == str(xs.resolve())
    assert plan.default_folder().name.startswith(f"shapes-{xs.name}-")


def test_keys_do_not_depend_on_where_a_folder_lies() -> None:
    from support.runs import make_setting

    keys = [make_setting(backbone=b).identity()["backbone"] for b in ("/a/wan", "/b/c", "tiny", "owner/name")]
    assert keys == ["", "", "tiny", "owner/name"]


@pytest.mark.parametrize(
    ("file", "parts"),
    [("None.py", {}), ("transformer/diffusers.py", {}), ("transformer/evil.py", {"transformer": ["evil", "WanTransformer3DModel"]}),
     ("", {"transformer": ["antigravity", "X"]}), ("", {"scheduler": ["transformers.hub", "X"]})],
)  # fmt: skip
def test_a_folder_of_weights_brings_no_code(xs: Path, tmp_path: Path, file: str, parts: dict[str, Any]) -> None:
    """A run folder may name it, and diffusers looks for classes in it."""
    folder = shutil.copytree(xs, tmp_path / "theirs")
    if file:
        (folder / file).write_text("raise SystemExit")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | parts))
    with pytest.raises(UserError, match="is code|only parts of diffusers and transformers"):
        card.load(str(folder))


@pytest.mark.parametrize("lost", ["shard", "weights", "index", "tokenizer"])
def test_a_torn_download_is_not_taken_for_whole(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--o--n" / "snapshots" / "a"
    shutil.copytree(xs, folder)
    transformer = folder / "transformer"
    names = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (transformer / "diffusion_pytorch_model.safetensors").rename(transformer / names[0])
    shutil.copyfile(transformer / names[0], transformer / names[1])
    index = transformer / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    assert card.load("o/n").folder == folder
    gone, words = {
        "shard": (transformer / names[1], names[1]), "weights": (folder / "vae" / "diffusion_pytorch_model.safetensors", "vae/"),
        "index": (index, "index"), "tokenizer": (folder / "tokenizer", "tokenizer/ is missing"),
    }[lost]  # fmt: skip
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(MissingWeights):
        card.load("o/n")
    with pytest.raises(UserError, match=words):
        card.load(str(folder))


def test_torchs_home_is_where_torch_keeps_things(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("TORCH_HOME", "~/t")):
        monkeypatch.setenv(name, value)
        assert f"{torch_home()}/hub" == torch.hub.get_dir()


def test_the_probe_takes_any_size_a_model_takes(backbone: Backbone) -> None:
    """Drawn clips are square and of 64 px; a model's tokens need not divide them, nor its frames be square."""
    found = correspondence(backbone, 80, 48, 9, clips=2)
    assert found.tokens > 0 and found.share.shape == (4, 3, 6) and 0 <= found.share.min() <= found.share.max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is asked")
@pytest.mark.parametrize(("numbers", "many", "go"), [(25_000, 4000, "trim(torch.device('cpu'))"), (2_500_000, 80, "")])
def test_what_guidance_let_go_of_is_no_memory_of_a_decode(numbers: int, many: int, go: str) -> None:
    """Tensors of 0.1 and of 10 MB, of which every tenth stays: the large ones go by themselves, as the model was loaded. In a
    process of its own, which has freed larger ones before."""
    code = f"""
import torch
from fastvmt.backbones.memory import let_go_of_large_blocks, trim
from fastvmt.core.stages import peak_process_bytes, reset_peak
for size in (3, 6, 7):
    torch.ones(size << 20)
let_go_of_large_blocks()
reset_peak(); before = peak_process_bytes()
held = [torch.ones({numbers}) for _ in range({many})]
kept = held[::10]
del held
{go}
reset_peak(); print((peak_process_bytes() - before) / sum(t.nbytes for t in kept))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2.5, "ten times what stays was held"
