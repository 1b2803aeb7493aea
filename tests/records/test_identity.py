"""What makes a metric record the same record, and a job the same job: those who write and those who read must agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import make_cases, make_run, make_setting, make_spec

from fastvmt.core.content_address import KEY_FORMAT, digest
from fastvmt.errors import NotComparable
from fastvmt.exchange.merge.merge import merge
from fastvmt.jobs.numbering import JobGrid
from fastvmt.model import Job
from fastvmt.plugins import registry
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.records.missing import scan
from fastvmt.reports.gate import baseline
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.tolerances import Tolerances
from fastvmt.reports.tables.run_table import as_data, build
from fastvmt.reports.tidy import gather
from fastvmt.runner.scoring.score import score_job
from fastvmt.store.folder import Store


class Watts(Metric):
    """A timing that is measured on a meter of its own, whose device and software belong to what it is."""

    id, unit, timing = "watts", "W", True
    meter: ClassVar[dict[str, str]] = {"device": "a meter", "software": "meterd 2"}

    def identity(self) -> dict[str, Any]:
        return super().identity() | self.meter

    def score(self, scored: Scored) -> Value:
        return Value(100.0)


@pytest.fixture
def watts(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    registry.metrics.names()
    monkeypatch.setitem(registry.metrics._found, "watts", Watts)
    monkeypatch.setitem(registry.metrics._entries, "watts", registry.Entry("watts", "a plug-in", "tests:Watts"))
    yield "watts"


def scored(folder: Path, metric: str) -> Path:
    """A run whose videos have numbers of ``time`` and of the metric, by the scorer itself."""
    make_run(folder, methods=("none", "fastvmt"), metrics=("time", metric), values=no_values)
    store = Store.open(folder)
    config = store.config()
    for job in config.jobs():
        for record in score_job(store, config, job, ["time", metric]):
            store.add(record)
    return folder


def no_values(*about: object) -> float | None:
    raise KeyError


def test_a_timing_that_says_its_own_device_and_software_is_scored_shown_gated_and_merged(tmp_path: Path, watts: str) -> None:
    run = scored(tmp_path / "a", watts)
    store = Store.open(run)
    assert scan(store, store.config(), ("time", watts)).to_do == []
    tidy = gather([run])
    assert list(tidy.of(watts)["value"]) == [100.0] * 4 and set(tidy.of(watts)["status"]) == {"ok"}
    told = [r for r in store.records().values() if r.metric == watts]
    assert told[0].identity == Watts().identity()
    assert as_data(build(store, store.config()))["identities"][watts]["device"] == "a meter"
    merge([run, scored(tmp_path / "b", watts)], tmp_path / "merged")
    assert set(gather([tmp_path / "merged"]).of(watts)["status"]) == {"ok"}


def test_two_meters_are_two_metrics_in_a_table_and_in_the_gate(
    tmp_path: Path, watts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored(tmp_path / "a", watts)
    stored = baseline.of(gather([run]))
    monkeypatch.setattr(Watts, "meter", {"device": "another meter", "software": "meterd 2"})
    other = scored(tmp_path / "b", watts)
    found = {
        r.metric: r.sentence for r in check(baseline.of(gather([other])), stored, Tolerances()).rows if r.method == "fastvmt"
    }
    assert "another metric under this name: device (a meter → another meter)" in found[watts]
    assert "another metric" not in found["time"]
    with pytest.raises(NotComparable, match="watts: records differ in device"):
        gather([run, other])


@given(
    prompt=st.text(), caption=st.text(), label=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), seed=st.integers(-(2**63), 2**64 - 1), guidance=st.floats(0, 100),
    params=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()),
)  # fmt: skip
def test_a_jobs_key_is_the_digest_of_its_plain_parts(
    prompt: str, caption: str, label: str, seed: int, guidance: float, params: dict[str, Any]
) -> None:
    setting = make_setting(guidance=guidance)
    method = make_spec("none", setting).model_copy(update={"params": params, "label": label})
    case = make_cases(1)[0].model_copy(update={"prompt": prompt, "caption": caption})
    parts = {
        "format": KEY_FORMAT, "case": case.digest(), "method": method.identity(), "seed": seed, "setting": setting.identity(),
    }  # fmt: skip
    grid = JobGrid([method], [case], [seed], setting)
    assert digest(parts) == Job.make(method, case, seed, setting).key == grid[0].key == next(grid.keys())
