"""Invariants of the methods on the random Wan, and how their labels resolve."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.methods._math import flow as amf
from fastvmt.methods.fastvmt import FastVMT, FastVMTParams
from fastvmt.plugins import labels, registry
from fastvmt.plugins.method import Context, Shape

WAN_1B = card.load("wan2.1-1.3b")
LABELS = [
    "none", "sdedit", "ditflow", "ditflow:no-injection", "ditflow:forward-span", "fastvmt", "fastvmt:no-window",
    "fastvmt:no-window-loss", "fastvmt:no-step-skip", "fastvmt:released:tile=2x2", "fastvmt:block=2", "fastvmt:span=3",
    "fastvmt:centre=argmax:reference=clean:centre_from=reference:heads=mean_logits",
]  # fmt: skip

SMALL: dict[str, dict[str, Any]] = {
    "none": {},
    "sdedit": {},
    "fastvmt": {"guided": "steps:0-1", "window": 3},
    "ditflow": {"guided": "steps:0-1"},
    "ttm": {"weak": 1, "strong": 2},
}
GUIDED = {"guided": "steps:0-1"}
"""Two guided steps, and windows smaller than the 4x4 grid."""


def shape_of(ctx: Context) -> Shape:
    c = ctx.backbone.card
    return c.shape(32, 32, 17, ctx.sigmas)


def method(label: str, ctx: Context) -> tuple[Any, Any]:
    spec = labels.resolve(label, shape_of(ctx), {})
    return labels.build(spec), spec


RUNS: dict[str, list[dict[str, Any]]] = {
    **{label: [{}] for label in LABELS},
    "moft": [
        {}, {"inject": False}, {"channels": "pans"}, {"channels": "pans", "ref_sigma": 0.7, "ref_path": "inverted"},
        {"ref_sigma": 0.411}, {"updater": "sgd", "step": 20.0, "repeats": 3}, {"standardise": True}, {"keep": 1.0, "block": 0},
    ],
    "moft:original": [{}],
    "flowstep": [
        {}, {"shared": False}, {"spread": False}, {"directions": "forward"}, {"moving": 0.0}, {"inner": 2}, {"window": 0},
        {"guided": "share:1.0"}, {"guided": "share:0"}, {"heads": "mean_qk", "rope": False},
    ],
    "flowmotion": [
        {}, {"source": "clean"}, {"across": 1.0}, {"latent_weight": 0.0}, {"difference_weight": 0.0}, {"guided": "share:0"},
        {"guided": "steps:1-2", "inner": 1},
    ],
    "ropecraft": [
        {}, {"warp": False}, {"phase_weight": 0.0}, {"guided": "share:0"}, {"guided": "steps:1-2", "inner": 1, "blur": 0},
    ],
    "ttm": [{}, {"weak": 0}, {"mask": "frame"}, {"weak": 2, "strong": 3}],
    "motionclone": [{}, {"guided": "share:1.0", "diagonal": "mask"}, {"guided": "share:0"}],
    "smm": [
        {}, {"begin": "noise"}, {"ref": "noised"}, {"ref": "clean"}, {"ref": "clean", "begin": "noise", "guided": "steps:1-2"},
        {"guided": "share:0"},
    ],
}  # fmt: skip
"""Every switch of every method that computes with it, at least once."""


@pytest.mark.parametrize(("label", "changes"), [(label, c) for label, all_of in RUNS.items() for c in all_of])
def test_runs_finite_repeatable_and_costs_what_it_says(label: str, changes: dict[str, Any], context: Context) -> None:
    name = label.split(":")[0]
    spec = labels.resolve(label, shape_of(context), SMALL | {name: SMALL.get(name, GUIDED) | changes})
    results = []
    for _ in range(2):
        context.state, context.log = None, {}
        context.backbone.forward_equivalents = 0.0
        results.append(denoise(labels.build(spec), context, 3.0))
    assert torch.equal(*results) and bool(torch.isfinite(results[0]).all())
    cls = registry.methods.get(spec.method)
    said = cls.cost(cls.Params.model_validate(spec.params), shape_of(context))
    assert context.backbone.forward_equivalents == pytest.approx(said, rel=1e-6)


def test_reuse_runs_four_gradients_of_ten(context: Context) -> None:
    found, _ = method("fastvmt", context)
    denoise(found, context, 3.0)
    assert [len(v) for v in context.log["loss"].values()] == [4]
    context.state, context.log = None, {}
    plain, _ = method("fastvmt:no-step-skip", context)
    denoise(plain, context, 3.0)
    assert [len(v) for v in context.log["loss"].values()] == [10]


def test_paper_values_on_wan_1b() -> None:
    shape = WAN_1B.shape(832, 480, 81, sigma_grid(50, 3.0))
    assert shape.grid == (21, 30, 52)
    p = labels.resolve("fastvmt:as-written", shape, WAN_1B.methods).params
    wanted = {
        "preset": "paper", "block": 14, "guided": "steps:0-9", "inner": 10, "interval": 3, "lr_first": 0.003, "lr_last": 0.002,
        "span": 5, "window": 21, "tile": [3, 4], "temperature": 1.0, "amf_weight": 5.0, "window_weight": 1.0, "begin": "noise",
    }  # fmt: skip
    assert {k: p[k] for k in wanted} == wanted
    r = labels.resolve("fastvmt:released", shape, WAN_1B.methods).params
    assert (r["span"], r["include_same"], r["tokens_mean"], r["begin"], r["block"]) == (4, True, False, "reference", 14)
    d = labels.resolve("ditflow", shape, WAN_1B.methods).params
    assert (d["temperature"], d["inner"], d["reference"], d["inject"], d["guided"]) == (2.0, 5, "argmax", True, "steps:0-9")


@pytest.mark.parametrize(
    ("label", "guided"),
    [
        ("fastvmt:guided=share:0.3:inner=2", "steps:0-14"), ("fastvmt:inner=2:guided=steps:3-5", "steps:3-5"),
        ("fastvmt:guided=share:.5:no-window:inner=2", "steps:0-24"),
    ],
)  # fmt: skip
def test_a_value_with_a_colon_can_be_typed(label: str, guided: str) -> None:
    shape = WAN_1B.shape(832, 480, 81, sigma_grid(50, 3.0))
    p = labels.resolve(label, shape, {}).params
    assert (p["guided"], p["inner"]) == (guided, 2)


def test_presets_ignore_the_cards_tuning() -> None:
    tiny = {"fastvmt": {"lr_first": 0.05, "reference": "clean"}}
    shape = WAN_1B.shape(832, 480, 33, sigma_grid(50, 3.0))
    assert labels.resolve("fastvmt", shape, tiny).params["lr_first"] == 0.05
    assert labels.resolve("fastvmt:released", shape, tiny).params["lr_first"] == 0.003


def test_a_preset_and_the_written_form_keep_the_block_that_the_backbone_numbers() -> None:
    """The authors take the 15th block of both sizes, which a fraction of the depth is in one of them only."""
    large = card.load("wan2.1-14b")
    shape = large.shape(832, 480, 33, sigma_grid(50, 3.0))
    blocks = {k: labels.resolve(f"fastvmt{k}", shape, large.methods).params["block"] for k in ("", ":released", ":as-written")}
    assert blocks == {"": 14, ":released": 14, ":as-written": 14}


def test_on_wan_fastvmt_guides_where_its_authors_do() -> None:
    """Their ten steps lie at 0.9545 to 0.918; with too few steps none does, and the paper's share is left."""
    for name in ("wan2.1-1.3b", "wan2.1-14b"):
        wan = card.load(name)
        shapes = [wan.shape(832, 480, 81, sigma_grid(steps, shift)) for steps, shift in ((50, 3.0), (50, 7.0), (4, 3.0))]
        default, shifted, few = (labels.resolve("fastvmt", shape, wan.methods).params for shape in shapes)
        assert (default["guided"], default["inner"], default["block"]) == ("steps:7-10", 25, 14)
        assert (shifted["guided"], few["guided"], few["inner"]) == ("steps:13-19", "steps:0-0", 10)
        facts = (Path(card.__file__).parent / f"{name}.toml").read_text()
        assert "states no\n# shift and no guidance scale" in facts and "--shift 7 --guidance 5.8" in facts


