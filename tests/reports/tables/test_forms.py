"""A table says where a backbone's card makes another form of a method than the one that it is named after."""

from __future__ import annotations

from pathlib import Path

from support.runs import make_run, make_setting, make_spec

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.jobs import protocol
from fastvmt.model import MethodSpec
from fastvmt.plugins import labels
from fastvmt.reports.tables.compare import versus
from fastvmt.reports.tables.render import terminal
from fastvmt.reports.tables.views import comparison
from fastvmt.reports.tidy import gather

TINY = card.load("tiny")


def on_tiny(label: str) -> MethodSpec:
    shape = TINY.shape(64, 64, 33, sigma_grid(10, 3.0))
    return labels.resolve(label, shape, TINY.methods, protocol.starts(labels.parse(label)[0], "matched-start"))


def test_the_note_says_what_the_card_changed_and_where_the_papers_form_is(tmp_path: Path) -> None:
    rows = [on_tiny(label) for label in ("none", "fastvmt", "ditflow", "smm", "fastvmt:span=3", "fastvmt:as-written")]
    view = comparison(gather([make_run(tmp_path / "r", 2, rows, videos=False)]))
    wanted = (
        "FastVMT with heads=mean_logits, centre_from=reference, reference=clean; DiTFlow with reference=soft, inject=false, by "
        "the backbone's card (fastvmt:as-written is without it)."
    )
    assert [note for note in view.notes if " with " in note and "card" in note] == [wanted]
    assert wanted in " ".join(terminal(view, 120, colour=False).split())  # among the five lines that are always there


def test_a_method_in_its_own_form_needs_no_note(tmp_path: Path) -> None:
    setting = make_setting((9, 8, 8))
    rows = ("none", "fastvmt:heads=mean_logits", on_tiny("ditflow:as-written"), "fastvmt", "smm")
    specs = [row if isinstance(row, MethodSpec) else make_spec(row, setting) for row in rows]
    tidy = gather([make_run(tmp_path / "r", 2, specs, setting=setting, frames=(9, 8, 8), videos=False)])
    assert not [note for view in (comparison(tidy), versus(tidy)) for note in view.notes if "as-written" in note]
