"""A profile on a random Wan: caches in unguided passes alone, levels without classifier-free guidance, backend, compiled blocks."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.acceleration import accelerate
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.estimates.memory import need
from fastvmt.methods.controls import NoTransfer
from fastvmt.model import Profile
from fastvmt.model.profile import ATTENTION, CACHES
from fastvmt.plugins.method import Context, Method, Params
from fastvmt.testing import make_context

STEPS = 10


def sped_up(xs: Path, **profile: str) -> tuple[Backbone, Profile]:
    found = Profile.of(**{"attention": "", "compile": "", "cache": "", "cfg_interval": ""} | profile)
    return Backbone(card.load(str(xs)), profile=found), found


def sampled(backbone: Any, profile: Profile, method: Method | None = None, guided: range = range(0)) -> tuple[Any, float]:
    """The final latent, and the forward passes that it took."""
    before = backbone.forward_equivalents
    found = denoise(method or NoTransfer(Params()), make_context(backbone, steps=STEPS), 3.0, profile=profile, guided=guided)
    return found, backbone.forward_equivalents - before


@pytest.fixture(scope="module")
def plain(backbone: Any) -> torch.Tensor:
    return sampled(backbone, Profile())[0]


@pytest.mark.parametrize(("cache", "nothing"), [
    ("first_block:threshold=9", "first_block:threshold=0"), ("taylorseer:interval=2", "taylorseer:interval=1"),
    ("sea:threshold=9", "sea:threshold=0"),
])  # fmt: skip
def test_a_cache_changes_the_sample_and_does_less_and_one_that_may_do_nothing_does_nothing(
    xs: Path, plain: torch.Tensor, cache: str, nothing: str
) -> None:
    found, passes = sampled(*sped_up(xs, cache=cache))
    assert not torch.equal(found, plain) and 2 < passes < 2 * STEPS
    found, passes = sampled(*sped_up(xs, cache=nothing))
    assert torch.equal(found, plain) and passes == 2 * STEPS


@pytest.mark.parametrize("cache", CACHES)
def test_a_second_video_is_that_of_a_fresh_model(xs: Path, cache: str) -> None:
    backbone, profile = sped_up(xs, cache=cache)
    first = sampled(backbone, profile)
    again = sampled(backbone, profile)
    assert torch.equal(first[0], again[0]) and first[1] == again[1]


@pytest.mark.parametrize("cache", ["first_block", "sea"])
def test_what_it_keeps_is_what_a_plan_counts(xs: Path, cache: str) -> None:
    backbone, profile = sped_up(xs, cache=cache)
    sampled(backbone, profile)
    before = _alive()
    backbone.cache.forget()
    after = _alive()
    kept = sum(size for place, size in before.items() if place not in after)
    context = make_context(backbone)
    wanted, plainly = (need(backbone.card, 32, 32, 17, "float32", (), cache=name).forward for name in (profile.cache, ""))
    assert tuple(context.noise.shape) == backbone.card.latent_shape(32, 32, 17)
    assert 0.8 * (wanted - plainly) <= kept <= wanted - plainly


def _alive() -> dict[int, int]:
    """Bytes of every tensor's storage, by its place."""
    gc.collect()
    found = [thing.untyped_storage() for thing in gc.get_objects() if type(thing) is torch.Tensor]
    return {storage.data_ptr(): storage.nbytes() for storage in found}


class Tapping(Method):
    """Looks at the last block in steps 0 to 2, and says so to nobody."""

    id = "tapping"

    def adjust(self, ctx: Context, i: int, x: torch.Tensor) -> torch.Tensor:
        if i < 3:
            taps = ctx.backbone.taps(x, ctx.sigmas[i], ctx.texts["target"], ("q@2", "hidden@2"))
            ctx.log.setdefault("taps", []).append(taps)
        return x


