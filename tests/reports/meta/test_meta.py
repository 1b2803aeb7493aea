"""``bench meta``: metrics whose agreement with the truth is known are given it, and what cannot be judged is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, same_plugins
from support.runs import make_run, share

from fastvmt.core.content_address import frames_digest
from fastvmt.datasets.drawn.degraded import Degraded, degraded
from fastvmt.datasets.drawn.shapes import Pair
from fastvmt.model import Case
from fastvmt.plugins import registry
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.reports.meta import ratings, toys

TRUTH: dict[str, tuple[float, str]] = {}
"""Known agreement and kind of every degraded clip, by its frames."""


_MADE: dict[str, list[Degraded]] = {}


def _drawn_once(pair: Pair, other: Pair) -> list[Degraded]:
    if pair.name not in _MADE:
        _MADE[pair.name] = list(degraded(pair, other))
        for toy in _MADE[pair.name]:
            TRUTH[frames_digest(toy.frames)] = round(toys.known_agreement(toy.scene, pair.reference), 2), toy.kind
    return _MADE[pair.name]


class _Fake(Metric):
    backend = "motion"
    source = summary = "a test's"

    def score(self, scored: Scored) -> Value:
        return Value(self.of(*TRUTH[frames_digest(scored.generated)], scored.generated))

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        raise NotImplementedError


class _True(_Fake):
    id = "true"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        return 2 * truth - 1


class _Distance(_Fake):
    id, direction = "distance", "down"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        return 1 - truth


class _Noise(_Fake):
    id = "noise"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        return share(frames_digest(frames))


class _Blind(_Fake):
    """Right in everything but how far things move."""

    id = "blind"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        return 1.0 if kind == "amplitude" else truth


class _Silent(_Fake):
    id = "silent"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        return None if kind in ("still", "path") else truth


class _Broken(_Fake):
    id = "broken"

    def of(self, truth: float, kind: str, frames: Any) -> float | None:
        if kind == "path":
            raise ValueError("no such path")
        return truth


FAKES = (_True, _Distance, _Noise, _Blind, _Silent, _Broken)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(toys, "FRAMES", 5)
    monkeypatch.setattr(toys, "degraded", _drawn_once)
    with same_plugins():
        for cls in FAKES:
            registry.metrics.add_object(cls.id, cls, "a test")
        yield


def numbers(said: Any, table: str = "meta") -> dict[str, dict[str, Any]]:
    """Cells by line and column."""
    return {line["key"]: line["cells"] for line in said.data[table]["lines"]}


def test_a_metric_is_given_the_agreement_that_it_has(fakes: None) -> None:
    said = bench("meta", "--clips", "2", "--metrics", "true,distance,noise,blind,silent", "--json")
    assert said.code == 0, said.err
    found, kinds = numbers(said), numbers(said, "meta-kinds")
    for perfect in ("true", "distance"):
        assert all(found[perfect][c]["value"] == pytest.approx(1) for c in ("tau", "rho", "over", "camera", "complex"))
        assert all(cell["value"] == pytest.approx(1) for key, cell in kinds[perfect].items() if key != "tracker")
    assert abs(found["noise"]["tau"]["value"]) < 0.3 and found["noise"]["tau"]["low"] < 0 < found["noise"]["tau"]["high"]
    assert kinds["blind"]["amplitude"]["value"] == 0 and kinds["blind"]["delay"]["value"] == pytest.approx(1)
    assert 0.5 < found["blind"]["tau"]["value"] < 1
    # Numbers that are not there decide nothing and are no gain.
    assert 0.5 < found["silent"]["tau"]["value"] < 1 and found["silent"]["defined"]["value"] < 0.75
    assert [*found][:2] == ["true", "distance"] and [*found][-1] == "noise"
    assert said.data["meta"]["verdict"] == [
        "true agrees best with the known motion (tau 1.00 over 8 clips); distance (1.00) cannot be told from it."
    ]
    assert found["true"]["seconds"]["value"] > 0


def test_a_metric_that_raises_has_no_number_is_named_and_ends_the_command_with_3(fakes: None) -> None:
    said = bench("meta", "--clips", "1", "--metrics", "true,broken")
    assert said.code == 3
    assert "note: broken: no number 4 times, the first: Metric 'broken': ValueError: no such path" in said.out
    assert "4 are too few to tell it from" in said.out


def test_every_metric_of_motion_is_found_by_what_it_declares(fakes: None) -> None:
    metrics, notes = ratings.chosen()
    assert {"true", "motion_fidelity", "motion_fidelity@det-hybrid", "motion_fidelity_moving:moving_px=1.5"} <= {*metrics}
    assert not {m for m in metrics if "wrong" in m or "frozen" in m or m.startswith(("trajectory", "vbench", "time"))}
    assert "cotracker3" in notes[0] and "are not here" in notes[0]


def test_a_run_is_judged_by_its_records(tmp_path: Path) -> None:
    methods = {"none": 0.0, "sdedit": 0.3, "ditflow": 0.7, "fastvmt": 0.9}

    def value(metric: str, case: Case, label: str, seed: int) -> float | None:
        truth = methods[label] + 0.01 * share(case.id, label, seed)
        return {"trajectory": truth, "motion_fidelity": 2 * truth - 1, "motion_fidelity_local": -truth}.get(metric, 1.0)

    names = ("trajectory", "motion_fidelity", "motion_fidelity_local", "subject_colour", "motion_fidelity_wrong", "time")
    run = make_run(tmp_path / "r", 6, tuple(methods), values=value, metrics=names, videos=False)
    said = bench("meta", run, "--json")
    assert said.code == 0, said.err
    found = numbers(said)
    assert [*found] == ["motion_fidelity", "motion_fidelity_local"] and [*said.data] == ["meta"]
    assert [found[label][c]["value"] for label in found for c in ("tau", "over", "camera")] == [1, 1, 1, -1, -1, -1]
    assert "motion_fidelity_local by lk (-1.00), can be told from it" in said.data["meta"]["verdict"][0]
    table = bench("meta", run, "--print", "md", "--columns", "tau")
    assert re.search(r"\| motion_fidelity +\| +\*\*1\.000\*\* ", table.out), table.out


@pytest.mark.parametrize(("words", "code", "sentence"), [
    ("RUN", 4, "it takes numbers of trajectory, which drawn clips have, of two methods at least"),
    ("RUN --metrics time", 4, "no metric that says which motion is better was scored"),
    ("RUN --metrics nought", 2, "--metrics nought: the run has not scored it"),
    ("RUN --clips 1", 2, "--clips is for drawn clips"),
    ("--metrics time", 2, "--metrics time: none of them says which motion is better"),
    ("--print paper", 2, "--print paper"), ("--clips 9", 2, "whole number from 1 to 8 is needed"),
])  # fmt: skip
def test_what_cannot_be_judged_is_said(tmp_path: Path, words: str, code: int, sentence: str) -> None:
    run = make_run(tmp_path / "r", 2, ("none", "fastvmt"), videos=False) if "RUN" in words else ""
    said = bench("meta", *(run if word == "RUN" else word for word in words.split()))
    assert said.code == code and sentence in said.err and not said.out, said
