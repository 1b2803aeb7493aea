"""A plug-in file that is edited: what its code made before is named, and made again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, same_plugins
from support.light_runs import PLUGIN, make_quick

from fastvmt.artefacts.prepared_weights import Meta, Prepared, Shelf
from fastvmt.plugins import registry
from fastvmt.plugins.workspace import Spent
from fastvmt.records.missing import made_by_label, scan
from fastvmt.runner.code import states
from fastvmt.runner.settings import Options
from fastvmt.runner.work import work
from fastvmt.store.folder import Store

METRIC = """\
from fastvmt import Metric, Value
class Count(Metric):
    id, timing, range = "count", True, (0.0, 9.0)
    def score(self, scored):
        return Value(1.0)
METRICS = {"count": Count}
"""


class Mine:
    """A finished run of one's own method and metric, each in a file, and the files."""

    def __init__(self, place: Path) -> None:
        self.method, self.metric = place / "method.py", place / "metric.py"
        shutil.copyfile(PLUGIN, self.method)
        self.metric.write_text(METRIC)
        with same_plugins():
            self.run = make_quick(place / "run", 2, plugins=(), metrics=("count",))
        assert self.resume()["outcome"]["made"] == 2

    def resume(self, *more: str, run: Path | None = None) -> Any:
        said = bench("resume", run or self.run, "--plugin", self.method, "--plugin", self.metric, "--json", "--no-reuse", *more)
        assert said.code == 0, said.err
        return said.data | {"said": said.err}


def edit(file: Path) -> None:
    file.write_text(file.read_text().replace("Value(1.0)", "Value(2.0)") + "# edited\n")


@pytest.fixture
def mine(tmp_path: Path) -> Mine:
    return Mine(tmp_path)


def test_videos_of_an_edited_method_are_made_again(mine: Mine) -> None:
    edit(mine.method)
    with same_plugins():
        registry.load_plugin(str(mine.method))
        store = Store(mine.run)
        assert made_by_label(store, store.config()) == {"quick": 0}  # what `bench plan` counts
    first, second = mine.resume(), mine.resume()
    assert "quick: its code has changed since; 2 of its results are made again" in first["said"]
    assert first["outcome"]["made"] == 2 and len(list((mine.run / "quarantine").iterdir())) == 2
    assert second["outcome"]["made"] == 0 and "changed" not in second["said"]


def test_old_videos_are_kept_where_that_is_asked_for(mine: Mine) -> None:
    edit(mine.method)
    for kept in (mine.resume("--keep-old"), mine.resume("--keep-old")):
        assert kept["outcome"]["made"] == 0 and "2 of its results are kept (--keep-old)" in kept["said"]
    assert mine.resume()["outcome"]["made"] == 2


def test_a_run_that_was_stopped_in_between_goes_on_where_it_was(mine: Mine) -> None:
    edit(mine.method)
    mine.resume()
    shutil.rmtree(next((mine.run / "artefacts").glob("[!.]*")))
    assert mine.resume()["outcome"]["made"] == 1


def test_numbers_of_an_edited_metric_are_computed_again(mine: Mine) -> None:
    edit(mine.metric)
    kept, again, once = mine.resume("--keep-old"), mine.resume(), mine.resume()
    values = [found["rows"][0]["metrics"]["count"]["value"] for found in (kept, again, once)]
    assert values == [1.0, 2.0, 2.0] and all(found["outcome"]["made"] == 0 for found in (kept, again, once))
    assert "count: its code has changed since; 2 of its results are kept" in kept["said"]
    assert (
        "count: its code has changed since; 2 of its results are made again" in again["said"] and "changed" not in once["said"]
    )


def test_numbers_of_two_states_in_one_column_are_said(mine: Mine) -> None:
    records = mine.run / "records.jsonl"
    one = records.read_text().splitlines()[0]
    edit(mine.metric)
    mine.resume()
    with records.open("a") as file:
        file.write(one + "\n")
    assert "computed by 2 states of its code" in str(bench("table", mine.run, "--json").data["notes"])


def test_a_video_of_other_code_is_not_taken_over_from_a_neighbour(mine: Mine, tmp_path: Path) -> None:
    with same_plugins():
        beside = make_quick(tmp_path / "beside", 2, plugins=(), metrics=("count",))
    edit(mine.method)
    assert mine.resume("--reuse", run=beside)["outcome"]["made"] == 2
    for video in (beside / "artefacts").glob("[!.]*"):
        shutil.rmtree(video)
    mine.resume()
    assert mine.resume("--reuse", run=beside)["outcome"]["made"] == 0


def test_who_helps_has_the_code_that_the_run_was_started_with(mine: Mine) -> None:
    with same_plugins():
        assert work(mine.run, Options(style="none")).made == 0
    edit(mine.method)
    said = bench("work", mine.run, "--plugin", mine.method)
    assert said.code == 2 and "method 'quick' is in another state here" in said.err


def test_what_an_edited_method_was_trained_to_is_trained_again(tmp_path: Path) -> None:
    import torch

    shelf, trained = Shelf(Store(tmp_path)), []

    def train(place: Path) -> Prepared:
        trained.append(place.name)
        spent = Spent(seconds=1.0, forward_equivalents=1.0, energy_joules=None, peak_memory_bytes=1, peak_reserved_bytes=1)
        meta = Meta(
            key="a1",
            method="m",
            spent=spent,
            device="d",
            software={},
            files={},
            code=re.findall(r"[0-9a-f]{16}", place.name)[0],
        )
        return Prepared({"w": torch.zeros(1)}, meta)

    for code in ("0" * 16, "0" * 16, "1" * 16):
        shelf.get("a1", train, code)
    assert trained == [f".a1.{'0' * 16}.checkpoint", f".a1.{'1' * 16}.checkpoint"]
    assert shelf.load("a1") is not None  # for who cannot know


def test_what_is_built_in_keeps_to_its_version(tmp_path: Path) -> None:
    from support.runs import make_run

    store = Store(make_run(tmp_path / "run", 1, logs=lambda case, label, seed: {"code": "0" * 16}, videos=False))
    config = store.config()
    assert not any(states(config)) and not scan(store, config, config.metrics, codes=states(config)).to_do