def test_as_written_is_one_label_away() -> None:
    """The method's own defaults; of the card the block stays, and the protocol's start does."""
    tiny = card.load("tiny")
    shape = tiny.shape(64, 64, 33, sigma_grid(10, 3.0))
    for name in ("fastvmt", "ditflow", "moft", "smm", "motionclone"):
        cls = registry.methods.get(name)
        own = cls.resolve(cls.Params(block=tiny.methods[name]["block"]), shape)
        assert labels.resolve(f"{name}:as-written", shape, tiny.methods).params == labels.as_data(own)
        assert labels.resolve(name, shape, tiny.methods).params != labels.as_data(own)
    found = labels.resolve("smm:as-written:inner=3", shape, tiny.methods, {"begin": "noise"}).params
    assert (found["begin"], found["inner"], found["lr_first"]) == ("noise", 3, 0.007)


def test_a_card_may_change_parameters_from_a_number_of_steps_on() -> None:
    card = {"fastvmt": {"inner": 15, "window": 3, "from_steps": {"100": {"inner": 4}, "30": {"inner": 10, "lr_first": 0.05}}}}

    def inner(steps: int, label: str = "fastvmt") -> int:
        return int(labels.resolve(label, Shape(5, 3, (9, 8, 8), sigma_grid(steps, 3.0)), card).params["inner"])

    assert [inner(n) for n in (10, 29, 30, 50, 99, 100)] == [15, 15, 10, 10, 10, 4]
    assert inner(50, "fastvmt:inner=7") == 7
    shape = Shape(5, 3, (9, 8, 8), sigma_grid(30, 3.0))
    later = labels.resolve("fastvmt", shape, card).params
    assert (later["window"], later["lr_first"]) == (3, 0.05)
    for wrong in ({"thirty": {"inner": 3}}, {"30": 3}, 5):
        with pytest.raises(SpecError, match=r"\[methods.fastvmt.from_steps\] needs a table under each number of steps"):
            labels.resolve("fastvmt", shape, {"fastvmt": {"from_steps": wrong}})


