"""Protocols: what they change in a method, that keys and tables know them, and that numbers of two are never mixed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench
from support.runs import make_run, make_setting, make_spec

from fastvmt import api
from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.content_address import KEY_FORMAT, digest
from fastvmt.errors import NotComparable, SpecError
from fastvmt.jobs import protocol
from fastvmt.media.files import write_viewable
from fastvmt.model import Case, Job, Reference, Setting
from fastvmt.plugins import labels as specs
from fastvmt.reports.gate import baseline, tolerances
from fastvmt.reports.gate.check import check
from fastvmt.reports.tables import render
from fastvmt.reports.tables.compare import versus
from fastvmt.reports.tables.views import comparison, cost
from fastvmt.reports.tidy import gather
from fastvmt.runner import plan as planning
from fastvmt.runner.settings import Request

WAN = card.load("wan2.1-1.3b")
SHAPE = WAN.shape(832, 480, 81, sigma_grid(50, 3.0))
KINDS = ("matched-start", "as-published", "matched-budget")


def planned(*methods: str, **more: Any) -> planning.Plan:
    return planning.resolve(Request(methods=methods, suite="shapes", limit=1, device="cpu", **more), decode=False)


def params(plan: planning.Plan, label: str) -> dict[str, Any]:
    return next(m.params for m in plan.config.methods if m.label == label)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("matched-start", ("matched-start", False)), ("timing", ("matched-start", True)), ("normal", ("matched-start", False)),
        ("as-published,timing", ("as-published", True)), ("timing, matched-budget", ("matched-budget", True)),
    ],
)  # fmt: skip
def test_what_can_be_typed(typed: str, found: tuple[str, bool]) -> None:
    assert protocol.parse(typed) == found


@pytest.mark.parametrize("typed", ["fast", "as-published,matched-start", "matched"])
def test_what_cannot_be_typed_gets_a_sentence(typed: str, tmp_path: Path) -> None:
    said = bench("plan", "--protocol", typed, "--limit", "1", cwd=tmp_path)
    assert said.code == 2 and "as-published" in said.err and len(said.err.strip().splitlines()) == 1


def test_a_budget_belongs_to_its_protocol() -> None:
    for more in ({"budget": 40.0}, {"budget": -1.0, "protocol": "matched-budget"}, {"protocol": "fair"}):
        with pytest.raises(SpecError, match=r"matched-budget|fair"):
            planned("ditflow", **more)


def test_the_protocol_decides_the_start_and_the_label_goes_before_it() -> None:
    begins = {k: params(planned("smm", protocol=k), "smm")["begin"] for k in KINDS}
    assert begins == {"matched-start": "noise", "as-published": "low_frequency", "matched-budget": "noise"}
    typed = planned("smm:begin=low_frequency", "fastvmt", "fastvmt:begin=reference:begin_sigma=0.9")
    assert params(typed, "smm:begin=low_frequency")["begin"] == "low_frequency"
    said = [n for n in typed.config.notes if "does not start as the protocol" in n]
    assert len(said) == 2 and "begin=reference" in said[1]
    assert not [n for n in planned("smm", "fastvmt", "moft").config.notes if "does not start" in n]


def test_a_named_preset_keeps_what_it_is() -> None:
    for kind in ("matched-start", "as-published"):
        cls, _ = specs.parse("fastvmt:released")
        spec = specs.resolve("fastvmt:released", SHAPE, WAN.methods, protocol.starts(cls, kind))
        assert (spec.params["begin"], spec.params["span"]) == ("reference", 4)
        assert bool(protocol.departures([spec], kind)) == (kind == "matched-start")


def test_keys_of_the_default_protocol_are_those_from_before_protocols() -> None:
    reference = Reference(frames_digest="f" * 64, width=8, height=8, frames=5, source="x")
    case = Case(id="a", prompt="p", reference=reference)
    setting = make_setting()
    method = make_spec("none", setting)
    old = {k: v for k, v in setting.model_dump(mode="json").items() if k not in ("protocol", "budget")}
    parts = {"format": KEY_FORMAT, "case": case.digest(), "seed": 0, "setting": old, "method": method.identity()}
    assert Job.make(method, case, 0, setting).key == digest(parts)
    assert Setting.model_validate(old) == setting  # a run folder from before says no protocol
    others = [make_setting(protocol="as-published"), *(make_setting(protocol="matched-budget", budget=b) for b in (30.0, 40.0))]
    assert len({Job.make(method, case, 0, s).key for s in (setting, *others)}) == 4


# --- matched budget ---------------------------------------------------------------------------------------------------


def resolved(*labels: str) -> list[Any]:
    return [
        specs.resolve(label, SHAPE, WAN.methods, protocol.starts(specs.parse(label)[0], "matched-budget")) for label in labels
    ]


def test_every_method_gets_as_near_to_the_budget_as_whole_steps_allow() -> None:
    methods, budget, notes = protocol.matched(resolved("none", "fastvmt", "ditflow", "moft"), SHAPE, 220.0)
    assert budget == 220.0 and len(notes) == 1
    for spec in methods:
        if spec.control:
            assert spec == resolved("none")[0]
            continue
        gap = abs(protocol.cost_of(spec, SHAPE) - budget)
        n = spec.params["inner"]
        assert all(abs(protocol.cost_of(spec, SHAPE, inner=m) - budget) >= gap - 1e-9 for m in range(1, 4 * n))
        assert f"{spec.label} {protocol.cost_of(spec, SHAPE):.1f} (inner={n}" in notes[0]


def test_without_a_budget_the_cheapest_methods_is_taken() -> None:
    methods, budget, notes = protocol.matched(resolved("fastvmt", "ditflow", "smm", "motionclone"), SHAPE)
    assert budget == round(protocol.cost_of(resolved("motionclone")[0], SHAPE), 1)
    assert "motionclone" in notes[0] and "nothing to scale" in notes[0]
    by = {m.label: m.params for m in methods}
    assert by["ditflow"]["inner"] < 5 and by["smm"]["inner"] == 1 and "+55.4" in notes[0]  # the inversion cannot be scaled


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("protocols")
    facts = {"matched-start": {}, "as-published": {}, "matched-budget": {"budget": 30.0}}
    return {k: make_run(folder / k, setting=make_setting(protocol=k, **v)) for k, v in facts.items()}


@pytest.mark.parametrize("form", render.FORMATS)
def test_it_heads_every_printed_form(form: str, runs: dict[str, Path]) -> None:
    for kind, folder in runs.items():
        tidy = gather([folder])
        for view in (comparison(tidy), cost(tidy), versus(tidy)):
            assert kind in render.render(view, form)
    assert "30 forward-equivalents" in api.print_tables([runs["matched-budget"]])
    assert set(gather([runs["as-published"]]).frame["protocol"]) == {"as-published"}


def test_runs_of_two_protocols_share_no_table(runs: dict[str, Path]) -> None:
    for call in (gather, api.frame, api.compare, api.print_tables):
        with pytest.raises(NotComparable, match="protocol"):
            call([runs["matched-start"], runs["as-published"]])
    kept = [baseline.of(gather([runs[k]])) for k in ("matched-start", "as-published")]
    wanted = tolerances.Tolerances()
    assert "protocol" in check(kept[0], kept[1], wanted).refused
    assert not check(kept[0], kept[0], wanted).refused


def test_a_real_run_counts_forwards_as_the_formula_says(xs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = bench(
        "run", "--methods", "ditflow,moft,smm", "--no-controls", "--backbone", xs, "--limit", "1", "--threads", "1", "--protocol",
        "matched-budget,timing", "--repeats", "1", "--budget", "14", "--metrics", "time,forwards", "--out", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "protocol matched-budget (14 forward-equivalents)" in said.out and "Budget 14 forward-equivalents" in said.out
    rows = gather([out]).frame
    by = {
        m: rows[rows["metric"] == m].set_index("label")["value"] for m in ("forwards", "forward_equivalents", "forward_formula")
    }
    for label in ("ditflow", "moft", "smm"):
        assert (
            by["forwards"][label] == by["forward_equivalents"][label] == pytest.approx(by["forward_formula"][label], abs=2e-3)
        )
    assert "by formula" in api.print_tables([out], ("cost",))


def test_all_methods_are_planned_on_wan_without_weights(tmp_path: Path) -> None:
    """Real size: width 832, height 480; two dummy clips of 9 frames."""
    rng = np.random.default_rng(0)
    for name in ("pan", "hold"):
        clip = np.repeat(rng.integers(0, 255, (9, 30, 52, 3), dtype=np.uint8), 16, 1).repeat(16, 2)
        write_viewable(tmp_path / f"{name}.mp4", clip, Fraction(15))
    (tmp_path / "prompts.txt").write_text("pan: a red bus\nhold: a green boat\n")
    said = bench(
        "plan", "--methods", "all", "--backbone", "wan2.1-1.3b", "--suite", tmp_path, "--frames", "9", "--device", "cpu", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.err
    labels = [m["label"] for m in said.data["methods"]]
    assert {"none", "sdedit", "fastvmt", "ditflow", "moft", "smm", "motionclone"} <= set(labels)
    assert said.data["jobs"] == 2 * len(labels) and said.data["protocol"] == "matched-start"
    costs = said.data["forward_equivalents"]
    assert costs["none"] == 100 and all(costs[k] > 100 for k in labels if k not in ("none", "sdedit", "ttm", "reference"))
    assert said.data["seconds"] > 0 and "hf download" in said.data["fetch"]
