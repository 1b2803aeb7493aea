"""Does guidance see the reference? Gradients whose cosine and share are known, and the command on a model of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from support.cli import bench
from torch import Tensor

from fastvmt.core.stages import Stages
from fastvmt.plugins.method import Context, Method, Params
from fastvmt.upkeep.sees import Look, Sight, _looks

SIGMAS = (1.0, 0.9, 0.7, 0.0)


class Pulls(Method):
    """Its gradient is the reference itself, and from step 1 on nothing but the latent."""

    id = "pulls"

    def loss(self, ctx: Context, i: int, x: Tensor, level: float | None = None) -> Tensor:
        return (x * ctx.reference()).sum() if i == 0 else x.square().sum() / 2


def looks(references: Sequence[Sequence[float]]) -> tuple[Look, ...]:
    nothing: Any = cast(Any, None)
    contexts = [
        Context(nothing, SIGMAS, torch.zeros(2), lambda r=r: torch.tensor(r), {"caption": torch.zeros(1)}, Stages())  # type: ignore[misc]
        for r in references
    ]
    return _looks(Pulls(Params()), contexts, [{0: torch.ones(2), 1: torch.ones(2)} for _ in references], [0, 1])


@pytest.mark.parametrize(
    ("references", "cosine", "share"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], 0.0, 1.0),
        ([[1.0, 0.0], [-1.0, 0.0]], -1.0, 2.0),
        ([[1.0, 2.0], [1.0, 2.0]], 1.0, 0.0),
        ([[1.0, 0.0], [3.0, 0.0]], 1.0, 0.4),  # the same direction, and another length
        ([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], -1 / 3, 4 / 3),  # each against the next one
    ],
)
def test_cosine_and_share_of_known_gradients(references: list[list[float]], cosine: float, share: float) -> None:
    first, blind = looks(references)
    assert (first.cosine, first.share) == (pytest.approx(cosine), pytest.approx(share))
    assert (blind.cosine, blind.share) == (pytest.approx(1.0), 0.0)


def test_no_gradient_is_no_number() -> None:
    first, _ = looks([[0.0, 0.0], [0.0, 0.0]])
    assert first.data() == {"step": 0, "level": 1.0, "cosine": None, "share": None}


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.2, 0.0, 0.5), "can transfer here, because 0.20 to 0.50 of the gradient of 2 of its 3 guided steps is about"),
        ((0.0, 0.001, 0.5), "can transfer here only from step 2 (level 0.700) on, because less than 0.01 of its gradient"),
        ((0.0, 0.0001), "cannot transfer here, because at most 0.0001 of its gradient is about the reference"),
        ((float("nan"),), "cannot transfer here, because nothing of its gradient"),
    ],
)
def test_the_verdict_says_why(shares: tuple[float, ...], words: str) -> None:
    found = Sight("m", 0, tuple(Look(i, SIGMAS[i], 1.0, share) for i, share in enumerate(shares)), {}, 2, 0.0)
    assert found.says.startswith(f"m {words}")


def test_at_level_1_a_noised_reference_cannot_be_seen_and_a_clean_one_can(xs: Path) -> None:
    labels = "fastvmt:reference=matched:guided=steps:0-0,fastvmt:reference=clean:guided=steps:0-1"
    said = bench("doctor", "--method", labels, "--backbone", xs, "--clips", "2", "--json")
    assert said.code == 0, said.err
    noised, clean = said.data["methods"]
    assert noised["steps"][0]["share"] == 0.0 and not noised["sees"] and "cannot transfer here" in noised["verdict"]
    assert [look["step"] for look in clean["steps"]] == [0, 1] and min(look["share"] for look in clean["steps"]) > 1e-6


def test_a_row_with_noise_levels_of_its_own_is_asked_on_them(xs: Path) -> None:
    said = bench("doctor", "--method", "fastvmt:released:tile=2x2", "--backbone", xs, "--clips", "2", "--json")
    assert said.code == 0, said.err
    assert said.data["methods"][0]["steps"][0]["level"] == pytest.approx(0.9545, abs=1e-4)


def test_one_method_is_asked_by_block_too(xs: Path) -> None:
    said = bench("doctor", "--method", "ditflow:guided=steps:0-1", "--backbone", xs, "--clips", "2")
    assert said.code == 0, said.err
    assert "cosine (share) by block" in said.out and "(guided)" in said.out
    assert said.out.startswith("ditflow:guided=steps:0-1 can")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--method", "none"), "none has no gradient of a loss on the latent; what it does is not steered by one"),
        (("--method", "det"), "det has no gradient of a loss on the latent; it is trained on the reference instead"),
        (("--method", "fastvmt", "--clips", "1"), "--method needs 2 or more"),
        (("--method", "fastvmt:guided=share:0", "--clips", "2"), "none of the 10 steps is guided"),
        (("--method", "fastvmt", "--tracker", "lk"), "ask one at a time"),
        (("--steps", "4"), "--steps needs --method NAME"),
        (("--method", ","), "--method is empty"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(words: tuple[str, ...], why: str) -> None:
    said = bench("doctor", *words)
    assert said.code == 2 and why in said.err
