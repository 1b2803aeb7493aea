"""What shells, plug-ins and neighbouring folders do that nobody foresees: a sentence or a record, and the run goes on."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench
from support.light_runs import make_quick, quick
from support.runs import make_run

from fastvmt.errors import SpecError
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.records.missing import scan
from fastvmt.runner.progress import Progress
from fastvmt.runner.scoring import score as scoring
from fastvmt.runner.settings import Request
from fastvmt.store.folder import Store


def test_half_a_character_in_an_error_is_a_failure_like_any(tmp_path: Path) -> None:
    """A file name that is no UTF-8 comes back in an error's text as a lone surrogate, which no JSON file can hold."""
    run = make_quick(tmp_path / "run", 2, [quick(do="surrogate")])
    for _ in range(2):
        said = bench("resume", run, "--json")
        assert said.code == 3 and said.data["rows"][0]["failed"] == {"error": 2}
    (message,) = {f.message for f in Store.open(run).failures().values()}
    assert message.startswith("OSError: no such file: a") and message.isprintable()


def test_a_neighbour_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    root = make_run(tmp_path / "runs" / "r", 2, ("none",), videos=False, missing=[("case-0000", "none", 0)])
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "artefacts").write_text("not a folder")
    (tmp_path / "runs" / "locked").mkdir(mode=0)
    (tmp_path / "runs" / "gone").symlink_to(tmp_path / "nowhere")
    store = Store.open(root)
    config = store.config()
    assert [metrics for _, metrics in scan(store, config, config.metrics, adopt=True).to_do].count(None) == 1


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_reader_that_goes_away_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    progress = Progress(3, 0, style)
    for _ in range(3):
        progress.event("made", "a clip")
    assert progress.done == 3
    progress.close()


class Odd(Metric):
    """Returns details that JSON does not know."""

    id = "odd"
    range = (0.0, 1.0)
    details: dict[Any, Any]

    def score(self, scored: Scored) -> Value:
        return Value(0.5, self.details)


def test_details_of_a_metric_are_kept_as_json(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", 1, ("none",), videos=False)
    store = Store.open(run)
    (job,), (case,) = store.config().jobs(), store.config().suite.cases
    artefact = store.artefact(job)
    assert artefact
    metric = Odd()
    metric.details = {"tracks": np.int64(3), "all": np.arange(3), "share": np.float32(0.5), 7: "seven", "place": Path("a")}
    record = scoring._record(metric, None, artefact, case, job, {})
    assert (record.status, record.value) == ("ok", 0.5)
    assert record.details == {"tracks": 3, "all": [0, 1, 2], "share": 0.5, "7": "seven", "place": "a"}
    store.add(record)
    assert Store.open(run).records()[record.key] == record


def test_numbers_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1)
    for value in ("-1", "nan", "inf"):
        said = bench("resume", run, "--timeout", value)
        assert said.code == 2 and "from 0 to 1,000,000,000 is needed; seconds, or 0 for no limit" in said.err
    said = bench("plan", "--threads", "-1", "--out", tmp_path / "x")
    assert said.code == 2 and "--threads -1: a whole number from 0 to 1,024 is needed" in said.err
    said = bench("plan", "--methods", "fastvmt", "--dtype", "float16", "--out", tmp_path / "x")
    assert said.code == 2 and "Use bfloat16 or float32" in said.err
    for name in ("guidance", "device-memory"):
        said = bench("plan", f"--{name}", "inf", "--out", tmp_path / "x")
        assert said.code == 2 and f"--{name} inf" in said.err and "Traceback" not in said.err
    with pytest.raises(SpecError, match="--seeds 0,0: .* each of them once"):
        Request(seeds=(0, 0))
    twice = bench("plan", "--methods", "none", "--seeds", "0,1,0", "--out", tmp_path / "x", "--json")
    once = bench("plan", "--methods", "none", "--seeds", "0,1", "--out", tmp_path / "x", "--json")
    assert twice.data["jobs"] == once.data["jobs"]


def test_a_line_break_in_a_prompt_or_caption_is_drawn_as_a_space(tmp_path: Path) -> None:
    from fastvmt.reports.figures.sheet import write_sheet

    store = Store.open(make_run(tmp_path / "r", 1, ("none",)))
    config = store.config()
    (case,) = config.suite.cases
    broken = case.model_copy(update={"prompt": "a tram\nat night", "caption": "a\r\nbus"})
    suite = config.suite.model_copy(update={"cases": (broken,)})
    assert write_sheet(store, config.model_copy(update={"suite": suite}), tmp_path / "sheet.png").is_file()
