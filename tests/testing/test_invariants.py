"""What every registered method has to hold, on the random Wan; and that the checks notice a method that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fastvmt.backbones import card as cards
from fastvmt.backbones.wan import Backbone
from fastvmt.methods.controls import NoTransfer, SDEdit
from fastvmt.model import REFERENCE
from fastvmt.plugins import registry
from fastvmt.plugins.method import Context, Method, Params
from fastvmt.testing import CHECKS, Trial, check_method, random_wan, small

METHODS = [
    name for name in registry.BUILTIN["methods"]
    if name != REFERENCE and registry.methods.get(name).role not in ("toy", "imported")  # made by a model
]  # fmt: skip
FORMS: dict[str, tuple[dict[str, Any], ...]] = {
    "ditflow": ({}, {k: v for k, v in registry.methods.get("ditflow").variants["fork-motionclone"].items() if k != "begin"}),
    "fastvmt": ({"window": 3},),
    "moft": ({}, {"updater": "sgd", "step": 5.0}),
    "ttm": ({"weak": 0, "strong": 2}, {"weak": 1, "strong": 1}),
    "smm": ({"begin": "low_frequency"}, {"begin": "noise", "restart": True}),
}
"""Parameters beside the quick ones: forms with other code behind them."""
CASES = [
    pytest.param(check, name, form, marks=[pytest.mark.slow] if check == "memory_does_not_grow" and name not in ("fastvmt", "det") else [])
    for check in CHECKS for name in METHODS for form in FORMS.get(name, ({},))
]  # fmt: skip


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The random Wan with a control branch."""
    return Backbone(cards.load(str(random_wan(tmp_path_factory.mktemp("vace"), control=(0, 2)))))


@pytest.mark.parametrize(("check", "name", "form"), CASES)
def test_every_method(check: str, name: str, form: dict[str, Any], request: pytest.FixtureRequest) -> None:
    cls = registry.methods.get(name)
    backbone = request.getfixturevalue("controlled" if cls.needs_control else "backbone")
    CHECKS[check](Trial(cls, backbone, small(cls, form)))


def test_sdedit_from_pure_noise_is_no_transfer(backbone: Any) -> None:
    plain, noise = Trial(NoTransfer, backbone), Trial(SDEdit, backbone, {"sigma": 1.0})
    assert torch.equal(plain.video(), noise.video())
    assert not torch.equal(plain.video(), Trial(SDEdit, backbone, {"sigma": 0.9}).video())


# --- methods that break one rule each ---------------------------------------------------------------------------------


class Own(Method):
    """A plug-in that breaks nothing."""

    id = "own"

    def adjust(self, ctx: Context, i: int, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01


class WrongCost(Own):
    def steer(self, ctx: Context, i: int, x: torch.Tensor) -> torch.Tensor:
        return 0 * ctx.backbone.velocity(x, 0.5, ctx.texts["null"])


class Unseeded(Own):
    def adjust(self, ctx: Context, i: int, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn(x.shape, generator=torch.Generator().manual_seed(torch.seed() % 2**31))


class LeavesAHook(Own):
    def fit(self, ctx: Context) -> None:
        ctx.backbone.transformer.blocks[0].register_forward_hook(lambda *_: None)


class Keeps(Own):
    kept: list[torch.Tensor] = []

    def fit(self, ctx: Context) -> None:
        self.kept.append(ctx.noise.clone())


class Overshoots(Own):
    @classmethod
    def reach(cls, params: Params, shape: Any) -> float:
        return 0.03


class NotItsFloor(Own):
    def loss(self, ctx: Context, i: int, x: torch.Tensor, level: float | None = None) -> torch.Tensor:
        return -(x - ctx.reference()).square().mean()

    def mirror(self, ctx: Context, i: int) -> tuple[torch.Tensor, float, str]:
        return ctx.reference(), 0.0, "null"


class NoGradient(Own):
    def loss(self, ctx: Context, i: int, x: torch.Tensor, level: float | None = None) -> torch.Tensor:
        return (x * 0).sum()


class Misspelt(Own):
    def steeer(self, ctx: Context, i: int, x: torch.Tensor) -> float:
        return 0.0


class Underscored(Own):
    def prepare_(self, ctx: Context, workspace: Any) -> dict[str, Any]:
        return {}


class Variant(Own):
    variant = {"weak": {}}


class DoesNothing(Method):
    """All that it does has no effect."""

    id = "does-nothing"

    def settle(self, ctx: Context, i: int, x: torch.Tensor, x_next: torch.Tensor) -> torch.Tensor:
        return x_next + 0.0 * x


class Control(DoesNothing):
    role = "control"


def test_a_plug_ins_author_can_call_them(xs: Path) -> None:
    assert "its role is control" in str(check_method(Control, xs))
    found = str(check_method(Own, xs))
    assert "holds: it does something" in found and "does not apply: the gradient is sound (it has no loss)" in found


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Misspelt, "steeer is no part of a Method.*did you mean steer"), (Underscored, "did you mean prepare"),
        (Variant, "did you mean variants"), (DoesNothing, "equals none's bit for bit"),
        (WrongCost, "by formula"), (Unseeded, "same seed"), (LeavesAHook, "left hooks"), (Keeps, "after 20"),
        (Overshoots, "rates allow"), (NotItsFloor, "another clip has loss"), (NoGradient, "gradient is zero"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named(cls: type[Method], words: str, xs: Path) -> None:
    with pytest.raises(AssertionError, match=words):
        check_method(cls, xs)
