"""``bench frontier``: which labels a grid means, and what is refused before anything is made."""

from __future__ import annotations

import pytest
from support.cli import bench, refusal

from fastvmt.errors import SpecError
from fastvmt.runner.plan.grid import grid
from fastvmt.runner.settings import Request

STEPS = Request(suite="shapes", steps=10)
"""On ``tiny`` fastvmt has inner=10, interval=3 and guided=steps:0-4 here."""


def changes(*over: str, base: str = "fastvmt", request: Request = STEPS) -> list[str]:
    """What stands behind the base in each label."""
    found = grid(base, over, request)
    assert found.labels[0] == found.base == base and found.optional == {*found.labels} - {base}
    return [label.removeprefix(base).removeprefix(":") for label in found.labels]


def test_typed_values_make_every_combination_and_the_methods_own_are_left_unsaid() -> None:
    assert changes("inner=4,10,4", "interval=1") == ["", "inner=4:interval=1", "interval=1"]
    assert changes("inner=4,10,interval=1,3") == ["", "inner=4:interval=1", "inner=4", "interval=1"]
    assert changes("guided=share:0.5,steps:0-2") == ["", "guided=steps:0-2"]
    assert changes("inner=4", base="fastvmt:no-window") == ["", "inner=4"]


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        ("inner", ["inner=5", "", "inner=20"]),
        ("guided", ["guided=steps:0-1", "", "guided=steps:0-9"]),
        ("block", ["block=2", ""]),  # tiny has no block 8
        ("lr_first", ["lr_first=0.01", "", "lr_first=0.04"]),
        ("heads", ["heads=mean_qk", ""]),
        ("rope", ["rope=false", ""]),
        ("reuse", ["", "no-step-skip"]),  # a factor that the method declares
        ("inner,rope", ["inner=5:rope=false", "inner=5", "rope=false", "", "inner=20:rope=false", "inner=20"]),
    ],
)
def test_names_alone_stand_for_values_around_the_methods_own(over: str, wanted: list[str]) -> None:
    found = changes(over)
    assert found[0] == "" and sorted(found) == sorted(wanted)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (("iner=4",), "--over iner: fastvmt has no such parameter. Did you mean inner"),
        (("inner=0",), "inner: Input should be greater than or equal to 1; it is from 1 to 10,000"),
        (("inner=4", "inner=5"), "--over names a parameter twice"),
        (("",), "--over is empty"),
        (("tile",), "--over tile: there is nothing around"),
        (("inner,interval,block,span,window",), "--over makes"),
    ],
)
def test_what_makes_no_grid_is_said_in_a_sentence(over: tuple[str, ...], words: str) -> None:
    assert words in refusal(lambda: grid("fastvmt", over, STEPS), SpecError)


def test_rows_of_one_budget_have_no_frontier() -> None:
    with pytest.raises(SpecError, match="gives every row the same work"):
        grid("fastvmt", ["inner"], Request(protocol="matched-budget"))


def test_the_command_refuses_before_it_begins() -> None:
    said = bench("frontier", "fastvmt", "--over", "iner")
    assert said.code == 2 and "Did you mean inner" in said.err
    assert bench("frontier", "fastvmt").code == 2  # --over is needed
