"""Metrics at fault: each is a failed record that says why, no other number changes, and the command ends with 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cli import bench
from support.light_runs import make_light, make_quick, quick

import fastvmt
from fastvmt.errors import BenchError
from fastvmt.model import MetricRecord
from fastvmt.plugins import registry
from fastvmt.store.folder import Store

FAULTS: dict[str, tuple[str, str]] = {
    "raises": ("1 / 0", r"ZeroDivisionError: division by zero \(faulty.py, line \d+, score\)"),
    "nan": ("Value(float('nan'))", r"score returned nan, expected a finite number.*\(faulty.py, line \d+\)"),
    "bare": ("0.5", r"score returned float 0.5, expected a Value.*\(faulty.py, line \d+\)"),
    "nothing": ("None", r"score returned None, expected a Value"),
    "text": ("Value('0.x')", r"score returned str '0.x', expected a finite number"),
    "keys": ("Value(0.5, {(1, 2): 3})", r"TypeError: keys must be"),
    "leaves": ("sys.exit(1)", r"SystemExit: 1 \(faulty.py, line \d+, score\)"),
    "own": ("throw(Own())", r"Own \(faulty.py, line \d+, score\)"),
    "frames": ("scored.generated.fill(0)", r"ValueError: .*read-only.*copy it first"),
    "reference": ("scored.reference.sort(axis=0)", r"ValueError: .*read-only"),
    "flags": ("scored.generated.setflags(write=True)", r"ValueError: cannot set WRITEABLE"),
    "wrong": ("scored.wrong_reference()[1].fill(0)", r"ValueError: .*read-only"),
    "stages": ("scored.artefact.stages.clear()", r"ReadOnlyError: this dictionary is read-only \(faulty.py, line \d+, score\)"),
    "params": ("scored.job.method.params.update(do='raise')", r"ReadOnlyError: this dictionary is read-only"),
    "files": ("scored.artefact.files.pop('frames.mkv')", r"ReadOnlyError"),
    "cached": ("scored.cache['kept'].fill(0)", r"ValueError: .*read-only"),
    "huge": ("Value(0.5, {'n': 10**30})", r"cannot be stored: details: a whole number beyond 64 bits"),
    "deep": ("Value(0.5, {'n': eval('[' * 50 + ']' * 50)})", r"cannot be stored: details: nested deeper than 32"),
    "choosy": ("", r"in applies: SystemExit: 1 \(faulty.py, line \d+\)"),
}  # fmt: skip
QUIET = {
    "rebinds": "setattr(scored, 'generated', scored.generated * 0) or Value(0.0)",
    "keeps": "scored.cache.update(kept=scored.generated[0].copy()) or Value(0.0)",
}
"""No fault, and nothing for anybody else."""


def write_faulty(file: Path) -> Path:
    said = {**QUIET, **{name: code for name, (code, _) in FAULTS.items()}}
    head = (
        "import sys\nfrom fastvmt import Metric, Value\n\nclass Own(BaseException):\n    pass\n\n"
        "def throw(error):\n    raise error\n\n"
    )
    form = "class C{0}(Metric):\n    id = {1!r}\n    def score(self, scored):\n        return {2}\n"
    classes = [form.format(n, name, code) for n, (name, code) in enumerate(said.items())]
    classes.append("    def applies(self, case):\n        sys.exit(1)\n")  # of the last one
    names = "".join(f"{name!r}: C{n}, " for n, name in enumerate(said))
    file.write_text(head + "\n".join(classes) + f"\nMETRICS = {{{names}}}\n")
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, dict[str, MetricRecord]]:
    """One video, scored by everything above and by one good metric, which comes last."""
    place = tmp_path_factory.mktemp("faulty")
    plugin = write_faulty(place / "faulty.py")
    folder = make_light(place / "run", cases=2, methods=("light",), plugins=[plugin], metrics=(*QUIET, *FAULTS, "difference"))
    said = bench("resume", folder)
    first = Store.open(folder).config().jobs()[0].key
    return said, folder, {r.metric: r for r in Store.open(folder).records().values() if r.job_key == first}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_failed_record_with_its_reason(name: str, run: Any) -> None:
    import re

    record = run[2][name]
    assert record.status == "failed" and record.value is None
    assert re.search(FAULTS[name][1], record.details["cause"]), record.details["cause"]
    assert "Traceback" in record.details["traceback"]


def test_no_other_metrics_number_changes(run: Any, tmp_path: Path) -> None:
    alone = make_light(tmp_path / "run", cases=2, methods=("light",))
    assert bench("resume", alone).code == 0
    own, plain = (
        {r.job_key: r.value for r in Store.open(f).records().values() if r.metric == "difference"} for f in (run[1], alone)
    )
    assert own == plain and len(own) == 2
    assert all(run[2][name].status == "ok" for name in QUIET)


def test_a_failed_number_is_said_everywhere(run: Any) -> None:
    said, folder, _ = run
    sentence = "ZeroDivisionError: division by zero (faulty.py, line"
    assert said.code == 3
    assert f"FAILED in raises: {sentence}" in said.err
    assert f"raises failed on 2 videos (light): {sentence}" in said.out
    status = bench("status", folder)
    assert f"{2 * len(FAULTS)} numbers failed" in status.out and sentence in status.out


def test_scoring_later_ends_with_3_until_all_are_there(run: Any) -> None:
    folder = run[1]
    assert bench("score", folder, "--metrics", "difference").code == 0
    again = bench("score", folder, "--metrics", "nan,difference", "--json")
    assert again.code == 3 and json.loads(again.out)["outcome"]["unscored"] == 2


def test_fail_fast_stops_at_the_first_number_that_fails(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 4, [quick()], seeds=(1,), metrics=("half",))
    said = bench("resume", run, "--fail-fast", "--workers", "1", "--json")
    assert said.code == 3 and said.data["outcome"]["unscored"] == said.data["outcome"]["made"] == 1


# --- fastvmt.score_clip -----------------------------------------------------------------------------------------------


def score_with(code: Any) -> None:
    cls = type("Own", (fastvmt.Metric,), {"id": "own", "score": lambda self, scored: code(scored), "__module__": __name__})
    registry.metrics.add_object("own", cls, "a test")
    fastvmt.score_clip("own", np.full((5, 8, 8, 3), 9, np.uint8))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (lambda s: s.generated.fill(0), "read-only"),
        (lambda s: fastvmt.Value(float("inf")), "score returned inf"),
        (lambda s: 1 / 0, "Metric 'own': ZeroDivisionError: division by zero (test_faulty_metrics.py, line"),
    ],
)
def test_in_python_a_fault_is_an_error_of_ours(code: Any, words: str) -> None:
    with pytest.raises(BenchError) as caught:
        score_with(code)
    assert words in str(caught.value)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_not_even_torch_reaches_the_callers_frames() -> None:
    mine = np.full((5, 8, 8, 3), 9, np.uint8)
    cls = type("Own", (fastvmt.Metric,), {"id": "own", "__module__": __name__,
               "score": lambda self, s: fastvmt.Value(float(torch.from_numpy(s.generated).zero_().sum()))})  # fmt: skip
    registry.metrics.add_object("own", cls, "a test")
    assert fastvmt.score_clip("own", mine).value == 0
    assert (mine == 9).all()


class Wipes(fastvmt.Tracker):
    """Writes into the frames by way of torch, which asks nobody."""

    id = "wipes"

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.id}

    def track(self, frames: Any, queries: Any = None) -> fastvmt.Tracks:
        torch.from_numpy(frames).zero_()
        return fastvmt.Tracks(np.zeros((9, len(frames), 2)), np.ones((9, len(frames)), bool))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_tracker_does_not_reach_what_the_metrics_see() -> None:
    mine = np.full((5, 8, 8, 3), 9, np.uint8)
    registry.trackers.add_object("wipes", Wipes, "a test")
    assert fastvmt.score_clip("motion_fidelity:tracker=wipes", mine).value == 0
    assert (mine == 9).all()
