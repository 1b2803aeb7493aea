"""Wan2.2-TI2V-5B, Wan2.2-T2V-A14B and VACE-1.3B in their own layouts: random weights, few blocks, the path of all others."""

from __future__ import annotations

import json
import math
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from support.cli import bench
from support.runs import make_setting

from fastvmt.backbones import card as cards
from fastvmt.backbones.token_grid import MODULATION
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.errors import UserError
from fastvmt.estimates.memory import Need, need
from fastvmt.methods.controls import NoTransfer
from fastvmt.model import MethodSpec
from fastvmt.plugins import registry
from fastvmt.plugins.method import Params
from fastvmt.testing import Trial, make_context, random_wan, small
from fastvmt.testing.layouts import layout

NAMES = ("wan2.1-1.3b", "wan2.2-ti2v-5b", "wan2.2-t2v-a14b", "wan2.1-vace-1.3b")
TEXT = "a red circle on a navy plain background"
Loaded = Callable[[str], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}
    return lambda name: made.setdefault(name, made.get(name) or random_wan(tmp_path_factory.mktemp(name), **layout(name)))


@pytest.fixture(scope="module")
def loaded(folder: Callable[[str], Path]) -> Loaded:
    made: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in made:
            made[name] = Backbone(cards.load(str(folder(name))))
        return made[name]

    return load


def pipeline(folder: Path, vae: Any, sigmas: tuple[float, ...]) -> Any:
    """diffusers' own, on the run's noise levels; with our VAE, whose convolutions are another kernel's on a CPU."""
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, vae=vae)
    pipe.set_progress_bar_config(disable=True)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    plain, linear = scheduler.set_timesteps, np.linspace(1, 0, len(sigmas))[:-1]
    scheduler.set_timesteps = lambda n, device=None: plain(sigmas=linear, device=device)
    pipe.scheduler = scheduler
    return pipe


