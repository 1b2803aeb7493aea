"""Cards: every built-in method has one that is true where it can be checked, and a plug-in may bring its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench

from fastvmt import api
from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.plugins import labels, registry
from fastvmt.plugins.card import NO_CARD, MethodCard, card_of
from fastvmt.plugins.method import Method

METHODS = [name for name in registry.BUILTIN["methods"] if registry.methods.get(name).role not in ("toy", "imported")]
OWN: dict[str, Any] = {
    "title": "Mine", "paper": "none", "faithful": ["to nothing"], "defaults": "made up", "licence": "mine", "start": "the run's noise",
    "budget": {"forwards": 100, "says": "sampling"},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_card_whose_budget_is_counted(name: str) -> None:
    found = card_of(registry.methods.get(name))
    assert found is not None and found.faithful
    wan = card.load("wan2.1-vace-1.3b" if registry.methods.get(name).needs_control else "wan2.1-1.3b")
    shape = wan.shape(832, 480, 81, sigma_grid(50, 3.0))
    starts = protocol.starts(registry.methods.get(name), "as-published")
    cost = protocol.cost_of(labels.resolve(name, shape, wan.methods, starts), shape)
    assert found.budget.forwards == pytest.approx(cost, abs=0.06)
    if registry.methods.get(name).role != "control":
        assert "licen" in found.licence.lower() or "MIT" in found.licence or "Apache" in found.licence
    guides = registry.methods.get(name).loss is not Method.loss
    assert ("of the gradient about the reference" in found.sees) == guides  # as `bench doctor --method` measures it
    shown = api.describe(name)["card"]
    assert shown["title"] == found.title and all(shown.values())


def test_describe_prints_it(tmp_path: Path) -> None:
    said = bench("describe", "smm")
    assert said.code == 0 and "  faithful:\n    - " in said.out and "as-published" in said.out
    assert json.loads(bench("describe", "smm", "--json").out)["card"]["title"].startswith("SMM")


def test_a_plug_in_brings_its_own_or_says_that_it_has_none(tmp_path: Path) -> None:
    class Mine(Method):
        id = "mine"
        card = OWN

    class Bare(Method):
        id = "bare"

    assert card_of(Mine) == MethodCard.model_validate(OWN) and card_of(Bare) is None
    (tmp_path / "cards").mkdir()
    plugin = tmp_path / "bare_plugin.py"
    plugin.write_text('from fastvmt import Method\n\n\nclass Bare(Method):\n    id = "bare"\n\n\nMETHODS = {"bare": Bare}\n')
    assert NO_CARD in bench("describe", "bare", "--plugin", plugin).out
    lines = [f"{k} = {json.dumps(v)}" for k, v in OWN.items() if k != "budget"]
    (tmp_path / "cards" / "bare.toml").write_text("\n".join([*lines, "[budget]", "forwards = 100", 'says = "sampling"']))
    assert "title: Mine" in bench("describe", "bare", "--plugin", plugin).out


@pytest.mark.parametrize(
    ("changes", "words"), [({"licence": ""}, "licence"), ({"colour": "red"}, "colour"), ({"budget": {"forwards": -1, "says": "x"}}, "forwards")]
)  # fmt: skip
def test_a_card_that_cannot_be_read_is_named(changes: dict[str, Any], words: str) -> None:
    class Mine(Method):
        id = "mine"
        card = OWN | changes

    with pytest.raises(SpecError, match=words):
        card_of(Mine)

    class Lost(Method):
        id = "lost"
        card = "cards/elsewhere.toml"

    with pytest.raises(SpecError, match=r"elsewhere\.toml"):
        card_of(Lost)