@pytest.mark.parametrize("cache", ["first_block:threshold=9", "taylorseer:interval=9", "sea:threshold=9"])
def test_passes_of_guided_steps_and_taps_are_those_of_the_plain_model(xs: Path, plain: torch.Tensor, cache: str) -> None:
    backbone, profile = sped_up(xs, cache=cache)
    assert torch.equal(sampled(backbone, profile, guided=range(STEPS))[0], plain)
    context = make_context(backbone, steps=STEPS)
    denoise(Tapping(Params()), context, 3.0, lambda i, n: None, profile)
    backbone.cache.forget()
    plainly = make_context(backbone, steps=STEPS)
    denoise(Tapping(Params()), plainly, 3.0)
    pairs = list(zip(context.log["taps"], plainly.log["taps"], strict=True))
    assert len(pairs) == 3 and all(torch.equal(a[k], b[k]) for a, b in pairs for k in a)


def test_hooks_of_a_method_are_never_skipped(xs: Path, plain: torch.Tensor) -> None:
    backbone, profile = sped_up(xs, cache="first_block:threshold=9")
    calls: list[int] = []
    with backbone.hooked(("blocks.2", lambda *_: calls.append(1))):
        found, _ = sampled(backbone, profile)
    assert torch.equal(found, plain) and len(calls) == 2 * STEPS


def test_hooks_that_the_model_came_with_keep_no_cache_out(xs: Path) -> None:
    backbone, profile = sped_up(xs, cache="taylorseer:interval=2")
    backbone.transformer.blocks[0].register_forward_pre_hook(lambda *_: None)
    backbone.cache = accelerate([backbone.transformer], profile)
    assert sampled(backbone, profile)[1] < 2 * STEPS


@pytest.mark.parametrize("cache", CACHES)
def test_a_failure_inside_leaves_neither_context_nor_cache(xs: Path, plain: torch.Tensor, cache: str) -> None:
    backbone, profile = sped_up(xs, cache=cache)
    broken = backbone.transformer.proj_out
    calls = [0]

    def fails(*given: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 7:
            raise RuntimeError("out of memory")
        return type(broken).forward(broken, *given)

    broken.forward = fails
    with pytest.raises(RuntimeError, match="out of memory"):
        sampled(backbone, profile)
    assert not backbone.transformer.is_cache_enabled
    assert torch.equal(sampled(backbone, Profile(), guided=range(STEPS))[0], plain), "the model is the plain one"
    del broken.forward
    assert torch.equal(sampled(backbone, profile)[0], sampled(*sped_up(xs, cache=cache))[0])


def test_guidance_stops_outside_its_levels(backbone: Any, plain: torch.Tensor) -> None:
    sigmas = make_context(backbone, steps=STEPS).sigmas
    some = Profile(cfg_interval=f"{sigmas[6]}:{sigmas[3]}")
    found, passes = sampled(backbone, some)
    assert passes == STEPS + 4 and not torch.equal(found, plain)
    assert torch.equal(sampled(backbone, Profile(cfg_interval="0.0:1.0"))[0], plain)


def test_a_backend_is_this_models_alone_and_close_to_the_usual_one(xs: Path, plain: torch.Tensor) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()[0]
    found, _ = sampled(*sped_up(xs, attention="_native_math"))
    assert _AttentionBackendRegistry.get_active_backend()[0] == before
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-3)
    assert {*ATTENTION} <= {b.value for b in AttentionBackendName}
    assert sped_up(xs, attention="native")[1] == Profile()


@pytest.mark.slow
def test_compiled_blocks_give_the_same_and_let_taps_see(xs: Path) -> None:
    backbone, profile = sped_up(xs, compile="eager", cache="first_block:threshold=9")
    x = make_context(backbone).noise
    try:
        text = backbone.encode_text("a red disc")
        plainly = Backbone(card.load(str(xs))).velocity(x, 0.7, text)
        torch.testing.assert_close(backbone.velocity(x, 0.7, text), plainly)
        at = x.clone().requires_grad_(True)
        with torch.enable_grad():
            tap = backbone.taps(at, 0.7, text, ("q@1",))["q@1"]
            (gradient,) = torch.autograd.grad(tap.square().sum(), at)
        assert gradient.abs().sum() > 0
        assert sampled(backbone, profile)[1] < 2 * STEPS
    finally:
        torch._dynamo.reset()
