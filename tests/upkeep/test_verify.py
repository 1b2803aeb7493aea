"""A second look at a run: what is as it was stored, what is not, and the same words from whoever looks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.cli import bench
from support.runs import make_run

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.media.files import write_lossless
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

SCORED = "4 scores recomputed, 4 equal, largest difference 0"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("v") / "r", 2, ("none", "fastvmt"), metrics=("motion_fidelity",), frames=(5, 32, 32),
                   device="cpu", values=lambda metric, case, label, seed: 7.0)  # fmt: skip
    said = bench("score", run, "--again")
    assert said.code == 0, said.err
    assert "note: 4 scores recomputed, 0 equal, largest difference" in said.out
    assert f"note: {SCORED}." in bench("score", run, "--again").out
    return run


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "run"))


def state(run: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run.rglob("*") if p.is_file()}


def test_what_is_as_it_was_stored_is_said_and_nothing_is_changed_or_run(run: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "theirs.py"
    plugin.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    facts = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(facts | {"plugins": [str(plugin)]}))
    before = state(run)
    said = bench("verify", run)
    assert said.code == 0 and said.out == f"{run}: 4 videos, 4 as stored; 2 references, 2 as stored\n"
    said = bench("verify", run, "--scores", "--json")
    assert said.code == 0 and said.data["words"].endswith(SCORED) and said.data["equal"] == said.data["scores"] == 4
    said = bench("verify", run, "--row", "fastvmt", "--scores")
    assert said.code == 0 and "2 videos, 2 as stored" in said.out and "2 scores recomputed, 2 equal" in said.out
    assert state(run) == before and not (tmp_path / "ran").exists()
    said = bench("verify", run, "--row", "fastvm")
    assert said.code == 2 and "--row fastvm: there is no such choice. Did you mean fastvmt?" in said.err


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def other_frames(run: Path) -> None:
    """Sealed by whoever changed them, so that only decoding tells."""
    store = Store(run)
    (job, *_) = store.config().jobs()
    artefact, path = store.artefact(job), store.folder(job) / "frames.mkv"
    assert artefact
    path.unlink()
    write_lossless(path, np.zeros((5, 32, 32, 3), np.uint8), Fraction(15))
    changed = artefact.model_copy(update={"files": {"frames.mkv": file_info(path)}})
    write_atomic(store.folder(job) / "meta.json", changed.sealed().model_dump_json())


def other_number(run: Path) -> None:
    store = Store(run)
    record = next(iter(store.records().values()))
    store.add(record.model_copy(update={"value": (record.value or 0.0) + 0.25}))


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda run: flip(next(run.glob("artefacts/*/frames.mkv"))), "4 videos, 3 as stored"),
    (lambda run: next(run.glob("artefacts/*/frames.mkv")).unlink(), "frames.mkv cannot be read (no such file"),
    (lambda run: next(run.glob("artefacts/*/meta.json")).write_text("{}"), "4 videos, 3 as stored"),
    (lambda run: next(run.glob("references/*")).unlink(), "2 references, 1 as stored"),
    (lambda run: flip(next(run.glob("references/*"))), "2 references, 1 as stored"),
    (other_frames, "frames.mkv does not decode to the frames it was published with"),
    (other_number, "4 scores recomputed, 3 equal, largest difference 0.25"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_what_is_not_as_it_was_is_named_and_stays_where_it_is(run: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(run)
    before = state(run)
    said = bench("verify", run, "--scores")
    assert said.code == 3 and words in said.out, said.out + said.err
    assert state(run) == before


def test_resuming_with_verify_says_the_same_words(run: Path) -> None:
    said = bench("resume", run, "--verify", "--json")
    assert said.code == 0 and "4 videos, 4 as stored." in said.data["notes"]


def test_a_plug_in_is_loaded_for_its_own_scores_alone(run: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(facts | {"plugins": [str(tmp_path / "gone.py")]}))
    assert bench("verify", run, "--scores").code == 0
    store = Store(run)
    record = next(iter(store.records().values()))
    store.add(record.model_copy(update={"metric": "theirs", "key": "a" * 64}))
    assert bench("verify", run).code == 0
    assert bench("verify", run, "--scores").code == 2