def asked(ctx: Any, **more: Any) -> dict[str, Any]:
    f, h, w = ctx.noise.shape[2:]
    card = ctx.backbone.card
    size = {"num_frames": 4 * f - 3, "height": h * card.vae_spatial, "width": w * card.vae_spatial}
    return {
        "prompt": TEXT, "negative_prompt": "", "guidance_scale": 3.0, "num_inference_steps": len(ctx.sigmas) - 1,
        "latents": ctx.noise.clone(), "output_type": "latent", "max_sequence_length": 24, **size, **more,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_transfer_is_diffusers_own_pipeline_bit_for_bit(name: str, folder: Any, loaded: Loaded) -> None:
    ctx = make_context(loaded(name))
    pipe = pipeline(folder(name), ctx.backbone.vae, ctx.sigmas)
    second = {"guidance_scale_2": 1.5} if ctx.backbone.card.boundary else {}
    wanted = pipe(**asked(ctx, **second)).frames
    found = denoise(NoTransfer(Params()), ctx, ctx.backbone.card.scale(3.0, second.get("guidance_scale_2")))
    assert torch.equal(found, wanted)


def test_vace_is_the_pipeline_given_the_reference(folder: Any, loaded: Loaded) -> None:
    ctx = make_context(loaded("wan2.1-vace-1.3b"))
    video = [
        diffusers.utils.load_image(diffusers.image_processor.VaeImageProcessor.numpy_to_pil(f / 255)[0]) for f in ctx.frames()
    ]
    wanted = pipeline(folder("wan2.1-vace-1.3b"), ctx.backbone.vae, ctx.sigmas)(**asked(ctx, video=video)).frames
    method = registry.methods.get("vace")(Params())
    found = denoise(method, ctx, 3.0)
    assert torch.equal(found, wanted)
    assert not torch.equal(found, denoise(NoTransfer(Params()), ctx, 3.0)), "afterwards there is no control video"


@pytest.mark.parametrize(("name", "method"), [
    *((name, method) for name in NAMES[1:] for method in ("fastvmt", "flowstep")), ("wan2.1-vace-1.3b", "vace"),
    ("wan2.1-vace-1.3b", "ropecraft"), ("wan2.2-t2v-a14b", "motion_director"),
])  # fmt: skip
def test_two_guided_steps(name: str, method: str, loaded: Loaded) -> None:
    cls, backbone = registry.methods.get(method), loaded(name)
    trial = Trial(cls, backbone, small(cls), steps=2)
    latent = trial.video()
    assert backbone.forward_equivalents == pytest.approx(cls.cost(trial.params(), trial.shape), rel=1e-6)
    assert bool(torch.isfinite(latent).all())
    assert not torch.equal(latent, Trial(NoTransfer, backbone, steps=2).video())


@pytest.mark.parametrize(("backbone", "method", "words"), [
    ("wan2.1-1.3b", "vace", "needs a backbone that takes a control video"), ("wan2.1-vace-1.3b", "det", "trains weights"),
])  # fmt: skip
def test_what_a_control_branch_decides_is_refused_by_the_plan(backbone: str, method: str, words: str, tmp_path: Path) -> None:
    said = bench("plan", "--backbone", backbone, "--methods", method, "--limit", "1", cwd=tmp_path)
    assert said.code == 2 and words in said.err and method in said.err


def test_each_level_has_its_transformer(loaded: Loaded) -> None:
    """Sampling, taps, their gradients, and what is trained; with offload the other one is not on the device."""
    backbone, ran = loaded("wan2.2-t2v-a14b"), list[int]()
    ctx = make_context(backbone)
    handles = [e.blocks[1].register_forward_hook(lambda m, a, o, n=n: ran.append(n)) for n, e in enumerate(backbone.experts)]
    for level in (1.0, 0.875, 0.8749, 0.2):
        backbone.velocity(ctx.noise, level, ctx.texts["target"])
        x = ctx.noise.clone().requires_grad_(True)
        with torch.enable_grad():
            q = backbone.taps(x, level, ctx.texts["target"], ("q@2",))["q@2"]
            torch.autograd.grad(q.square().sum(), x)
    for handle in handles:
        handle.remove()
    assert ran == [0, 0, 0, 0, 1, 1, 1, 1]
    plain = [backbone.velocity(ctx.noise, level, ctx.texts["target"]) for level in (0.9, 0.5)]
    assert not torch.equal(*plain)


def test_of_two_transformers_the_idle_one_is_off_the_device(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without another device, the one that is asked for stands in: ``meta`` has no numbers, and moves show."""
    from fastvmt.backbones import experts

    one, two = (torch.nn.Linear(2, 2) for _ in range(2))
    moved: list[tuple[int, str]] = []
    names = {id(p): n for n, m in enumerate((one, two)) for p in m.parameters()}

    def move(tensors: Any, device: torch.device) -> None:
        moved.extend((names[id(t)], device.type) for t in tuple(tensors)[:1] if not t.requires_grad)

    monkeypatch.setattr(experts, "_move", move)
    pair = experts.Experts(one, two, torch.device("cuda"), "vae")
    assert moved == [(0, "cuda")], "the second one waits"
    moved.clear()
    with pair.running(True) as running:
        assert running is two and moved == [(0, "cpu"), (1, "cuda")]


def test_what_time_steps_of_their_own_make_a_gradient_keep(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what autograd saves: to the byte what is added to the estimate."""
    backbone = loaded("wan2.2-ti2v-5b")
    ctx, kept = make_context(backbone), []
    for per_token in (False, True):
        monkeypatch.setattr(backbone, "card", replace(backbone.card, per_token=per_token))
        for name in ("hidden@0", "hidden@1"):
            sizes: dict[int, int] = {}

            def keep(t: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
                sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
                return t

            with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
                held = backbone.taps(ctx.noise.clone().requires_grad_(True), 0.5, ctx.texts["target"], (name,))
            kept.append(sum(sizes.values()))
            del held
    plain, own = kept[1] - kept[0], kept[3] - kept[2]
    more = math.prod(backbone.tokens(ctx.noise)) - 1  # where all share a time step, it is kept as of one token
    assert own - plain == more * backbone.card.heads * backbone.card.head_dim * MODULATION


def test_the_plan_counts_what_a_model_has_more() -> None:
    guided = MethodSpec(label="ditflow", method="ditflow", version=1, params={"block": 14})

    def needed(name: str, offload: str = "text", **facts: Any) -> Need:
        card = replace(cards.load(name), **facts)
        return need(card, 832, 480, 81, "bfloat16", (guided,), offload=offload, device="cuda")

    two, one = needed("wan2.2-t2v-a14b"), needed("wan2.2-t2v-a14b", offload="vae")
    assert two.transformer == 2 * one.transformer and one.transformer == needed("wan2.1-14b").transformer
    plain, own = (needed("wan2.2-ti2v-5b", per_token=p) for p in (False, True))
    assert own.forward > plain.forward and own.stored > 1.5 * plain.stored and own.transformer == plain.transformer
    assert own.vae == 4 * 704_688_668 and own.encode < needed("wan2.1-1.3b").encode
    control, none = (needed("wan2.1-vace-1.3b", control_blocks=n) for n in (15, 0))
    assert control.forward > none.forward and control.stored > 1.9 * none.stored


@pytest.mark.parametrize("change", ["no second", "another shape", "no ratio", "text"])
def test_two_transformers_that_do_not_fit_are_refused(folder: Any, tmp_path: Path, change: str) -> None:
    place = shutil.copytree(folder("wan2.2-t2v-a14b"), tmp_path / "two")
    index, config = place / "model_index.json", place / "transformer_2" / "config.json"
    facts = json.loads(index.read_text())
    if change == "no second":
        shutil.rmtree(place / "transformer_2")
    elif change == "another shape":
        config.write_text(config.read_text().replace('"num_layers": 3', '"num_layers": 2'))
    elif change == "no ratio":
        index.write_text(json.dumps(facts | {"boundary_ratio": None}))
        assert Backbone(cards.load(str(place))).card.boundary is None, "the second one never runs, as in WanPipeline"
        return
    else:
        index.write_text(json.dumps(facts | {"boundary_ratio": "0.9"}))
    with pytest.raises(UserError, match={"no second": "transformer_2/", "another shape": "num_layers"}.get(change, "boundary")):
        cards.load(str(place))


def test_the_second_scale_of_guidance(tmp_path: Path) -> None:
    wan = cards.load("wan2.2-t2v-a14b")
    assert wan.scales() == (4.0, 3.0) and wan.scales(5.0) == (5.0, None) and wan.scales(5.0, 2.0) == (5.0, 2.0)
    assert [wan.scale(*wan.scales())(level) for level in (1.0, 0.875, 0.874)] == [4.0, 4.0, 3.0]
    assert cards.load("wan2.1-1.3b").scales() == (5.0, None)
    assert "guidance_2" not in make_setting().identity(), "keys of other runs are what they were"
    assert make_setting(guidance_2=2.0).identity()["guidance_2"] == 2.0
    assert make_setting(guidance_2=2.0).scales == "guidance 3, then 2"
    said = bench("plan", "--backbone", "wan2.1-1.3b", "--guidance-2", "3", "--limit", "1", cwd=tmp_path)
    assert said.code == 2 and "two transformers" in said.err


def test_a_published_layout_is_what_its_card_says(folder: Any) -> None:
    for name in NAMES:
        here, published = cards.load(str(folder(name))), cards.load(name)
        for fact in ("patch", "latent_channels", "vae_spatial", "vae_temporal", "per_token", "boundary", "multiple"):
            assert getattr(here, fact) == getattr(published, fact), (name, fact)
        assert bool(here.control_blocks) == bool(published.control_blocks)


def test_the_script_writes_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["random_backbone", "wan2.2-ti2v-5b", str(tmp_path / "new"), "--blocks", "1"])
    script = str(Path(__file__).parents[2] / "tools" / "backbones" / "random_backbone.py")
    runpy.run_path(script, run_name="__main__")
    assert cards.load(str(tmp_path / "new")).per_token and "1 blocks" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        runpy.run_path(script, run_name="__main__")