def test_the_released_preset_says_which_grids_it_needs() -> None:
    for shape in (Shape(30, 7, (9, 30, 52), sigma_grid(50, 3.0)), Shape(30, 12, (9, 30, 50), sigma_grid(50, 3.0))):
        with pytest.raises(SpecError, match="divisible"):
            labels.resolve("fastvmt:released", shape, {})


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("fastvm", "Did you mean fastvmt"), ("fastvmt:no-windw", "Did you mean no-window"), ("fastvmt:blok=3", "Did you mean block"),
        ("fastvmt:inner=many", "inner"), ("fastvmt:inner=0", "greater than or equal to 1"), ("none:block=3", "no parameter 'block'"),
        ("fastvmt:guided=half", "steps:0-9"), ("fastvmt:preset=own", "'paper' or 'released'"),
    ],
)  # fmt: skip
def test_unreadable_labels_get_a_sentence(label: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labels.resolve(label, Shape(30, 12, (9, 30, 52), sigma_grid(50, 3.0)), {})


def test_the_forks_ditflow_is_the_dense_form_of_the_released_loss(context: Context) -> None:
    """Head-averaged, offsets 0 to 3, soft, matched level, sums: what FastVMT's own switches give without a window."""
    fork = labels.build(labels.resolve("ditflow:fork:block=1", shape_of(context), {}))
    twin = FastVMT(
        FastVMT.resolve(
            FastVMTParams(
                block=1, window=0, span=4, include_same=True, tokens_mean=False, window_weight=0.0, begin="reference"
            ),
            shape_of(context),
        )
    )
    with torch.no_grad():
        for method in (fork, twin):
            context.state = method.fit(context)
            context.log[type(method).__name__] = float(method.loss(context, 1, context.noise))
    assert context.log["DiTFlow"] == pytest.approx(context.log["FastVMT"], rel=1e-5) and context.log["DiTFlow"] > 0
    update = fork.update(3, 10)
    assert (update.dtype, update.weight_decay, update.inner, update.interval) == (torch.bfloat16, 0.01, 10, 1)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("fastvmt:block=5", "block=5: the model has 5 blocks, counted from 0"),
        ("fastvmt:guided=steps:40-45", "guided=steps:40-45 holds none of the run's 10 steps"),
        ("fastvmt:amf_weight=inf", "finite number"),
        ("moft:lr_first=nan", "finite number"),
        ("fastvmt:released:tile=2x2:reference=clean", "the preset released does not read reference"),
    ],
)
def test_a_parameter_that_would_do_nothing_or_not_what_it_says_is_refused(label: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labels.resolve(label, Shape(5, 3, (9, 8, 8), sigma_grid(10, 3.0)), {})


@pytest.mark.parametrize("keep", [96 << 20, 4 * 16**2 * 2])
def test_pairs_gathered_inside_are_the_pairs_gathered_before(monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """All pairs of a long clip at full size do not fit into memory at once; a few at a time are the same numbers."""
    monkeypatch.setattr(amf, "KEEP_ELEMENTS", keep)
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(4, 16, 6, generator=generator).requires_grad_() for _ in range(2))
    every = torch.arange(4)
    first, second = every.repeat_interleave(4), every.repeat(4)
    found = []
    for args, more in (((q[first], k), {}), ((q, k), {"first": first})):
        flow = amf.dense_flow(*args, second, (4, 4), 0.4, **more)
        found.append((flow, *torch.autograd.grad(flow.square().sum(), (q, k))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert torch.equal(amf.hard_flow(q[first], k, second, (4, 4)), amf.hard_flow(q, k, second, (4, 4), first))


def test_what_a_method_does_around_a_step_is_in_its_seconds(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fastvmt.core.stages.time.perf_counter", lambda: now[0])

    class Slow(registry.methods.get("none")):  # type: ignore[misc]
        @contextmanager
        def scope(self, ctx: Context, i: int) -> Any:
            now[0] += 5
            yield
            now[0] += 3

        def settle(self, ctx: Context, i: int, x: torch.Tensor, x_next: torch.Tensor) -> torch.Tensor:
            now[0] += 7
            return x_next

    denoise(Slow(Slow.Params()), context, 1.0)
    steps = len(context.sigmas) - 1
    assert context.stages.seconds["guidance"] == 15 * steps and sum(context.stages.seconds.values()) == now[0]
