"""What a metric's name stands for: on a backbone, beside a run, with ``+``, and in a plug-in file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.clips import clip
from support.light_runs import PLUGIN, make_quick

from fastvmt import Metric, Params, Request
from fastvmt.errors import SpecError
from fastvmt.plugins import registry
from fastvmt.plugins.metric_labels import build, choose, in_full, resolved
from fastvmt.runner.plan import resolve
from fastvmt.store.folder import Store

TINY_CLIP = "text_similarity:clip=tiny-shapes"
FULL = "text_similarity:clip=ViT-B-32-quickgelu/openai"


def planned(**asked: Any) -> tuple[str, ...]:
    request = Request(
        **{"suite": "shapes", "limit": 1, "methods": ("none",), "controls": False, "frames": 5, "steps": 2} | asked
    )
    return resolve(request).config.metrics


def test_a_bare_name_is_the_backbones_own_form() -> None:
    assert planned(metrics=("text_similarity", "motion_fidelity_moving", "motion_fidelity_local", "time")) == (
        TINY_CLIP, "motion_fidelity_moving:moving_px=1.5", "motion_fidelity_local", "time",
    )  # fmt: skip
    every = planned(metrics=("vbench:*",))
    assert len(every) == 5 and all(label.endswith(":backend=tiny-shapes") for label in every)
    assert planned(metrics=("motion_fidelity_moving:moving_px=0.3",)) == ("motion_fidelity_moving:moving_px=0.3",)


def test_a_form_that_is_not_the_backbones_is_named_in_full() -> None:
    own = [TINY_CLIP]
    assert resolved(FULL, own) == FULL and build(FULL).label == "text_similarity"
    assert in_full("text_similarity", own) == FULL and in_full(TINY_CLIP, own) == TINY_CLIP
    assert resolved("text_similarity", ["text_similarity", TINY_CLIP]) == "text_similarity"
    assert resolved("vbench:dynamic_degree", ["vbench:*:backend=native"]) == "vbench:dynamic_degree:backend=native"


def test_plus_adds_to_the_default_list() -> None:
    default = planned()
    assert planned(metrics=("+motion_fidelity_both", " + text_similarity")) == (*default, "motion_fidelity_both")
    assert planned(metrics=("+motion_fidelity_moving:moving_px=0.3",)) == (*default, "motion_fidelity_moving:moving_px=0.3")


@pytest.mark.parametrize("asked", [("+time", "forwards"), ("forwards", "+time"), ("+",), ("+time", " + ")])
def test_plus_before_some_names_alone_is_a_sentence(asked: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match=r"--metrics .*: write \+ before every name"):
        choose(asked, ["time"])


def test_a_plus_before_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SpecError, match="No metric is called 'trajectori'. Did you mean trajectory"):
        choose(["+trajectori"], ["time"])


def test_a_files_metrics_are_scored_when_it_is_given() -> None:
    default = planned()
    assert planned(plugins=(str(PLUGIN),)) == (*default, "difference", "nibble", "half")
    assert planned(plugins=(str(PLUGIN),), metrics=("nibble",)) == ("nibble",)
    assert planned() == default  # loaded before, but not given


def test_a_run_takes_names_as_it_has_them_and_scores_a_given_file(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "r", 1, metrics=("time",))
    assert bench("resume", run).code == 0
    said = bench("score", run, "--metrics", "+nibble", "--json")
    assert said.code == 0 and set(said.data["rows"][0]["metrics"]) == {"time", "nibble"}, said.err
    said = bench("score", run, "--plugin", PLUGIN, "--json")
    assert set(said.data["rows"][0]["metrics"]) >= {"time", "nibble", "half"} and "difference" in said.err
    said = bench("score", run, "--metrics", "+nibble,time")
    assert said.code == 2 and "write + before every name" in said.err


def test_the_command_of_a_run_names_its_own_metrics(tmp_path: Path) -> None:
    """A run of before, with the form of another backbone under its bare name."""
    from fastvmt.runner.plan.command import typed

    plan = resolve(Request(limit=1, methods=("none",), frames=5, metrics=("text_similarity",)))
    assert f"--metrics {TINY_CLIP}" in typed(plan.config)
    before = plan.config.model_copy(update={"metrics": ("text_similarity",)})
    assert f"--metrics {FULL}" in typed(before)


def test_what_a_name_stands_for_is_described() -> None:
    assert bench("describe", "text_similarity", "--json").data["backbones"] == {"tiny": TINY_CLIP}
    assert "backbones" not in bench("describe", "trajectory", "--json").data
    listed = {row["name"]: row["summary"] for row in bench("list", "metrics", "--json").data}
    assert listed["text_similarity"].endswith("; on tiny clip=tiny-shapes")


def test_real_clips_on_tiny_are_said_to_be_a_smoke_test(tmp_path: Path) -> None:
    clip(tmp_path / "bus.mp4", frames=5, width=64, height=64)
    words = ("--suite", tmp_path / "bus.mp4", "--prompt", "a red circle", "--methods", "quick", "--no-controls", "--frames", "5",
             "--plugin", PLUGIN, "--metrics", "nibble", "--out", tmp_path / "run")  # fmt: skip
    said = bench("run", *words)
    sentence = "tiny knows drawn shapes only: this is a smoke test, its numbers say nothing about the methods."
    assert said.code == 0 and said.err.count(sentence) == 1, said.err
    assert said.err.index(sentence) < said.err.index("started")
    assert (
        said.out.index(sentence) < said.out.index("Methods compared") and Store(tmp_path / "run").config().notes[0] == sentence
    )
    assert bench("table", tmp_path / "run", "--json").data["notes"].count(sentence) == 1
    assert sentence in bench("plan", *words).out
    drawn = resolve(Request(limit=1, methods=("none",), frames=5))
    assert sentence not in drawn.config.notes and not drawn.warnings


def test_every_setting_of_a_metric_keeps_records_of_its_own() -> None:
    """Two columns of one metric in one run would else find each other's numbers."""
    parts = ("trajectory", "trajectory:part=direction", "trajectory:part=ground")
    assert len({str(build(label).identity()) for label in parts}) == len(parts)
    assert "part" not in build("trajectory").identity()
    assert choose(parts, ())[0] == parts


def test_metrics_that_cannot_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Levels(Params):
        level: int = 1

    class Careless(Metric):
        """Says nothing of its level."""

        id = "careless"
        Params = Levels

        def identity(self) -> dict[str, Any]:
            return {"metric": self.id, "version": 1}

    monkeypatch.setattr(registry.metrics, "get", {"careless": Careless}.__getitem__)
    with pytest.raises(SpecError, match=r"'careless' and 'careless:level=2' have one identity, .* must name what differs"):
        choose(["careless", "careless:level=2"], ())
